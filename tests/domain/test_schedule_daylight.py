"""Schedules where the clocks change. Times are written as the clock on the wall shows them, with its offset."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from queued.domain.schedule import parse

UTC = timezone.utc


def walls(line: str, zone: str, since: str, until: str) -> list[str]:
    """The runs after `since` up to `until` (UTC), as the wall shows them."""
    runs = parse(line, zone).between(moment(since), moment(until), 1000)
    return [run.astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z") for run in runs]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Zone, the night of the jump forward (UTC, from 12:00 to 12:00) and that of the way back.
NIGHTS = {
    "Europe/Rome": ("2026-03-28T12:00", "2026-10-24T12:00"),
    "America/New_York": ("2026-03-07T16:00", "2026-10-31T16:00"),
    "Australia/Lord_Howe": ("2026-10-03T02:00", "2026-04-04T02:00"),
    # In Morocco the clock goes back for Ramadan, and forward after it.
    "Africa/Casablanca": ("2026-03-21T12:00", "2026-02-14T12:00"),
    "UTC": ("2026-03-28T12:00", "2026-10-24T12:00"),
}


@pytest.mark.parametrize("zone", NIGHTS)
@pytest.mark.parametrize("line", ["30 2 * * *", "0 2 * * *", "45 1 * * *", "15 2 * * *", "0 3 * * *"])
def test_a_daily_task_runs_exactly_once_on_both_nights(zone: str, line: str) -> None:
    for night in NIGHTS[zone]:
        since = moment(night)
        assert len(parse(line, zone).between(since, since + timedelta(days=1), 10)) == 1


@pytest.mark.parametrize("zone", NIGHTS)
@pytest.mark.parametrize("line", ["*/10 * * * *", "* * * * *", "*/15 0-6 * * *", "*/30 * * * *"])
def test_a_task_of_every_few_minutes_keeps_its_pace_in_real_time(zone: str, line: str) -> None:
    minutes = {"*/10": 10, "*": 1, "*/15": 15, "*/30": 30}[line.split()[0]]
    for night in NIGHTS[zone]:
        # From 0:30 to 5:30 on the wall, more or less: well within the hours 0 to 6 on each side.
        since = moment(night).replace(hour=0) + timedelta(days=1)
        local = since.astimezone(ZoneInfo(zone))
        since -= timedelta(hours=local.hour - 1 if local.hour < 12 else local.hour - 25)
        runs = parse(line, zone).between(since, since + timedelta(hours=4), 1000)
        assert len(runs) == 4 * 60 // minutes
        assert {b - a for a, b in pairwise(runs)} == {timedelta(minutes=minutes)}


def test_the_hour_that_rome_skips() -> None:
    night = ("2026-03-28T23:30", "2026-03-29T03:00")
    assert walls("30 2 * * *", "Europe/Rome", *night) == ["29 03:00+0200"]
    assert walls("0,15,30 2 * * *", "Europe/Rome", *night) == ["29 03:00+0200"]
    assert walls("0 2,3 * * *", "Europe/Rome", *night) == ["29 03:00+0200"]
    assert walls("*/20 2 * * *", "Europe/Rome", *night) == ["29 03:00+0200"]
    assert walls("0 */2 * * *", "Europe/Rome", *night) == ["29 03:00+0200", "29 04:00+0200"]
    assert walls("0 * * * *", "Europe/Rome", *night) == [
        "29 01:00+0100",
        "29 03:00+0200",
        "29 04:00+0200",
        "29 05:00+0200",
    ]
    assert walls("30 * * * *", "Europe/Rome", *night) == ["29 01:30+0100", "29 03:30+0200", "29 04:30+0200"]


def test_the_hour_that_rome_repeats() -> None:
    night = ("2026-10-24T23:30", "2026-10-25T03:00")
    assert walls("30 2 * * *", "Europe/Rome", *night) == ["25 02:30+0200"]
    assert walls("0,30 2 * * *", "Europe/Rome", *night) == ["25 02:00+0200", "25 02:30+0200"]
    assert walls("*/30 2 * * *", "Europe/Rome", *night) == ["25 02:00+0200", "25 02:30+0200"]
    assert walls("0 */2 * * *", "Europe/Rome", *night) == ["25 02:00+0200", "25 04:00+0100"]
    assert walls("30 1-3 * * *", "Europe/Rome", *night) == ["25 02:30+0200", "25 03:30+0100"]
    assert walls("0 * * * *", "Europe/Rome", *night) == [
        "25 02:00+0200",
        "25 02:00+0100",
        "25 03:00+0100",
        "25 04:00+0100",
    ]


def test_half_an_hour_on_lord_howe() -> None:
    forward = ("2026-10-03T13:30", "2026-10-03T17:00")
    assert walls("15 2 * * *", "Australia/Lord_Howe", *forward) == ["04 02:30+1100"]
    assert walls("45 2 * * *", "Australia/Lord_Howe", *forward) == ["04 02:45+1100"]
    # Hours that begin in the skipped half hour are hours all the same: none is left out.
    assert walls("0 * * * *", "Australia/Lord_Howe", *forward) == [
        "04 01:00+1030",
        "04 02:30+1100",
        "04 03:00+1100",
        "04 04:00+1100",
    ]
    back = ("2026-04-04T13:45", "2026-04-04T17:00")
    assert walls("45 1 * * *", "Australia/Lord_Howe", *back) == ["05 01:45+1100"]
    # And none that is shown twice runs twice.
    assert walls("45 * * * *", "Australia/Lord_Howe", *back) == ["05 01:45+1100", "05 02:45+1030"]
    assert walls("*/30 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00", "2026-04-04T16:00") == [
        "05 01:30+1100",
        "05 01:30+1030",
        "05 02:00+1030",
        "05 02:30+1030",
    ]


def test_ramadan_in_casablanca() -> None:
    assert walls("30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00", "2026-02-16T12:00") == [
        "15 02:30+0100",
        "16 02:30+0000",
    ]
    assert walls("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00", "2026-03-23T12:00") == [
        "22 03:00+0100",
        "23 02:30+0100",
    ]


def test_midnight_that_does_not_exist_and_midnight_that_comes_twice() -> None:
    assert walls("@daily", "Africa/Cairo", "2026-04-23T12:00", "2026-04-25T00:00") == ["24 01:00+0300", "25 00:00+0300"]
    assert walls("@daily", "America/Havana", "2026-10-31T12:00", "2026-11-02T06:00") == [
        "01 00:00-0400",
        "02 00:00-0500",
    ]


def test_a_day_that_does_not_exist_runs_at_the_beginning_of_the_next() -> None:
    # Samoa went from 29 to 31 December 2011.
    assert walls("30 2 * * *", "Pacific/Apia", "2011-12-29T00:00", "2012-01-01T00:00") == [
        "29 02:30-1000",
        "31 00:00+1400",
        "31 02:30+1400",
        "01 02:30+1400",
    ]


def test_days_that_are_counted_keep_their_time_on_the_wall() -> None:
    assert walls("every 5 days at 2:30", "Europe/Rome", "2026-03-23T12:00", "2026-04-04T12:00") == [
        "24 02:30+0100",
        "29 03:00+0200",
        "03 02:30+0200",
    ]


def test_zones_without_changes_have_none() -> None:
    assert walls("30 2 * * *", "EST", "2026-03-08T00:00", "2026-03-09T00:00") == ["08 02:30-0500"]
    runs = parse("30 2 * * * +09:00").between(moment("2026-03-28T00:00"), moment("2026-03-30T00:00"), 9)
    assert runs == [moment("2026-03-28T17:30"), moment("2026-03-29T17:30")]


def test_the_zone_of_the_text_goes_before_the_default_one() -> None:
    noon = moment("2026-01-01T00:00")
    assert parse("0 12 * * * Asia/Tokyo", "Europe/Rome").next_after(noon) == moment("2026-01-01T03:00")
    assert parse("0 12 * * *", "Europe/Rome").next_after(noon) == moment("2026-01-01T11:00")
    assert parse("0 12 * * *").next_after(noon) == moment("2026-01-01T12:00")


def test_moments_may_be_given_in_any_zone() -> None:
    schedule = parse("30 2 * * *", "Europe/Rome")
    in_tokyo = moment("2026-10-25T00:00").astimezone(ZoneInfo("Asia/Tokyo"))
    following = schedule.next_after(in_tokyo)
    assert following == schedule.next_after(moment("2026-10-25T00:00")) == moment("2026-10-25T00:30")
    assert following is not None
    assert following.tzinfo is UTC
