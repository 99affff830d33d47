"""The fields of a cron line: what each may hold, what it means, and how it is written plainly."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from queued.domain.schedule.days import Monthday, Weekday
from queued.domain.schedule.errors import ScheduleError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

#: Most weeks from one run to the next: ten years.
MOST_WEEKS = 520

_ITEM = re.compile(r"(?P<first>\*|[a-z]+|-?\d+)?(?:-(?P<last>-?\d+|[a-z]+))?(?:/(?P<step>\d+))?", re.IGNORECASE)
_NTH = re.compile(r"(?P<day>\w+)#(?P<nth>-?\d+|[a-z]+)", re.IGNORECASE)
_WEEKS = re.compile(r"(?P<day>\w+)%(?P<modulo>\d+)(?:\+(?P<plus>\d+))?", re.IGNORECASE)
_LAST = frozenset({"l", "last"})


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a cron line. Values from `low` to `high` are real; `beyond` is one more that means `low`."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    beyond: int | None = None

    @property
    def span(self) -> str:
        return f"{self.low} to {self.high if self.beyond is None else self.beyond}"

    def value(self, text: str) -> int:
        """The number that a number or a name stands for."""
        lower = text.lower()
        if lower in self.names:
            return self.names.index(lower) + self.low
        top = self.high if self.beyond is None else self.beyond
        if not text.isdecimal() or not self.low <= int(text) <= top:
            names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            article = "an" if self.name == "hour" else "a"
            raise ScheduleError(
                f"{text!r} is not {article} {self.name}", f"write a number from {self.span}{names}, or *"
            )
        return int(text)

    def values(self, first: int, last: int, step: int) -> list[int]:
        """Every `step`-th value of a range, which may run over the end: 22-2 of the hours is 22, 23, 0, 1, 2."""
        size = self.high - self.low + 1
        end = last if first <= last else last + size
        return [(value - self.low) % size + self.low for value in range(first, end + 1, step)]


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23, beyond=24)
MONTHDAY = Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
WEEKDAY = Field("weekday", 0, 6, WEEKDAYS, beyond=7)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A read field of plain numbers: its values in order, how it is written, and whether by `*` or a step."""

    values: tuple[int, ...]
    text: str
    stepped: bool


def read_numbers(field: Field, text: str) -> Numbers:
    """Seconds, minutes, hours or months."""
    values: set[int] = set()
    written = []
    stepped = False
    for item in _items(field, text):
        first, last, step, plain = _range(field, item, field.value)
        values.update(field.values(first, last, step))
        written.append(plain)
        stepped = stepped or "*" in plain or "/" in plain
    return Numbers(tuple(sorted(values)), ",".join(written), stepped and len(values) > 1)


def read_monthdays(text: str) -> tuple[tuple[Monthday, ...], str]:
    """Days of the month and how they are written; no days at all when every day is meant."""
    days = []
    written = []
    for item in _items(MONTHDAY, text):
        first, last, step, plain = _range(MONTHDAY, item, _monthday)
        if first < 0 < last and step > 1:
            raise ScheduleError(f"{item!r} has a step over the end of the month", "write the days one by one")
        days.append(Monthday(first, last, step))
        written.append(plain)
    return () if Monthday(1, 31) in days and "*" in written else tuple(days), ",".join(written)


