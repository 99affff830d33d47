"""A schedule by the calendar in plain words, from what it does rather than how it was written."""

from __future__ import annotations

from collections.abc import Sequence

from queued.domain.schedule.days import ANCHOR, Days, Monthday, Weekday

_YEAR = "January February March April May June July August September October November December"
_WEEK = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday"
_MONTHS = _YEAR.split()
_WEEKDAYS = _WEEK.split()
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"}
#: More times of the day than this are told as minutes and hours.
_MOST_TIMES = 6


def describe_calendar(
    days: Days, hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int], zone_name: str
) -> str:
    """`every hour at minute 12`, `every day at 05:00, Europe/Rome time`."""
    times, clock = _times(hours, minutes, seconds)
    which = _days(days)
    if clock:
        text = f"{which or 'every day'} {times}"
    elif which:
        text = f"{times}, {which}"
    else:
        text = times
    return text if zone_name == "UTC" else f"{text}, {zone_name} time"


def _times(hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int]) -> tuple[str, bool]:
    """What happens within a day, and whether that is times of the clock rather than a pace."""
    if seconds == (0,) and len(hours) * len(minutes) <= _MOST_TIMES:
        return "at " + _listed([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes]), True
    if len(hours) * len(minutes) * len(seconds) <= _MOST_TIMES:
        told = [f"{hour:02}:{minute:02}:{second:02}" for hour in hours for minute in minutes for second in seconds]
        return "at " + _listed(told), True
    if seconds == (0,):
        pace, rest = _pace(minutes, "minute", 60)
    else:
        pace, rest = _pace(seconds, "second", 60)
        if len(minutes) < 60:
            inner, beyond = _pace(minutes, "minute", 60)
            plain = len(minutes) == 1 or inner.startswith("every hour at")
            rest = f" in {_numbered('minute', minutes)} of the hour" if plain else f" of {inner}{beyond}"
    if len(hours) == 24:
        return pace + rest, False
    if seconds == (0,) and len(minutes) == 1:
        step = _step(hours, 24)
        if step and hours[0] == 0 and 24 % step == 0:
            return f"every {step} hours at minute {minutes[0]}", False
        if _is_range(hours):
            return f"every hour from {hours[0]:02}:{minutes[0]:02} to {hours[-1]:02}:{minutes[0]:02}", False
        return "at " + _listed([f"{hour:02}:{minutes[0]:02}" for hour in hours]), True
    if _is_range(hours):
        return f"{pace}{rest} from {hours[0]:02}:00 to {hours[-1]:02}:59", False
    return f"{pace}{rest} in {_numbered('hour', hours)}", False


def _pace(values: Sequence[int], unit: str, size: int) -> tuple[str, str]:
    """`every 15 minutes`, or `every hour at minutes 3 and 7`; and where the steps begin if not at 0."""
    larger = {"second": "minute", "minute": "hour"}[unit]
    if len(values) == size:
        return f"every {unit}", ""
    step = _step(values, size)
    if step and size % step == 0:
        return f"every {step} {unit}s", f" from {unit} {values[0]}" if values[0] else ""
    return f"every {larger} at {_numbered(unit, values)}", ""


def _days(days: Days) -> str:
    """On which days; empty for every day."""
    if days.day_stride > 1:
        return f"every {days.day_stride} days (counted from Monday {ANCHOR})"
    months = ""
    if days.month_stride > 1:
        years, odd = divmod(days.month_stride, 12)
        if odd or len(days.months) == 12:
            months = f" of every {days.month_stride} months (counted from January 2019)"
        else:
            months = f" of {_months(sorted(days.months))} of every {years} years (counted from 2019)"
    elif len(days.months) < 12:
        months = f" of {_months(sorted(days.months))}"
    monthdays = _monthdays(days.monthdays)
    weekdays = _weekdays(days.weekdays)
    if not monthdays and not weekdays:
        return f"every day{months}" if months else ""
    if monthdays and weekdays:
        return f"on {monthdays} of the month {'if it is' if days.both else 'and on'} {weekdays}{months}"
    if monthdays:
        return f"on {monthdays}{months or ' of the month'}"
    plain = not months and all(item.nth is None and item.modulo == 1 for item in days.weekdays)
    return f"every {weekdays}" if plain else f"on {weekdays}{months}"


def _months(months: Sequence[int]) -> str:
    if _is_range(months):
        return f"{_MONTHS[months[0] - 1]} to {_MONTHS[months[-1] - 1]}"
    return _listed([_MONTHS[month - 1] for month in months])


def _monthdays(items: Sequence[Monthday]) -> str:
    told: list[str] = []
    numbers: list[int] = []
    for item in items:
        if 0 < item.first <= item.last:
            numbers += range(item.first, item.last + 1, item.step) if item.step > 1 or item.last == item.first else []
            if item.step == 1 and item.last > item.first:
                told.append(f"days {item.first} to {item.last}")
        else:
            span = _monthday(item.first)
            if item.last != item.first:
                span += f" to {_monthday(item.last)}"
            told.append(span if item.step == 1 else f"every {item.step} days from {span}")
    if numbers:
        told.insert(0, _numbered("day", sorted(set(numbers))))
    return _listed(told)


def _monthday(day: int) -> str:
    if day > 0:
        return f"day {day}"
    return "the last day" if day == -1 else f"day {-day} from the end"


def _weekdays(items: Sequence[Weekday]) -> str:
    plain = sorted({item.day for item in items if item.nth is None and item.modulo == 1}, key=lambda day: (day - 1) % 7)
    told: list[str] = []
    positions = [(day - 1) % 7 for day in plain]
    if len(plain) > 2 and positions == list(range(positions[0], positions[0] + len(plain))):
        told.append(f"{_WEEKDAYS[plain[0]]} to {_WEEKDAYS[plain[-1]]}")
    else:
        told += [_WEEKDAYS[day] for day in plain]
    for item in items:
        if item.nth is not None:
            nth = _NTH.get(item.nth) or f"{_NTH[-item.nth]} but last"
            told.append(f"the {nth} {_WEEKDAYS[item.day]} of the month")
    weeks = sorted({(item.modulo, item.plus % item.modulo) for item in items if item.modulo > 1})
    for modulo, plus in weeks:
        names = [_WEEKDAYS[item.day] for item in items if (item.modulo, item.plus % item.modulo) == (modulo, plus)]
        begun = f" + {plus}" if plus else ""
        told.append(f"{_listed(names)} of every {modulo} weeks (counted from Monday {ANCHOR}{begun})")
    return _listed(told)


def _step(values: Sequence[int], size: int) -> int | None:
    """The even step of values that go on to the end of the range, or None."""
    if len(values) < 2:
        return None
    step = values[1] - values[0]
    return step if tuple(values) == tuple(range(values[0], size, step)) and values[0] < step else None


def _is_range(values: Sequence[int]) -> bool:
    return len(values) > 2 and values[-1] - values[0] == len(values) - 1


def _numbered(unit: str, values: Sequence[int]) -> str:
    if _is_range(values):
        return f"{unit}s {values[0]} to {values[-1]}"
    return f"{unit}{'s' * (len(values) > 1)} {_listed([str(value) for value in values])}"


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" and {words[-1]}"
