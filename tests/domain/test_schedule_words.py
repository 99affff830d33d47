"""Schedules in words: each accepted form with the cron line that it means, and those where we differ on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from queued.domain.schedule import Elapsed, ScheduleError, parse

UTC = timezone.utc

FORMS = {
    # periods
    "every second": "* * * * * *",
    "every 1 second": "* * * * * *",
    "every 15s": "*/15 * * * * *",
    "every 15 sec": "*/15 * * * * *",
    "every 15 seconds": "*/15 * * * * *",
    "every minute": "* * * * *",
    "every 1 minute": "* * * * *",
    "every 5m": "*/5 * * * *",
    "every 5 min": "*/5 * * * *",
    "every 5 minutes": "*/5 * * * *",
    "every 15 minutes": "*/15 * * * *",
    "every hour": "0 * * * *",
    "every 1 h": "0 * * * *",
    "every 1 hour": "0 * * * *",
    "every 3h": "0 */3 * * *",
    "every 3 hours": "0 */3 * * *",
    "every day": "0 0 * * *",
    "every 1 day": "0 0 * * *",
    "every week": "0 0 * * 0",
    "every 1 week": "0 0 * * 0",
    "every month": "0 0 1 * *",
    "every 1 month": "0 0 1 * *",
    "every 2 months": "0 0 1 */2 *",
    "every 4 months": "0 0 1 */4 *",
    "every 4M": "0 0 1 */4 *",
    "every year": "0 0 1 1 *",
    "every 1 year": "0 0 1 1 *",
    "every 60 minutes": "*/60 * * * *",
    "every five minutes": "*/5 * * * *",
    "EVERY 5 minutes": "*/5 * * * *",
    "Every Monday": "0 0 * * 1",
    # weekdays
    "every weekday": "0 0 * * 1-5",
    "every weekday at five": "0 5 * * 1-5",
    "every weekday at five pm": "0 17 * * 1-5",
    "every monday": "0 0 * * 1",
    "every wed at 5 pm": "0 17 * * 3",
    "every Thursday at 1 AM": "0 1 * * 4",
    "every friday and thursday": "0 0 * * 4,5",
    "every tuesday and monday at 5pm": "0 17 * * 1,2",
    "every wed or Monday at 5pm and 11": "0 11,17 * * 1,3",
    "every Mon,Tue,Wed at 18:00": "0 18 * * 1,2,3",
    "every Mon, Tue, and Wed at 18:15": "15 18 * * 1,2,3",
    "every Mon to Thu at 18:20": "20 18 * * 1-4",
    "every Mon to Thu, 18:20": "20 18 * * 1-4",
    "every mon-thu at 18:20": "20 18 * * 1-4",
    "every Monday to Thursday at 18:20": "20 18 * * 1-4",
    "every Monday through Friday at 19:20": "20 19 * * 1-5",
    "every Fri-Sun at 18:00 UTC": "0 18 * * 5-0 UTC",
    "from Monday to Friday at 19:22": "22 19 * * 1-5",
    "from Monday through Friday at 19:21": "21 19 * * 1-5",
    "every week on monday 18:23": "23 18 * * 1",
    "every monday 18:24": "24 18 * * 1",
    "at 9am on mondays and fridays": "0 9 * * 1,5",
    "every 15 minutes on weekdays": "*/15 * * * 1-5",
    # minutes and seconds
    "every hour at minute 12": "12 * * * *",
    "every hour at min 11": "11 * * * *",
    "every hour on the hour": "0 * * * *",
    "every 12 hours at minute 50": "50 */12 * * *",
    "every 12h at min 50": "50 */12 * * *",
    "every minute at second 10": "10 * * * * *",
    "every minute at second 10 and 40": "10,40 * * * * *",
    "every minute at secs 10 and 40": "10,40 * * * * *",
    # times of the day
    "every day at five": "0 5 * * *",
    "at 5am every day": "0 5 * * *",
    "every day at 5 pm": "0 17 * * *",
    "every day at 5pm": "0 17 * * *",
    "every day at 5:00pm": "0 17 * * *",
    "every day at 5:00 pm": "0 17 * * *",
    "every day at 17:00": "0 17 * * *",
    "every day at five pm": "0 17 * * *",
    "every day at five PM": "0 17 * * *",
    "every day at five thirty pm": "30 17 * * *",
    "every day at five forty-five": "45 5 * * *",
    "every day at eleven hundred": "0 11 * * *",
    "every day at 8:30 am": "30 8 * * *",
    "every day at 08:30 PM": "30 20 * * *",
    "every day at noon": "0 12 * * *",
    "every day at midnight": "0 0 * * *",
    "every day at 12am": "0 0 * * *",
    "every day at 12pm": "0 12 * * *",
    "every day at 12:00 am": "0 0 * * *",
    "every day at 12:15am": "15 0 * * *",
    "every day at 12:15 pm": "15 12 * * *",
    "every day at 12 noon": "0 12 * * *",
    "every day at 12 midday": "0 12 * * *",
    "every day at 12 midnight": "0 24 * * *",
    "every day at 12:15 midnight": "15 24 * * *",
    "every day at zero dark twenty": "20 0 * * *",
    "every day at oh dark forty": "40 0 * * *",
    "every day at one dark fifty": "50 1 * * *",
    "at five o'clock": "0 5 * * *",
    "at 5 o'clock": "0 5 * * *",
    "at 12:00 PM": "0 12 * * *",
    "at 12PM": "0 12 * * *",
    "at noon": "0 12 * * *",
    "at 12 NOON": "0 12 * * *",
    "at 12 midnight": "0 24 * * *",
    "every day at 16:00 and 18:00": "0 16,18 * * *",
    "every day at 6pm and 8pm UTC": "0 18,20 * * * UTC",
    "every day at 18:00 and 18:15": "0,15 18 * * *",
    "every day at 18:00, 18:15, 20:00, and 20:15": "0,15 18,20 * * *",
    "every month at 19:10": "10 19 1 * *",
    "every year at 20:10": "10 20 1 1 *",
    # days of the month
    "every 1st of the month": "0 0 1 * *",
    "every first of the month at midnight": "0 0 1 * *",
    "every 15th of the month": "0 0 15 * *",
    "every 2nd of the month at 10:00": "0 10 2 * *",
    "every second of the month at 10:00": "0 10 2 * *",
    "every twenty-third of the month": "0 0 23 * *",
    "every last of the month": "0 0 L * *",
    "every month on day 2 at 10:00": "0 10 2 * *",
    "every month on day 2 and 5 at 10:00": "0 10 2,5 * *",
    "every month on days 1,15": "0 0 1,15 * *",
    "every month on days 1,15 at 10:00": "0 10 1,15 * *",
    "every month on the 1st at 11:00": "0 11 1 * *",
    "every month on the 1st and last at 12:00 pm": "0 12 1,L * *",
    "every month on the 1st and the last at 12:00 pm": "0 12 1,L * *",
    "every month on the 1st and the second at 12:00 pm": "0 12 1,2 * *",
    "from the 25th to the last": "0 0 25-L * *",
    "every day from the 25th to the last": "0 0 25-L * *",
    "every day at noon from the 25th to the last": "0 12 25-L * *",
    "from the 25th to the last, at noon and midnight": "0 0,12 25-L * *",
    "every monday from the 25th to the last": "0 0 25-L * 1&",
    # ranges of hours
    "every weekday 8am to 5pm": "0 8-17 * * 1-5",
    "every weekday 8am to 5pm on the hour": "0 8-17 * * 1-5",
    "every weekday 8am to 5pm on the minute": "* 8-16 * * 1-5",
    "every weekday 8am to 5pm on minute 10 and 30": "10,30 8-16 * * 1-5",
    "every weekday 8:30am to 5:30pm": "30 8-17 * * 1-5",
    "every hour, 8am to 5pm": "0 8-17 * * *",
    "every hour, from 8am to 5pm": "0 8-17 * * *",
    "every hour from 8am to 5pm at minute 10": "10 8-16 * * *",
    "every 2 hours from 8am to 5pm": "0 8-17/2 * * *",
    "every minute, 8am to 5pm": "* 8-16 * * *",
    "every minute from 8am to 5pm": "* 8-16 * * *",
    "every minute from 10pm to 6am": "* 22-5 * * *",
    "every 5 minutes from 8:00-17:00": "*/5 8-16 * * *",
    # zones
    "every day at 5 pm in Asia/Tokyo": "0 17 * * * Asia/Tokyo",
    "every day at 5 pm on America/Bogota": "0 17 * * * America/Bogota",
    "every day at 5 pm America/Los_Angeles": "0 17 * * * America/Los_Angeles",
    "every day at 5 pm in America/Argentina/Buenos_Aires": "0 17 * * * America/Argentina/Buenos_Aires",
    "every day at 5 pm in Etc/GMT+5": "0 17 * * * Etc/GMT+5",
    "every day at 5 pm EST": "0 17 * * * EST",
    "every day at 1am EST": "0 1 * * * EST",
    "every day at 5 pm UTC": "0 17 * * * UTC",
    "every day at 5 pm +09:00": "0 17 * * * +09:00",
    "in Europe/Rome at 5 pm every day": "0 17 * * * Europe/Rome",
    "every day at 5 pm Japan": "0 17 * * * Japan",
    # starting
    "every second starting at second 10": "10/1 * * * * *",
    "every second from second 10": "10/1 * * * * *",
    "every 15 minutes starting at minute 1": "1/15 * * * *",
    "every hour starting at hour 8": "0 8/1 * * *",
    "every 5 days starting at day 3": "0 0 3/5 * *",
    "every month starting at month 6": "0 0 1 6/1 *",
    # space around
    " \nevery  day at five \n": "0 5 * * *",
}

#: Where the parent's grammar accepts a form and runs something else than it says, or refuses one that can be run truly:
#: the parent's cron (None where it refuses), ours (None where no cron says it), and why.
DIFFERENCES = {
    "every 2 days": ("0 0 */2 * *", None, "would run on the 31st and again on the 1st; days are counted instead"),
    "every 2 days at 17:00": ("0 17 */2 * *", None, "as above"),
    "every 17 hours": ("0 */17 * * *", None, "would run at 0:00 and 17:00, 17 and 7 hours apart; hours are counted"),
    "every 90 minutes": ("*/90 * * * *", None, "would run every hour; minutes are counted"),
    "every 7 minutes": ("*/7 * * * *", None, "would rest 4 minutes at each full hour; minutes are counted"),
    "every 45 seconds": ("*/45 * * * * *", None, "would run 45 and 15 seconds apart; seconds are counted"),
    "every 5 months": ("0 0 1 */5 *", None, "would run in November and again in January; months are counted"),
    "every 100 minutes": (None, None, "minutes are counted, however many digits they have"),
    "every 2 weeks": (None, "0 0 * * 1%2", "weeks are counted from Monday 2018-12-31, which cron's % does too"),
    "every 2 years": (None, None, "years are counted from January 2019"),
}


@pytest.mark.parametrize("text", FORMS)
def test_words_mean_their_cron_line(text: str) -> None:
    schedule = parse(text)
    assert schedule.cron == FORMS[text]
    assert schedule.text == " ".join(text.split())


@pytest.mark.parametrize("text", FORMS)
def test_words_run_when_their_cron_line_runs(text: str) -> None:
    words, line = parse(text, "Europe/Rome"), parse(FORMS[text], "Europe/Rome")
    since = datetime(2026, 3, 28, 12, tzinfo=UTC)
    until = since + timedelta(days=800)
    runs = words.between(since, until, 50)
    assert runs
    assert runs == line.between(since, until, 50)
    assert words.describe() == line.describe()


@pytest.mark.parametrize("text", DIFFERENCES)
def test_we_differ_on_purpose(text: str) -> None:
    theirs, ours, reason = DIFFERENCES[text]
    schedule = parse(text)
    assert schedule.cron == ours, reason
    if theirs is not None:
        since = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
        until = since + timedelta(days=800)
        assert parse(theirs).between(since, until, 100) != schedule.between(since, until, 100), reason


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("every 90 minutes", timedelta(minutes=90)),
        ("every 100 minutes", timedelta(minutes=100)),
        ("every 17 hours", timedelta(hours=17)),
        ("every 36 hours", timedelta(hours=36)),
        ("every 7 minutes", timedelta(minutes=7)),
        ("every 45 seconds", timedelta(seconds=45)),
    ],
)
def test_a_period_that_divides_nothing_is_real_time_from_the_anchor(text: str, period: timedelta) -> None:
    schedule = parse(text, "Europe/Rome")
    assert isinstance(schedule, Elapsed)
    anchor = datetime(2018, 12, 31, tzinfo=UTC)
    # Across both changes of the clock of a year.
    since = datetime(2026, 3, 28, tzinfo=UTC)
    runs = schedule.between(since, since + timedelta(days=240), 10_000)
    assert {later - earlier for earlier, later in pairwise(runs)} == {period}
    assert (runs[0] - anchor) % period == timedelta()
    assert schedule.previous_before(anchor) == anchor - period
    assert schedule.next_after(anchor - timedelta(microseconds=1)) == anchor


def test_every_two_days_goes_on_over_the_end_of_the_month() -> None:
    schedule = parse("every 2 days at 17:00", "Europe/Rome")
    runs = schedule.between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), 1000)
    walls = [run.astimezone(ZoneInfo("Europe/Rome")) for run in runs]
    assert {(wall.hour, wall.minute) for wall in walls} == {(17, 0)}
    days = [wall.date().toordinal() for wall in walls]
    assert {later - earlier for earlier, later in pairwise(days)} == {2}
    assert (days[0] - datetime(2018, 12, 31).toordinal()) % 2 == 0


def test_every_two_weeks_is_a_monday_of_the_counted_weeks() -> None:
    schedule = parse("every 2 weeks")
    assert schedule.next_after(datetime(2018, 12, 30, tzinfo=UTC)) == datetime(2018, 12, 31, tzinfo=UTC)
    assert schedule.next_after(datetime(2018, 12, 31, tzinfo=UTC)) == datetime(2019, 1, 14, tzinfo=UTC)


def test_every_two_weeks_on_named_days_keeps_them_in_the_same_week() -> None:
    schedule = parse("every 2 weeks on mon and thu at 5pm")
    assert schedule.cron == "0 17 * * 1%2,4%2"
    runs = schedule.between(datetime(2018, 12, 30, tzinfo=UTC), datetime(2019, 2, 1, tzinfo=UTC), 10)
    assert [(run.month, run.day) for run in runs] == [(12, 31), (1, 3), (1, 14), (1, 17), (1, 28), (1, 31)]


def test_months_and_years_are_counted_from_january_2019() -> None:
    since = datetime(2019, 1, 1, tzinfo=UTC) - timedelta(seconds=1)
    months = parse("every 5 months on the 15th at 10:00").between(since, since + timedelta(days=800), 4)
    assert [(run.year, run.month, run.day, run.hour) for run in months] == [
        (2019, 1, 15, 10),
        (2019, 6, 15, 10),
        (2019, 11, 15, 10),
        (2020, 4, 15, 10),
    ]
    years = parse("every 2 years").between(since, since + timedelta(days=2000), 3)
    assert [(run.year, run.month, run.day) for run in years] == [(2019, 1, 1), (2021, 1, 1), (2023, 1, 1)]


#: Each with a part of the sentence that says what is wrong, and one of that which says what to write.
REFUSED = {
    "": ("empty", "every 5 minutes"),
    "   ": ("empty", "every 5 minutes"),
    "nada": ("'nada' has no meaning", "every 5 minutes"),
    "evry 5 minutes": ("'evry' has no meaning", "`every`"),
    "every 5 mintues": ("'mintues' after `every`", "`minutes`"),
    "every 1.minute": ("dot", "`every minute`"),
    "every 5.minutes": ("dot", "`every 5 minutes`"),
    "once a year": ("no `every`", "`every year`"),
    "once a day": ("no `every`", "`every day`"),
    "tomorrow": ("point in time", "wait_until="),
    "now": ("point in time", "wait_until="),
    "2026-01-01": ("point in time", "wait_until="),
    "2026-01-01 10:00": ("point in time", "wait_until="),
    "5m": ("duration", "`every 5m`"),
    "1h": ("duration", "`every 1h`"),
    "1h30m": ("duration", "`every 90 minutes`"),
    "5 minutes": ("duration", "`every 5 minutes`"),
    "PT5M": ("duration", "`every 90 minutes`"),
    "every other day": ("not a period", "`every 2 days`"),
    "every other week": ("not a period", "`every 2 weeks`"),
    "every other monday": ("not a period", "`every 2 weeks on monday`"),
    "every 2nd day": ("not a period", "`every 2 days`"),
    "daily": ("not a word", "`every day`"),
    "daily at 5am": ("not a word", "`every day at 5am`"),
    "hourly": ("not a word", "`every hour`"),
    "weekly": ("not a word", "`every week`"),
    "monthly": ("not a word", "`every month`"),
    "yearly": ("not a word", "`every year`"),
    "everyday at 5am": ("one word", "`every day`"),
    "twice a day": ("which times", "`every day at 6am and 6pm`"),
    "twice a week": ("which times", "`every mon and thu`"),
    "every weekend": ("weekend is not", "`every sat and sun`"),
    "every quarter": ("quarter is not", "`every 3 months`"),
    "every fortnight": ("fortnight is not", "`every 2 weeks`"),
    "every half hour": ("not a period", "`every 30 minutes`"),
    "every morning": ("which times", "`every day at 8am`"),
    "every january": ("'january' after `every`", "every 5 minutes"),
    "every 0 minutes": ("counts 0", "`every minute`"),
    "every day at 00:40 and 15:20": ("0:40 and 15:20", "`at 0:40`, `at 15:20`"),
    "every day at 18:15 and 20:45": ("minutes differ", "a recurring task of each"),
    "every weekday 8am to 5:30pm": ("minutes of 8:00 and 17:30 differ", "`8:00 to 17:00`"),
    "8am to 5:30pm": ("minutes of 8:00 and 17:30 differ", "`8:00 to 17:00`"),
    "every hour at 12:30": ("do not go together", "`every day at 12:30`, or `every hour at minute 30`"),
    "every 48 hours at 5pm": ("do not go together", "`every 2 days at 17:00`"),
    "every 90 minutes from 8am to 5pm": ("do not divide 60", "`every 90 minutes` alone"),
    "every 90 minutes on monday": ("do not divide 60", "`every 90 minutes` alone"),
    "every 90 minutes starting at minute 5": ("cannot start", "below 60"),
    "every 2 weeks starting at day 3": ("cannot start", "starting at day 3"),
    "every month on monday": ("does not say which", "mon#1"),
    "every 2 days on monday": ("do not go together", "`every monday`"),
    "every week on the 15th": ("no days of the month", "`every month on the 15th`"),
    "every day at minute 5": ("no hours", "`every hour at minute 12`"),
    "every day every monday": ("`every` twice", "with `on` and `at`"),
    "every day at 13pm": ("'13:00 pm' is not a time", "13:00"),
    "every day at 25:00": ("'25:00' is not a time", "23:59"),
    "every day at 5:75": ("'5:75' is not a time", "23:59"),
    "every day at 16:30:15": ("has seconds", "`15 30 16 * * *`"),
    "every day at": ("nothing after `at`", "`at 17:00`"),
    "every": ("every what", "`every 5 minutes`"),
    "monday at 5pm": ("'monday' stands alone", "`every monday`"),
    "first of the month": ("'first' stands alone", "`every first of the month`"),
    "every last Friday of the month": ("no words here", "`0 0 * * Fri#L`"),
    "at 5pm on the first monday": ("no words here", "`0 0 * * mon#1`"),
    "in Europe/Rome": ("does not say when", "every 5 minutes"),
    "every month on the 32nd": ("no month has a day 32", "1st to 31st"),
    "every hour at minute 60": ("60 is not a minute", "0 to 59"),
    "every 20 years": ("20 years is too long", "at most 10"),
    "TZ=Europe/Rome 0 5 * * *": ("zone comes last", "`0 5 * * * Europe/Rome`"),
    "CRON_TZ=Asia/Tokyo @daily": ("zone comes last", "`@daily Asia/Tokyo`"),
    "every day; rm": ("has no meaning", "every 5 minutes"),
    "every " + "minute " * 50: ("characters", "at most 256"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_schedule_is_refused_with_what_to_write_instead(text: str) -> None:
    wrong, instead = REFUSED[text]
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert wrong in caught.value.problem
    assert instead in caught.value.instead
    assert str(caught.value) == f"{quoted(text)}: {caught.value.problem}; {caught.value.instead}"


def quoted(text: str) -> str:
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= 80 else plain[:80] + "…")


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_proposed_in_backquotes_is_a_schedule_or_a_part_of_one(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    proposed = [part for part in caught.value.instead.split("`")[1::2] if part.startswith(("every ", "@", "at ", "0 "))]
    for part in proposed:
        assert parse(part).describe()
