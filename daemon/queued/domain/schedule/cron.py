"""A cron line becomes a schedule: five fields, or six with seconds first, and perhaps a time zone."""

from __future__ import annotations

from datetime import date

from queued.domain.schedule import fields
from queued.domain.schedule.calendar import Calendar, Times
from queued.domain.schedule.days import Days
from queued.domain.schedule.errors import ScheduleError
from queued.domain.schedule.zones import find_zone, looks_like_zone

#: What stands for a whole line.
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@noon": "0 12 * * *",
    "@hourly": "0 * * * *",
}

#: The zone of a schedule that names none and is given none.
DEFAULT_ZONE = "UTC"

#: A day from which on each schedule is tried at once: one that has no day within 400 years is refused.
_TRIAL = date(2000, 1, 1)


def read_nickname(text: str, default_zone: str | None) -> Calendar:
    """`@daily` and the like, perhaps with a zone."""
    name, _, zone = text.partition(" ")
    line = NICKNAMES.get(name.lower())
    if line is None:
        names = ", ".join(NICKNAMES)
        if name.lower() == "@reboot":
            raise ScheduleError("@reboot is not a time", "call the job from a start hook, or write one of " + names)
        raise ScheduleError(f"there is no nickname {name!r}", "write one of " + names)
    return read_line(line, zone.strip() or None, default_zone, text)


def read_cron(text: str, default_zone: str | None) -> Calendar:
    """A cron line as it is written in a file."""
    words = text.split()
    zone = None
    if len(words) > 5 and looks_like_zone(words[-1]) and not _is_weekday(words[-1]):
        zone = words.pop()
    if len(words) not in (5, 6):
        raise ScheduleError(
            f"a cron line has 5 fields, or 6 with seconds first, and this one has {len(words)}",
            "write minute, hour, day of month, month and weekday, as in `0 5 * * *`, and a zone last if any",
        )
    return read_line(" ".join(words), zone, default_zone, text)


def read_line(
    line: str, zone: str | None, default_zone: str | None, text: str, day_stride: int = 1, month_stride: int = 1
) -> Calendar:
    """The schedule of five or six fields. With a stride other than 1 it is more than cron can say."""
    columns = line.split()
    seconds = fields.read_numbers(fields.SECOND, columns.pop(0)) if len(columns) == 6 else None
    minutes = fields.read_numbers(fields.MINUTE, columns[0])
    hours = fields.read_numbers(fields.HOUR, columns[1])
    both = columns[2].endswith("&") or columns[4].endswith("&")
    monthdays, monthday_text = fields.read_monthdays(columns[2].rstrip("&"))
    months = fields.read_numbers(fields.MONTH, columns[3])
    weekdays, weekday_text = fields.read_weekdays(columns[4].rstrip("&"))
    days = Days(
        frozenset(months.values), monthdays, weekdays, both and bool(monthdays and weekdays), day_stride, month_stride
    )
    if next(days.onward(_TRIAL), None) is None:
        raise ScheduleError("no such day ever comes", "write a day that the months have, or L for the last of each")
    plain = [minutes.text, hours.text, monthday_text, months.text, weekday_text + "&" * days.both]
    if seconds is not None:
        plain.insert(0, seconds.text)
    if zone is not None:
        plain.append(zone)
    times = Times(hours.values, minutes.values, seconds.values if seconds else (0,), minutes.stepped)
    name = zone or default_zone or DEFAULT_ZONE
    said = " ".join(plain) if day_stride == month_stride == 1 else None
    return Calendar(text, said, days, times, find_zone(name), name)


def _is_weekday(word: str) -> bool:
    """Whether the last of six words is a weekday in capitals rather than a zone."""
    try:
        fields.read_weekdays(word.rstrip("&"))
    except ScheduleError:
        return False
    return True
