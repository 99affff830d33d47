"""A sentence becomes a schedule, or is refused because what it says does not go together.

What a cron line can say becomes one. Periods that do not divide the next larger unit evenly run truly: seconds, minutes
and hours by elapsed time in UTC; days, weeks, months and years by the calendar of the schedule's zone; both counted from
Monday 2018-12-31 00:00 (months and years from January 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from queued.domain.schedule.cron import read_line
from queued.domain.schedule.elapsed import Elapsed
from queued.domain.schedule.errors import ScheduleError
from queued.domain.schedule.phrases import Phrases
from queued.domain.schedule.saying import Saying
from queued.domain.schedule.schedule import Schedule
from queued.domain.schedule.tokens import cut
from queued.domain.schedule.zones import find_zone

#: The length in seconds of the units that have one, and how many make up the next larger unit.
_CLOCK_UNITS = {"second": (1, 60), "minute": (60, 60), "hour": (3600, 24)}
#: Longest period that is counted: a year of seconds.
_MOST = {"second": 31_536_000, "minute": 525_600, "hour": 8_760, "day": 3_660, "week": 520, "month": 120, "year": 10}


def read_sentence(text: str, default_zone: str | None) -> Schedule:
    """The schedule that the words describe."""
    said = Phrases(cut(text)).read()
    if said.unit is None and not (said.weekdays or said.monthdays or said.times or said.span):
        raise ScheduleError("it does not say when", "write words such as `every 5 minutes` or `every day at 17:00`")
    if said.unit is not None and said.count > _MOST[said.unit]:
        raise ScheduleError(f"{said.count} {said.unit}s is too long", f"write at most {_MOST[said.unit]}")
    if said.unit in _CLOCK_UNITS:
        return _by_clock(said, said.unit, text, default_zone)
    return _by_calendar(said, said.unit or "day", text, default_zone)


def _by_clock(said: Saying, unit: str, text: str, default_zone: str | None) -> Schedule:
    """Every so many seconds, minutes or hours."""
    length, whole = _CLOCK_UNITS[unit]
    count = said.count
    _refuse_time_of_day(said, unit)
    if said.start is not None:
        if said.start[0] != unit or max(said.start[1], count) >= whole or (said.span and unit == "hour"):
            raise ScheduleError(
                f"{_amount(count, unit)} cannot start at {said.start[0]} {said.start[1]}",
                f"write `every 5 {unit}s starting at {unit} 1`, with numbers below {whole}",
            )
        step = f"{said.start[1]}/{count}"
    elif whole % count:
        _refuse_phrases(said, unit)
        return Elapsed(text, timedelta(seconds=length * count), _amount(count, unit))
    else:
        step = "*" if count == 1 else f"*/{count}"
    minutes, hours = step if unit == "minute" else "*", "*"
    if unit == "hour" and said.span is not None:
        minutes, hours = _time_of_day(said)
        hours += f"/{count}" if count > 1 and "-" in hours else ""
    elif unit == "hour":
        minutes, hours = _listed(said.minutes) or "0", step
    elif said.span is not None:
        hours = _open_span(said.span)
    seconds = step if unit == "second" else _listed(said.seconds)
    days = f"{_monthdays(said) or '*'} * {_weekdays(said) or '*'}{_join(said)}"
    return read_line(f"{seconds} {minutes} {hours} {days}".lstrip(), said.zone, default_zone, text)


def _refuse_time_of_day(said: Saying, unit: str) -> None:
    """What a period of hours or shorter cannot be said with."""
    if said.times:
        time = "{}:{:02}".format(*said.times[0])
        days = f"{said.count // 24} days" if unit == "hour" and said.count > 24 and said.count % 24 == 0 else "day"
        other = f"`every hour at minute {said.times[0][1]}`" if unit == "hour" else f"`every {unit} from 8am to 5pm`"
        raise ScheduleError(
            f"every {unit} and a time of the day do not go together", f"write `every {days} at {time}`, or {other}"
        )
    if said.pace not in (None, unit) or (unit != "hour" and said.minutes) or (unit == "second" and said.seconds):
        raise ScheduleError(
            f"every {unit} has no place for that", f"write `every {unit}`, or `every hour at minute 12`"
        )


def _refuse_phrases(said: Saying, unit: str) -> None:
    """Elapsed time knows nothing of hours, days and weekdays; a zone does no harm, if there is one of that name."""
    _, whole = _CLOCK_UNITS[unit]
    if said.span or said.minutes or said.seconds or said.weekdays or said.monthdays or said.pace:
        raise ScheduleError(
            f"{_amount(said.count, unit)} do not divide {whole} {unit}s evenly, so they are counted through hours and days",
            f"write `every {_amount(said.count, unit)}` alone, or a number that divides {whole}",
        )
    if said.zone is not None:
        find_zone(said.zone)


def _by_calendar(said: Saying, unit: str, text: str, default_zone: str | None) -> Schedule:
    """Every so many days, weeks, months or years, at times of the day."""
    _refuse_contradictions(said, unit)
    minutes, hours = _time_of_day(said)
    count = said.count
    day_stride = month_stride = 1
    monthday, month, weekday = _monthdays(said) or "*", "*", _weekdays(said) or "*"
    if unit == "day" and said.start is not None:
        monthday = f"{said.start[1]}/{count}"
    elif unit == "day":
        day_stride = count
    elif unit == "week":
        # Every second week is a day of every second week: Monday, where the counted weeks begin, unless it names others.
        named = _each_weekday(said.weekdays) or ([1] if count > 1 else [0])
        weekday = weekday if count == 1 and said.weekdays else _listed(named, f"%{count}" if count > 1 else "")
    else:
        monthday = _monthdays(said) or "1"
        if unit == "year":
            month, month_stride = "1", 12 * count if count > 1 else 1
        elif said.start is not None:
            month = f"{said.start[1]}/{count}"
        elif count > 1 and 12 % count == 0:
            month = f"*/{count}"
        else:
            month_stride = count
    line = f"{_listed(said.seconds)} {minutes} {hours} {monthday} {month} {weekday}{_join(said)}".lstrip()
    return read_line(line, said.zone, default_zone, text, day_stride, month_stride)


def _refuse_contradictions(said: Saying, unit: str) -> None:
    """What a period of days or longer cannot be said with."""
    several = _amount(said.count, unit) if said.count > 1 else f"every {unit}"
    if said.start is not None:
        top = {"day": 31, "month": 12}.get(unit)
        if said.start[0] != unit or top is None or not 1 <= said.start[1] <= top or said.count > top or said.monthdays:
            raise ScheduleError(
                f"{several} cannot start at {said.start[0]} {said.start[1]}",
                "write `every 5 days starting at day 3` or `every month starting at month 6`",
            )
    if said.weekdays and unit in ("month", "year"):
        raise ScheduleError(f"{several} on a weekday does not say which", "write a cron line such as `0 0 * * mon#1`")
    if said.monthdays and unit == "week":
        raise ScheduleError("a week has no days of the month", "write `every month on the 15th`")
    if unit == "day" and said.count > 1 and (said.weekdays or said.monthdays):
        raise ScheduleError(
            f"{several} and named days do not go together",
            f"write `every {several}` alone, or `every monday`, or `every month on the 1st`",
        )


def _time_of_day(said: Saying) -> tuple[str, str]:
    """Minute and hour fields."""
    if said.span is not None:
        (first, early), (last, late) = said.span
        if said.times:
            raise ScheduleError("it has times and a range of hours", "make a recurring task of each")
        if early != late:
            raise ScheduleError(
                f"the minutes of {first}:{early:02} and {last}:{late:02} differ",
                f"write the same minutes, as in `{first}:{early:02} to {last}:{early:02}`, or make two recurring tasks",
            )
        if said.pace == "minute":
            return "*", _open_span(said.span)
        if said.minutes:
            return _listed(said.minutes), _open_span(said.span)
        return str(early), f"{first}-{last}"
    if said.minutes or said.pace:
        raise ScheduleError("it gives minutes and no hours", "write `every hour at minute 12` or `every day at 17:12`")
    times = said.times or [(0, 0)]
    hours, minutes = sorted({hour for hour, _ in times}), sorted({minute for _, minute in times})
    if {(hour, minute) for hour in hours for minute in minutes} != set(times):
        told = [f"{hour}:{minute:02}" for hour, minute in times]
        raise ScheduleError(
            f"{' and '.join(told)} cannot be one schedule, their minutes differ",
            f"make a recurring task of each (`at {told[0]}`, `at {told[-1]}`), or give all hours the same minutes",
        )
    return _listed(minutes), _listed(hours)


def _open_span(span: tuple[tuple[int, int], tuple[int, int]]) -> str:
    """The hours of a range for what runs within hours: 5 pm itself is its end, so its last hour is 16."""
    (first, early), (last, late) = span
    if early or late:
        raise ScheduleError(
            "a range that is filled with minutes must begin and end on the hour", "write hours such as `8am to 5pm`"
        )
    final = (last - 1) % 24
    return str(first) if final == first else f"{first}-{final}"


def _monthdays(said: Saying) -> str:
    """The days of the month, in order, each once; from the end last."""
    return ",".join(
        sorted(dict.fromkeys(said.monthdays), key=lambda day: (int(day.split("-")[0].replace("L", "32")), day))
    )


def _weekdays(said: Saying) -> str:
    ranges = sorted(dict.fromkeys(said.weekdays))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _each_weekday(ranges: list[tuple[int, int]]) -> list[int]:
    return sorted({day % 7 for first, last in ranges for day in range(first, last + (7 if last < first else 0) + 1)})


def _join(said: Saying) -> str:
    """`every monday from the 25th to the last` means days that are both; a cron line alone would take either."""
    return "&" if said.monthdays and said.weekdays else ""


def _listed(numbers: Iterable[int], suffix: str = "") -> str:
    return ",".join(f"{number}{suffix}" for number in sorted(set(numbers)))


def _amount(count: int, unit: str) -> str:
    return f"{count} {unit}" + "s" * (count != 1)
