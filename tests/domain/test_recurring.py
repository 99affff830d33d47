"""Which runs of a task are due: on time, missed, jittered, and when the clock goes back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queued.domain.recurring import CATCH_UP, Plan, RecurringTask, due_at, faults, job_of, plan, schedule_of
from queued.domain.settings import RecurringTaskSettings

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)


def task(schedule: str = "every minute", **told: Any) -> RecurringTask:
    state = {name: told.pop(name) for name in ("next_run_at", "last_run_at") if name in told}
    return RecurringTask(RecurringTaskSettings("report", schedule, "app.report", **told), "file", **state)


def planned(at: RecurringTask, now: datetime) -> Plan:
    return plan(at, schedule_of(at.settings), now)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_a_new_task_runs_at_the_next_moment_and_not_at_once() -> None:
    assert planned(task(), NOON) == Plan((), 0, NOON + seconds(60), NOON + seconds(60))


def test_a_moment_that_has_come_is_run_once_and_the_next_is_planned() -> None:
    found = planned(task(next_run_at=NOON), NOON + seconds(0.2))
    assert found == Plan((NOON,), 0, NOON + seconds(60), NOON + seconds(60))


@pytest.mark.parametrize(
    ("missed", "runs", "left_out"),
    [
        ("skip", [NOON], 60),
        ("once", [NOON], 60),
        ("all", [NOON - seconds(60 * n) for n in range(60, -1, -1)], 0),
    ],
)
def test_after_an_outage_the_policy_decides(missed: str, runs: list[datetime], left_out: int) -> None:
    found = planned(task(missed=missed, next_run_at=NOON - seconds(3600)), NOON + seconds(1))
    assert list(found.runs) == runs
    assert found.left_out == left_out
    assert found.next_run_at == NOON + seconds(60)


def test_a_nightly_run_missed_by_hours_is_left_out_or_made_up() -> None:
    due = NOON - seconds(3 * 3600)
    for missed, runs in (("skip", ()), ("once", (due,)), ("all", (due,))):
        found = planned(task("0 9 * * *", missed=missed, next_run_at=due), NOON)
        assert (found.runs, found.next_run_at) == (runs, due + timedelta(days=1)), missed


def test_what_all_has_to_make_up_comes_in_portions_without_a_gap() -> None:
    at = task("every second", missed="all", next_run_at=NOON - seconds(250))
    runs: list[datetime] = []
    for _ in range(3):
        found = planned(at, NOON)
        assert len(found.runs) <= CATCH_UP
        runs += found.runs
        at = replace(at, next_run_at=found.next_run_at, last_run_at=found.runs[-1])
    assert runs == [NOON - seconds(250 - n) for n in range(251)]


def test_a_scheduler_that_was_suspended_does_not_burst() -> None:
    for missed in ("skip", "once"):
        found = planned(task("every second", missed=missed, next_run_at=NOON - seconds(7200)), NOON)
        assert 1 <= len(found.runs) <= 6
        assert found.runs[-1] == NOON


def test_a_clock_that_was_set_back_runs_nothing_twice() -> None:
    ran = task(next_run_at=NOON + seconds(60), last_run_at=NOON)
    for now in (NOON - seconds(3600), NOON - seconds(1), NOON + seconds(59)):
        found = planned(ran, now)
        assert (found.runs, found.next_run_at) == ((), NOON + seconds(60))


def test_an_edit_while_the_clock_is_set_back_runs_nothing_twice() -> None:
    edited = task("every 30 minutes", last_run_at=NOON)
    assert planned(edited, NOON - seconds(1800)).next_run_at == NOON + seconds(1800)


def test_jitter_puts_a_start_off_and_not_the_moment() -> None:
    at = task("every hour", jitter=1800.0, next_run_at=NOON)
    due = due_at(at.settings, NOON)
    assert NOON < due < NOON + seconds(1800)
    assert planned(at, due - seconds(0.001)) == Plan((), 0, NOON, due)
    found = planned(at, due)
    assert (found.runs, found.next_run_at) == ((NOON,), NOON + seconds(3600))
    assert found.due_at == due_at(at.settings, NOON + seconds(3600))


def test_a_moment_whose_jitter_is_still_running_survives_the_moments_missed_before_it() -> None:
    at = task("every hour", jitter=1800.0, next_run_at=NOON - seconds(5 * 3600))
    found = planned(at, NOON + seconds(0.001))
    assert found.runs == ()
    assert found.next_run_at == NOON
    assert found.left_out == 5


@given(
    steps=st.lists(st.floats(-300, 900), min_size=1, max_size=30),
    missed=st.sampled_from(["skip", "once", "all"]),
    jitter=st.sampled_from([0.0, 20.0, 400.0]),
)
def test_whatever_the_clock_does_no_moment_runs_twice_and_all_leaves_none_out(
    steps: list[float], missed: str, jitter: float
) -> None:
    at, now, runs = task("every 2 minutes", missed=missed, jitter=jitter), NOON, []
    latest = NOON
    for step in [0.0, *steps]:
        now += seconds(step)
        latest = max(latest, now)
        if at.next_run_at is not None and due_at(at.settings, at.next_run_at) > now:
            continue
        found = planned(at, now)
        assert all(due_at(at.settings, run) <= now for run in found.runs)
        runs += found.runs
        last = found.runs[-1] if found.runs else at.last_run_at
        at = replace(at, next_run_at=found.next_run_at, last_run_at=last)
    assert runs == sorted(set(runs))
    if missed == "all" and at.next_run_at is not None and runs:
        assert runs == schedule_of(at.settings).between(NOON, at.next_run_at - seconds(1), 10_000)


def test_the_job_of_a_run_goes_where_the_task_says_and_else_where_the_application_says() -> None:
    settings = RecurringTaskSettings("report", "@daily", "app.report", '{"args":[1],"kwargs":{}}')
    declared = {"queue": "reports", "priority": 7, "timeout": 30.0}
    bare, own = job_of(settings, {}), job_of(settings, declared)
    assert (bare.class_name, bare.arguments) == ("app.report", '{"args":[1],"kwargs":{}}')
    assert (bare.queue, bare.priority, bare.options) == ("default", 0, None)
    assert (own.queue, own.priority, json.loads(own.options or "")) == ("reports", 7, {"timeout": 30.0})
    told = job_of(replace(settings, queue="mine", priority=-1, timeout=5.0), declared)
    assert (told.queue, told.priority, json.loads(told.options or "")) == ("mine", -1, {"timeout": 5.0})


def test_a_queue_that_is_a_function_of_arguments_cannot_be_known_and_is_the_default() -> None:
    assert job_of(RecurringTaskSettings("a", "@daily", "app.a"), {"queue": None, "priority": None}).queue == "default"


def test_everything_wrong_with_a_task_is_said() -> None:
    broken = RecurringTaskSettings(" a", "every other day", "app.a\n", queue="")
    assert [name for name, _ in faults(broken)] == ["key", "class", "queue", "schedule"]
    assert faults(RecurringTaskSettings("a", "@daily", "app.a")) == []
