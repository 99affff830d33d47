"""The names of time zones, and what is proposed instead of wrong ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from queued.domain.schedule import ScheduleError, parse
from queued.domain.schedule.zones import MEANT, find_zone

WINTER = datetime(2026, 1, 1)


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("UTC", 0),
        ("Europe/Rome", 1),
        ("America/Argentina/Buenos_Aires", -3),
        ("EST", -5),
        ("MST", -7),
        ("HST", -10),
        ("GMT", 0),
        ("Etc/GMT+5", -5),
        ("Asia/Kathmandu", 5.75),
        ("+09:00", 9),
        ("+0900", 9),
        ("-09:30", -9.5),
        ("+05:45", 5.75),
        ("+00:00", 0),
    ],
)
def test_a_zone_is_a_name_or_an_offset(name: str, hours: float) -> None:
    assert find_zone(name).utcoffset(WINTER) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("europe/rome", "Europe/Rome"),
        ("Europe/Roma", "Europe/Rome"),
        ("Europe/Milan", "Europe/Rome, or an offset"),
        ("Rome", "Europe/Rome"),
        ("New York", "America/New_York"),
        ("New_York", "America/New_York"),
        ("utc", "UTC"),
        ("Z", "UTC"),
        ("PST", "America/Los_Angeles"),
        ("CEST", "Europe/Berlin"),
        ("JST", "Asia/Tokyo"),
        ("UTC+5", "+05:00"),
        ("GMT-3:30", "-03:30"),
        ("+9", "+09:00"),
        ("+9:00", "+09:00"),
        ("+09:10", "+09:00"),
        ("+19:00", "+14:00"),
        ("Eastern Time (US & Canada)", "America/New_York"),
        ("Pacific Time (US & Canada)", "America/Los_Angeles"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("posix/Europe/Rome", "Europe/Rome"),
        ("right/Europe/Rome", "Europe/Rome"),
        ("../../etc/passwd", "Europe/Rome, or an offset"),
        ("Mars/Olympus", "Europe/Rome, or an offset"),
        ("", "Europe/Rome, or an offset"),
    ],
)
def test_a_zone_that_does_not_exist_gets_a_proposal(name: str, instead: str) -> None:
    with pytest.raises(ScheduleError, match="there is no time zone") as caught:
        find_zone(name)
    assert instead in caught.value.instead


@pytest.mark.parametrize("name", sorted(MEANT.values()))
def test_every_proposed_zone_exists(name: str) -> None:
    assert find_zone(name)


@pytest.mark.parametrize(
    "text",
    [
        "every day at 5pm in Eastern Time (US & Canada)",
        "every day at 5pm Eastern Time (US & Canada)",
        "0 17 * * * Eastern Time (US & Canada)",
        "every day at 5pm EDT",
        "0 17 * * * EDT",
    ],
)
def test_names_of_other_systems_are_refused_with_the_name_to_write(text: str) -> None:
    with pytest.raises(ScheduleError, match="write America/New_York"):
        parse(text)


def test_a_wrong_default_zone_is_refused_even_if_the_text_names_one() -> None:
    with pytest.raises(ScheduleError, match="write Europe/Rome"):
        parse("0 5 * * * UTC", "Europe/Roma")


def test_the_default_zone_is_told_and_is_not_part_of_the_cron_line() -> None:
    schedule = parse("every day at 5am", "Europe/Rome")
    assert schedule.cron == "0 5 * * *"
    assert schedule.describe() == "every day at 05:00, Europe/Rome time"


def test_schedules_of_the_same_text_and_zone_are_equal() -> None:
    assert parse("every 5 minutes", "Europe/Rome") == parse("every  5 minutes", "Europe/Rome")
    assert parse("every 5 minutes", "Europe/Rome") != parse("every 5 minutes")
    assert parse("every 90 minutes") == parse("every 90 minutes")
    assert len({parse("0 5 * * *"), parse("0 5 * * *"), parse("0 6 * * *")}) == 2


def test_zones_hold_in_python_s_own_terms() -> None:
    following = parse("0 12 * * * America/New_York").next_after(datetime(2026, 7, 1, tzinfo=timezone.utc))
    assert following == datetime(2026, 7, 1, 16, tzinfo=timezone.utc)