def read_weekdays(text: str) -> tuple[tuple[Weekday, ...], str]:
    """Weekdays and how they are written; no weekdays at all when every day is meant."""
    days: list[Weekday] = []
    written = []
    for item in _items(WEEKDAY, text):
        if match := _NTH.fullmatch(item):
            day, nth = WEEKDAY.value(match["day"]), _nth(match["nth"], item)
            days.append(Weekday(day % 7, nth=nth))
            written.append(f"{day}#{'L' if nth == -1 and not match['nth'].startswith('-') else nth}")
        elif match := _WEEKS.fullmatch(item):
            day, modulo, plus = WEEKDAY.value(match["day"]), int(match["modulo"]), int(match["plus"] or 0)
            if modulo == 0:
                raise ScheduleError(f"{item!r} counts every 0 weeks", f"write {match['day']}%2 for every other week")
            if modulo > MOST_WEEKS:
                raise ScheduleError(
                    f"{item!r} counts every {modulo} weeks", f"write at most {match['day']}%{MOST_WEEKS}"
                )
            days.append(Weekday(day % 7, modulo=modulo, plus=plus))
            written.append(f"{day}%{modulo}" + (f"+{plus}" if plus else ""))
        else:
            first, last, step, plain = _range(WEEKDAY, item, WEEKDAY.value)
            days.extend(Weekday(value) for value in WEEKDAY.values(first, last, step))
            written.append(plain)
    return () if "*" in written else tuple(days), ",".join(written)


def _items(field: Field, text: str) -> list[str]:
    """The items of a field; commas too many do no harm."""
    items = [item for item in text.split(",") if item]
    if not items:
        raise ScheduleError(f"the {field.name} {text!r} holds nothing", "write * for every one")
    if "~" in text:
        raise ScheduleError(
            f"{text!r} asks for a random {field.name}, and two hosts would draw differently and run the task twice",
            "write a fixed one and `jitter:` beside the schedule, which every host computes alike",
        )
    if text.upper() == "H" or text.upper().startswith(("H/", "H(")):
        raise ScheduleError(
            f"{text!r} asks for a {field.name} by hash", "write a fixed one and `jitter:` beside the schedule"
        )
    if "?" in text:
        raise ScheduleError(f"'?' is not a {field.name}", "write * for every one")
    return items


def _range(field: Field, item: str, value: Callable[[str], int]) -> tuple[int, int, int, str]:
    """First, last and step of an item, and the item in plain writing. A step larger than the range leaves the first."""
    match = _ITEM.fullmatch(item)
    if match is None or not item.strip("/-"):
        raise ScheduleError(
            f"{item!r} does not fit the {field.name}",
            f"write a number from {field.span}, a range such as 1-5, or a step such as */2",
        )
    low, high, given = match["first"], match["last"], match["step"]
    step = 1 if given is None else int(given)
    if step == 0 or step > 99:
        raise ScheduleError(
            f"{item!r} has a step of {step}", "write a step from 1 to 99, or words such as `every 90 minutes` for more"
        )
    if low in (None, "*"):
        if high is not None:
            raise ScheduleError(f"{item!r} is a range without a beginning", f"write one such as {field.low}-{high}")
        # Every value by steps of one is every value, however it is written.
        return field.low, field.high, step, "*" if step == 1 else f"*/{step}"
    first = value(low)
    if high is not None:
        last = value(high)
    elif given is not None:
        last = -1 if first < 0 else field.high
    else:
        last = first
    plain = _plain(first) if high is None else f"{_plain(first)}-{_plain(value(high))}"
    return first, last, step, plain if given is None else f"{plain}/{step}"


def _plain(value: int) -> str:
    return "L" if value == -1 else str(value)


def _monthday(text: str) -> int:
    """A day of the month: 1 to 31, or counted from the end, where L and last are -1."""
    if text.lower() in _LAST:
        return -1
    digits = text[1:] if text.startswith("-") else text
    if not digits.isdecimal() or not 1 <= int(digits) <= 31:
        raise ScheduleError(
            f"{text!r} is not a day of the month", "write 1 to 31, -1 to -31 counted from the end, or L for the last"
        )
    return int(text)


def _nth(text: str, item: str) -> int:
    """Which weekday of the month: 1 to 5, or -1 to -5 from the end."""
    if text.lower() in _LAST:
        return -1
    nth = int(text) if text.lstrip("-").isdecimal() else 0
    if not 1 <= abs(nth) <= 5:
        raise ScheduleError(f"{item!r} has no such weekday in a month", "write #1 to #5, or #-1 (also #L) for the last")
    return nth
