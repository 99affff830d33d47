"""Which runs are due after an outage, and how runs are spread."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queued.domain.schedule import POLICIES, MisfirePolicy, due_between, jitter_of, parse

UTC = timezone.utc
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURLY = parse("0 * * * *")

#: Seconds that the task `clear` waits at noon of 1 January 2026, with a jitter of a minute.
CLEAR_AT_NOON = 15.329973105


def after(**parts: float) -> datetime:
    return NOON + timedelta(**parts)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_on_time_is_due_once(policy: MisfirePolicy) -> None:
    assert due_between(HOURLY, NOON, after(minutes=59), policy, 100) == []
    assert due_between(HOURLY, NOON, after(hours=1), policy, 100) == [after(hours=1)]
    assert due_between(HOURLY, NOON, after(hours=1, seconds=5), policy, 100) == [after(hours=1)]
    assert due_between(HOURLY, after(hours=1), after(hours=1, seconds=5), policy, 100) == []


def test_missed_runs_are_left_out_made_up_once_or_all() -> None:
    back = after(hours=5, minutes=30)
    assert due_between(HOURLY, NOON, back, "skip", 100) == []
    assert due_between(HOURLY, NOON, back, "once", 100) == [after(hours=5)]
    assert due_between(HOURLY, NOON, back, "all", 100) == [after(hours=n) for n in range(1, 6)]


def test_a_run_on_time_stands_for_the_missed_ones_before_it() -> None:
    back = after(hours=5, seconds=3)
    assert due_between(HOURLY, NOON, back, "skip", 100) == [after(hours=5)]
    assert due_between(HOURLY, NOON, back, "once", 100) == [after(hours=5)]


def test_a_run_late_by_the_grace_is_on_time_and_one_later_is_missed() -> None:
    assert due_between(HOURLY, NOON, after(hours=1, seconds=60), "skip", 100) == [after(hours=1)]
    assert due_between(HOURLY, NOON, after(hours=1, seconds=61), "skip", 100) == []
    assert due_between(HOURLY, NOON, after(hours=1, seconds=61), "skip", 100, grace=300) == [after(hours=1)]


def test_a_scheduler_that_was_suspended_does_not_burst_unless_told_to() -> None:
    every_second = parse("every second")
    assert len(due_between(every_second, NOON, after(hours=8), "once", 10_000, grace=5)) == 6
    assert len(due_between(every_second, NOON, after(hours=8), "skip", 10_000, grace=5)) == 6
    assert len(due_between(every_second, NOON, after(hours=8), "all", 10_000)) == 10_000


def test_all_goes_on_where_the_limit_cut() -> None:
    runs: list[datetime] = []
    while due := due_between(HOURLY, runs[-1] if runs else NOON, after(days=2), "all", 7):
        runs += due
    assert runs == [after(hours=n) for n in range(1, 49)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_clock_set_back_an_hour_runs_nothing_twice(policy: MisfirePolicy) -> None:
    every_minute = parse("* * * * *")
    last = NOON
    ran = []
    # The clock says 12:00 … 12:30, then 11:30 … 13:00.
    clock = [after(minutes=n) for n in range(31)] + [after(minutes=n) for n in range(-30, 61)]
    for now in clock:
        due = due_between(every_minute, last, now, policy, 100)
        ran += due
        last = max([last, *due])
    assert ran == [after(minutes=n) for n in range(1, 61)]


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_is_due_without_a_limit_or_without_time(policy: MisfirePolicy) -> None:
    assert due_between(HOURLY, NOON, after(hours=9), policy, 0) == []
    assert due_between(HOURLY, NOON, NOON, policy, 9) == []


def test_an_outage_over_the_change_of_the_clock_misses_what_it_should() -> None:
    daily = parse("30 2 * * *", "Europe/Rome")
    back = datetime(2026, 3, 29, 1, 0, 5, tzinfo=UTC)
    assert due_between(daily, datetime(2026, 3, 28, 1, 30, tzinfo=UTC), back, "skip", 9) == [
        datetime(2026, 3, 29, 1, tzinfo=UTC)
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["*/10 * * * *", "30 2 * * *", "every 90 minutes", "15,45 * * * * *"]),
    st.sampled_from(POLICIES),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=10),
)
def test_however_often_a_scheduler_looks_no_run_comes_twice_and_all_loses_none(
    text: str, policy: MisfirePolicy, rests: list[int]
) -> None:
    schedule = parse(text, "Europe/Rome")
    begun = now = last = datetime(2026, 3, 28, 22, tzinfo=UTC)
    ran: list[datetime] = []
    for rest in rests:
        now += timedelta(seconds=rest)
        due = due_between(schedule, last, now, policy, 100_000)
        ran += due
        last = due[-1] if due else last
    every = schedule.between(begun, now, 1_000_000)
    assert ran == sorted(set(ran))
    assert set(ran) <= set(every)
    if policy == "all":
        assert ran == every
    if policy == "once" and every:
        assert ran[-1] == every[-1]


def test_jitter_follows_from_the_task_and_the_moment_alone() -> None:
    # Written down: another host, another release of Python and another year must compute the same.
    assert jitter_of("clear", NOON, 60) == pytest.approx(CLEAR_AT_NOON)
    tokyo = timezone(timedelta(hours=9))
    assert jitter_of("clear", NOON.astimezone(tokyo), 60) == jitter_of("clear", NOON, 60)
    assert jitter_of("clear", after(hours=1), 60) != jitter_of("clear", NOON, 60)
    assert jitter_of("heartbeat", NOON, 60) != jitter_of("clear", NOON, 60)


def test_jitter_stays_within_its_bounds_and_fills_them() -> None:
    assert jitter_of("clear", NOON, 0) == 0.0
    assert jitter_of("clear", NOON, -5) == 0.0
    drawn = [jitter_of("clear", after(minutes=n), 60) for n in range(2000)]
    assert all(0 <= seconds < 60 for seconds in drawn)
    assert min(drawn) < 1
    assert max(drawn) > 59
    assert sum(drawn) / len(drawn) == pytest.approx(30, abs=2)


def test_jitter_takes_any_key() -> None:
    assert 0 <= jitter_of("ü\ud800\0", NOON, 1) < 1
