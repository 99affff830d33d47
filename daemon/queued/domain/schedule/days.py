"""Which days of a month a schedule runs on: days of the month, weekdays, months, and counts of days or months."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

#: A Monday. Weeks, days and months that are counted are counted from here, on every host alike.
ANCHOR = date(2018, 12, 31)
_ANCHOR_DAY = ANCHOR.toordinal()
#: January 2019, the first month after the anchor, as months since year 0.
_ANCHOR_MONTH = 2019 * 12
#: The calendar repeats after so many months: a day that is not found within them never comes.
CYCLE = 400 * 12


@dataclass(frozen=True, slots=True)
class Monthday:
    """Days `first` to `last` of a month, every `step` of them; negative days count from the end, -1 being the last."""

    first: int
    last: int
    step: int = 1

    def holds(self, day: int, length: int) -> bool:
        """Whether a day of a month of that length is meant. A range may run over the end of the month."""
        behind = day - length - 1
        start = day if self.first > 0 else behind
        end = day if self.last > 0 else behind
        if (self.first > 0) == (self.last > 0) and self.first > self.last:
            inside = start >= self.first or end <= self.last
            # The whole scale is 31 days long, whatever this month has, so that a step does not depend on it.
            return inside and (start - self.first) % 31 % self.step == 0
        if self.first < 0 < self.last:
            return start >= self.first or end <= self.last
        return start >= self.first and end <= self.last and (start - self.first) % self.step == 0


@dataclass(frozen=True, slots=True)
class Weekday:
    """A weekday (0 is Sunday): each, the `nth` of its month (-1 the last), or that of each `modulo`-th week."""

    day: int
    nth: int | None = None
    modulo: int = 1
    plus: int = 0

    def holds(self, day: int, length: int, ordinal: int) -> bool:
        if ordinal % 7 != self.day:
            return False
        if self.nth is not None:
            return self.nth == ((day - 1) // 7 + 1 if self.nth > 0 else -((length - day) // 7 + 1))
        return ((ordinal - _ANCHOR_DAY) // 7 - self.plus) % self.modulo == 0


@dataclass(frozen=True, slots=True)
class Days:
    """The days of a schedule. Without `monthdays` and `weekdays` every day of the months; with both, a day that either
    names, or that both name when `both` is true. Strides count days, or months, from the anchor."""

    months: frozenset[int]
    monthdays: tuple[Monthday, ...] = ()
    weekdays: tuple[Weekday, ...] = ()
    both: bool = False
    day_stride: int = 1
    month_stride: int = 1

    def of_month(self, year: int, month: int) -> list[int]:
        """The days of that month, in order."""
        if month not in self.months or (year * 12 + month - 1 - _ANCHOR_MONTH) % self.month_stride:
            return []
        length = monthrange(year, month)[1]
        days = range(1, length + 1)
        # date.toordinal() % 7 is 0 on a Sunday.
        before = date(year, month, 1).toordinal() - 1
        if self.day_stride > 1:
            return [day for day in days if (before + day - _ANCHOR_DAY) % self.day_stride == 0]
        if not self.monthdays and not self.weekdays:
            return list(days)
        if not self.weekdays:
            return [day for day in days if self._by_monthday(day, length)]
        if not self.monthdays:
            return [day for day in days if self._by_weekday(day, length, before + day)]
        join = all if self.both else any
        return [
            day for day in days if join((self._by_monthday(day, length), self._by_weekday(day, length, before + day)))
        ]

    def _by_monthday(self, day: int, length: int) -> bool:
        return any(item.holds(day, length) for item in self.monthdays)

    def _by_weekday(self, day: int, length: int, ordinal: int) -> bool:
        return any(item.holds(day, length, ordinal) for item in self.weekdays)

    def onward(self, start: date) -> Iterator[date]:
        """The days from `start` on, in order, for as long as the calendar takes to repeat."""
        first = start.year * 12 + start.month - 1
        for index in range(first, min(first + CYCLE + 1, 9999 * 12)):
            year, month = divmod(index, 12)
            for day in self.of_month(year, month + 1):
                if index > first or day >= start.day:
                    yield date(year, month + 1, day)

    def backward(self, start: date) -> Iterator[date]:
        """The days from `start` back, latest first, for as long as the calendar takes to repeat."""
        last = start.year * 12 + start.month - 1
        for index in range(last, max(last - CYCLE - 1, 2 * 12), -1):
            year, month = divmod(index, 12)
            for day in reversed(self.of_month(year, month + 1)):
                if index < last or day <= start.day:
                    yield date(year, month + 1, day)
