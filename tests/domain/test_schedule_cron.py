"""Cron lines: five or six fields, nicknames, and what is beyond common cron."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from queued.domain.schedule import ScheduleError, parse

UTC = timezone.utc


def days(line: str, year: int, month: int, count: int = 40) -> list[int]:
    """The days of that month on which the line runs."""
    since = datetime(year, month, 1, tzinfo=UTC) - timedelta(seconds=1)
    until = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) - timedelta(seconds=1)
    return [run.day for run in parse(line).between(since, until, count)]


def times(line: str) -> list[str]:
    """The times at which the line runs on one Thursday."""
    since = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1)
    runs = parse(line).between(since, since + timedelta(days=1), 100_000)
    return [run.strftime("%H:%M:%S" if run.second else "%H:%M") for run in runs]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("0 5 * * *", "0 5 * * *"),
        ("  0   5 * *  * ", "0 5 * * *"),
        ("30 0 5 * * *", "30 0 5 * * *"),
        ("0 5 * jan,FEB Mon-fri", "0 5 * 1,2 1-5"),
        (",5,,10, * * * *", "5,10 * * * *"),
        ("/10 * * * *", "*/10 * * * *"),
        ("*/1 * * * *", "* * * * *"),
        ("1/15 * * * *", "1/15 * * * *"),
        ("0 0 last * *", "0 0 L * *"),
        ("0 0 -1 * *", "0 0 L * *"),
        ("0 0 -7-l * *", "0 0 -7-L * *"),
        ("0 0 * * fri#last,5#4", "0 0 * * 5#L,5#4"),
        ("0 0 * * fri#-1", "0 0 * * 5#-1"),
        ("0 0 * * sun%2,tue%3+2", "0 0 * * 0%2,2%3+2"),
        ("0 0 */2& * 1-5", "0 0 */2 * 1-5&"),
        ("0 0 */2 * 1-5&", "0 0 */2 * 1-5&"),
        ("0 0 * * 1-5&", "0 0 * * 1-5"),
        ("0 24 * * *", "0 24 * * *"),
        ("0 5 * * * Europe/Rome", "0 5 * * * Europe/Rome"),
        ("0 5 * * * EST", "0 5 * * * EST"),
        ("0 5 * * SUN", "0 5 * * 0"),
        ("0 0 5 * * SUN", "0 0 5 * * 0"),
        ("0 0 5 * * MON-FRI Asia/Tokyo", "0 0 5 * * 1-5 Asia/Tokyo"),
        ("0 5 * * * +0900", "0 5 * * * +0900"),
        ("0 5 * * * -09:30", "0 5 * * * -09:30"),
    ],
)
def test_a_cron_line_is_given_back_plainly(written: str, plain: str) -> None:
    schedule = parse(written)
    assert schedule.cron == plain
    assert parse(plain).cron == plain


@pytest.mark.parametrize(
    ("nickname", "line"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@noon", "0 12 * * *"),
        ("@hourly", "0 * * * *"),
        ("@daily Asia/Tokyo", "0 0 * * * Asia/Tokyo"),
        ("@noon +09:00", "0 12 * * * +09:00"),
    ],
)
def test_nicknames_stand_for_lines(nickname: str, line: str) -> None:
    assert parse(nickname).cron == line


def test_six_fields_begin_with_seconds() -> None:
    assert times("15,45 30 5 * * *") == ["05:30:15", "05:30:45"]


def test_ranges_go_over_the_end() -> None:
    assert times("0 22-2 * * *") == ["00:00", "01:00", "02:00", "22:00", "23:00"]
    assert times("0 22-2/2 * * *") == ["00:00", "02:00", "22:00"]
    assert times("50-10/10 3 * * *") == ["03:00", "03:10", "03:50"]
    # 1 January 2027 is a Friday.
    assert days("0 0 * * fri-sun", 2027, 1)[:5] == [1, 2, 3, 8, 9]
    assert days("0 0 30-3 * *", 2026, 1) == [1, 2, 3, 30, 31]
    assert days("0 0 30-3 * *", 2026, 2) == [1, 2, 3]
    assert [month for month in range(1, 13) if days("0 0 1 nov-mar *", 2026, month)] == [1, 2, 3, 11, 12]


def test_hour_24_is_midnight() -> None:
    assert times("0 24 * * *") == ["00:00"]
    assert times("0 22-24 * * *") == ["00:00", "22:00", "23:00"]


def test_steps_beyond_the_range_leave_the_first_value() -> None:
    assert times("0 */27 * * *") == ["00:00"]
    assert times("*/60 3 * * *") == ["03:00"]
    assert times("*/90 3 * * *") == ["03:00"]
    assert parse("*/90 * * * *").describe() == "every hour at minute 0"


def test_a_step_of_zero_is_refused_in_every_field() -> None:
    """The parent takes it as 1 in the weekdays alone; here it is a mistake in all of them."""
    for line in ("*/0 * * * *", "0 */0 * * *", "0 0 */0 * *", "0 0 1 */0 *", "0 0 * * */0", "0 0 * * 1-5/0"):
        with pytest.raises(ScheduleError, match="step of 0"):
            parse(line)


def test_days_are_counted_from_the_end_of_the_month() -> None:
    assert days("0 0 L * *", 2026, 2) == [28]
    assert days("0 0 L * *", 2028, 2) == [29]
    assert days("0 0 -3 * *", 2026, 4) == [28]
    assert days("0 0 -7-L * *", 2026, 4) == [24, 25, 26, 27, 28, 29, 30]
    assert days("0 0 25-L * *", 2026, 2) == [25, 26, 27, 28]
    assert days("0 0 30-L * *", 2026, 2) == []
    assert days("0 0 -2-2 * *", 2026, 2) == [1, 2, 27, 28]
    assert days("0 0 1,L * *", 2026, 11) == [1, 30]
    assert days("0 0 -31 * *", 2026, 1) == [1]
    assert days("0 0 -31 * *", 2026, 2) == []


def test_the_nth_weekday_of_the_month() -> None:
    # November 2026 begins on a Sunday.
    assert days("0 0 * * mon#1", 2026, 11) == [2]
    assert days("0 0 * * 0#1", 2026, 11) == [1]
    assert days("0 0 * * sun#5", 2026, 11) == [29]
    assert days("0 0 * * tue#5", 2026, 11) == []
    assert days("0 0 * * fri#L", 2026, 11) == [27]
    assert days("0 0 * * fri#-2", 2026, 11) == [20]
    assert days("0 0 * * 5#4,5#5", 2026, 10) == [23, 30]


def test_weeks_are_counted_from_monday_2018_12_31() -> None:
    assert days("0 0 * * mon%2", 2018, 12) == [3, 17, 31]
    assert days("0 0 * * mon%2", 2019, 1) == [14, 28]
    assert days("0 0 * * sun%2", 2019, 1) == [6, 20]
    assert days("0 0 * * sun%2+1", 2019, 1) == [13, 27]
    assert days("0 0 * * tue%3+2", 2019, 1) == [15]
    assert days("0 0 * * tue%3+5", 2019, 1) == [15]
    assert days("0 0 * * mon%2,wed%3+1", 2019, 1) == [9, 14, 28, 30]


def test_days_of_the_month_and_weekdays_are_either_or_both_with_an_ampersand() -> None:
    # Fridays of November 2026: 6, 13, 20, 27.
    assert days("0 0 13 * 5", 2026, 11) == [6, 13, 20, 27]
    assert days("0 0 14 * 5", 2026, 11) == [6, 13, 14, 20, 27]
    assert days("0 0 14 * 5&", 2026, 11) == []
    assert days("0 0 13 * 5&", 2026, 11) == [13]
    assert days("0 0 13& * 5", 2026, 11) == [13]
    assert days("0 0 */2 * 1-5&", 2026, 11) == [3, 5, 9, 11, 13, 17, 19, 23, 25, 27]
    assert days("0 0 * * 5", 2026, 11) == [6, 13, 20, 27]


def test_days_that_a_month_lacks_are_left_out_of_it() -> None:
    assert days("0 0 30,31 2,3 *", 2026, 2) == []
    assert days("0 0 30,31 2,3 *", 2026, 3) == [30, 31]
    assert parse("0 0 31 * *").next_after(datetime(2026, 1, 31, tzinfo=UTC)) == datetime(2026, 3, 31, tzinfo=UTC)


def test_the_29th_of_february_waits_for_its_year_also_over_a_year_without_one() -> None:
    leap = parse("0 12 29 2 *")
    assert leap.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, 12, tzinfo=UTC)
    assert leap.next_after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, 12, tzinfo=UTC)
    assert leap.previous_before(datetime(2104, 1, 1, tzinfo=UTC)) == datetime(2096, 2, 29, 12, tzinfo=UTC)
    monday = parse("0 0 29 2 1&")
    assert monday.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2044, 2, 29, tzinfo=UTC)


def test_moments_are_strict_and_on_whole_seconds() -> None:
    schedule = parse("0 5 * * *")
    five = datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert schedule.next_after(five) == five + timedelta(days=1)
    assert schedule.next_after(five - timedelta(microseconds=1)) == five
    assert schedule.previous_before(five) == five - timedelta(days=1)
    assert schedule.previous_before(five + timedelta(microseconds=1)) == five
    assert schedule.between(five, five + timedelta(days=1), 9) == [five + timedelta(days=1)]
    assert schedule.between(five, five + timedelta(days=9), 3) == [five + timedelta(days=n) for n in (1, 2, 3)]


def test_the_end_of_the_calendar_is_no_error() -> None:
    assert parse("0 0 29 2 *").next_after(datetime(9997, 1, 1, tzinfo=UTC)) is None


REFUSED = {
    "0 5 * *": ("this one has 4", "minute, hour, day of month"),
    "* * * * * * *": ("this one has 7", "`0 5 * * *`"),
    "60 * * * *": ("'60' is not a minute", "0 to 59"),
    "0 25 * * *": ("'25' is not an hour", "0 to 24"),
    "0 0 32 * *": ("'32' is not a day of the month", "1 to 31"),
    "0 0 0 * *": ("'0' is not a day of the month", "L for the last"),
    "0 0 1 13 *": ("'13' is not a month", "jan to dec"),
    "0 0 1 0 *": ("'0' is not a month", "1 to 12"),
    "0 0 * * 8": ("'8' is not a weekday", "0 to 7 or sun to sat"),
    "0 0 * * monday": ("'monday' is not a weekday", "sun to sat"),
    "0 0 30 2 *": ("no such day ever comes", "L for the last"),
    "0 0 31 4,6,9,11 *": ("no such day ever comes", "L for the last"),
    "0 0 31 2 mon#1&": ("no such day ever comes", "L for the last"),
    "~ * * * *": ("random minute", "`jitter:`"),
    "0~29 5 * * *": ("random minute", "`jitter:`"),
    "0 5 * * ~": ("random weekday", "`jitter:`"),
    "H * * * *": ("by hash", "`jitter:`"),
    "0 5 ? * *": ("'?'", "*"),
    "0 0 15W * *": ("does not fit", "1 to 31"),
    "0 0 * * mon#6": ("no such weekday", "#1 to #5"),
    "0 0 * * mon#0": ("no such weekday", "#1 to #5"),
    "0 0 * * mon%0": ("every 0 weeks", "mon%2"),
    "0 0 * * mon%600": ("every 600 weeks", "mon%520"),
    "*/100 * * * *": ("step of 100", "`every 90 minutes`"),
    "*-5 * * * *": ("without a beginning", "0-5"),
    "1-2-3 * * * *": ("does not fit", "range such as 1-5"),
    "- * * * *": ("does not fit", "0 to 59"),
    ", * * * *": ("holds nothing", "*"),
    "0 0 -2-2/2 * *": ("over the end of the month", "one by one"),
    "@reboot": ("not a time", "start hook"),
    "@often": ("no nickname '@often'", "@hourly"),
    "@daily Romee": ("no time zone 'Romee'", "Europe/Rome"),
    "0 5 * * * europe/rome": ("no time zone 'europe/rome'", "Europe/Rome"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_wrong_line_is_refused_with_what_to_write_instead(line: str) -> None:
    wrong, instead = REFUSED[line]
    with pytest.raises(ScheduleError) as caught:
        parse(line)
    assert wrong in caught.value.problem
    assert instead in caught.value.instead


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("12 * * * *", "every hour at minute 12"),
        ("*/5 * * * *", "every 5 minutes"),
        ("* * * * * *", "every second"),
        ("1/15 * * * *", "every 15 minutes from minute 1"),
        ("10,50 * * * * *", "every minute at seconds 10 and 50"),
        ("0 */3 * * *", "every 3 hours at minute 0"),
        ("0 5 * * *", "every day at 05:00"),
        ("0 5 * * * Europe/Rome", "every day at 05:00, Europe/Rome time"),
        ("30 0 5 * * *", "every day at 05:00:30"),
        ("0 16,18 * * 1-5", "every Monday to Friday at 16:00 and 18:00"),
        ("0 8-17 * * *", "every hour from 08:00 to 17:00"),
        ("*/5 8-16 * * 1-5", "every 5 minutes from 08:00 to 16:59, every Monday to Friday"),
        ("0 0 1,15 * *", "on days 1 and 15 of the month at 00:00"),
        ("0 0 L 2 *", "on the last day of February at 00:00"),
        ("0 0 1 6/1 *", "on day 1 of June to December at 00:00"),
        ("0 0 * * fri#L", "on the last Friday of the month at 00:00"),
        ("0 0 * * fri#-2", "on the second but last Friday of the month at 00:00"),
        ("0 0 13 * 5", "on day 13 of the month and on Friday at 00:00"),
        ("0 0 13 * 5&", "on day 13 of the month if it is Friday at 00:00"),
        ("0 17 * * 1%2,4%2", "on Monday and Thursday of every 2 weeks (counted from Monday 2018-12-31) at 17:00"),
        ("every 90 minutes", "every 90 minutes, counted from Monday 2018-12-31 00:00 UTC"),
        ("every 2 days at 17:00", "every 2 days (counted from Monday 2018-12-31) at 17:00"),
        ("every 5 months", "on day 1 of every 5 months (counted from January 2019) at 00:00"),
        ("every 2 years", "on day 1 of January of every 2 years (counted from 2019) at 00:00"),
    ],
)
def test_a_schedule_is_told_in_plain_words(text: str, words: str) -> None:
    assert parse(text).describe() == words
