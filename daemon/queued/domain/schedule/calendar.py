"""A schedule by the calendar and the clock on the wall: what cron says, and counts of days, weeks, months and years.

Where the clock changes, the rule is that of Debian's cron, for daylight saving and every other change:

- A schedule that names hours runs exactly once for each wall time that it names. One that the clock jumps over runs at
  the first moment after the jump; several of them, and one named for that very moment, are one run. One that the
  clock shows twice runs the first time.
- A schedule that goes on through the change keeps its pace in real time: skipped times are skipped, repeated ones run
  again. Such is `*/10 * * * *`, and `30 * * * *` where the clock moves by whole hours.

"Goes on" means: it runs at every minute or by a step of minutes, and in the hours before, within and after the change;
or it runs in every hour of the day and the clock moves by whole hours. Debian's cron looks for a `*` in the minute or the
hour only, and so loses `*/20 2 * * *` in spring and doubles it in autumn; here it names an hour.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from queued.domain.schedule.days import Days
from queued.domain.schedule.describing import describe_calendar
from queued.domain.schedule.schedule import Schedule
from queued.domain.schedule.wall import SECOND, Shift, moment_of, shift_at

HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a day: every combination of these hours, minutes and seconds, each in ascending order.

    `stepped` tells that the minutes were written as `*` or by a step.
    """

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...] = (0,)
    stepped: bool = False

    def first(self) -> tuple[int, int, int]:
        return self.hours[0], self.minutes[0], self.seconds[0]

    def last(self) -> tuple[int, int, int]:
        return self.hours[-1], self.minutes[-1], self.seconds[-1]

    def at_or_after(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        if hour in self.hours:
            if minute in self.minutes:
                index = bisect_left(self.seconds, second)
                if index < len(self.seconds):
                    return hour, minute, self.seconds[index]
            index = bisect_right(self.minutes, minute)
            if index < len(self.minutes):
                return hour, self.minutes[index], self.seconds[0]
        index = bisect_right(self.hours, hour)
        return (self.hours[index], self.minutes[0], self.seconds[0]) if index < len(self.hours) else None

    def at_or_before(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        if hour in self.hours:
            if minute in self.minutes:
                index = bisect_right(self.seconds, second)
                if index:
                    return hour, minute, self.seconds[index - 1]
            index = bisect_left(self.minutes, minute)
            if index:
                return hour, self.minutes[index - 1], self.seconds[-1]
        index = bisect_left(self.hours, hour)
        return (self.hours[index - 1], self.minutes[-1], self.seconds[-1]) if index else None


@dataclass(frozen=True, slots=True)
class Calendar(Schedule):
    """Certain times on certain days, as the clocks of `zone` show them. `zone_name` is for people."""

    text: str
    line: str | None
    days: Days
    times: Times
    zone: tzinfo
    zone_name: str

    @property
    def cron(self) -> str | None:
        return self.line

    def describe(self) -> str:
        times = self.times
        return describe_calendar(self.days, times.hours, times.minutes, times.seconds, self.zone_name)

    def next_after(self, moment: datetime) -> datetime | None:
        here = moment.astimezone(self.zone)
        wall = here.replace(tzinfo=None, fold=0)
        found = self._at_or_after(wall.replace(microsecond=0) + SECOND)
        shift = shift_at(wall, self.zone)
        if shift is not None and not shift.forward:
            if self._goes_on(shift):
                if found is not None and found < shift.high:
                    return moment_of(found, self.zone, here.fold)
                if here.fold == 0:
                    found = self._at_or_after(shift.low)
                    if found is not None and found < shift.high:
                        return moment_of(found, self.zone, 1)
            elif here.fold == 1:
                found = self._at_or_after(shift.high)
        while found is not None:
            shift = shift_at(found, self.zone)
            if shift is None or not shift.forward:
                return moment_of(found, self.zone)
            if not self._goes_on(shift):
                return shift.moment
            found = self._at_or_after(shift.high)
        return None

    def previous_before(self, moment: datetime) -> datetime | None:
        here = moment.astimezone(self.zone)
        wall = here.replace(tzinfo=None, fold=0)
        found = self._at_or_before(wall - MICROSECOND)
        fold = 1
        shift = shift_at(wall, self.zone)
        if shift is not None and not shift.forward:
            goes_on = self._goes_on(shift)
            if here.fold == 1 and goes_on and found is not None and found >= shift.low:
                return moment_of(found, self.zone, 1)
            if here.fold == 1:
                found = self._at_or_before(shift.high - MICROSECOND)
            fold = 0
        while found is not None:
            shift = shift_at(found, self.zone)
            if shift is None:
                return moment_of(found, self.zone)
            goes_on = self._goes_on(shift)
            if not shift.forward:
                return moment_of(found, self.zone, fold if goes_on else 0)
            if not goes_on and shift.moment < moment:
                return shift.moment
            found = self._at_or_before(shift.low - MICROSECOND)
        return None

    def _goes_on(self, shift: Shift) -> bool:
        """Whether the schedule runs through this change of the clock at an even pace, as the module tells."""
        if not self.times.stepped:
            return len(self.times.hours) == 24 and (shift.after - shift.before) % HOUR == timedelta()
        around = (shift.low - SECOND, shift.low, shift.high - SECOND, shift.high)
        return all(wall.hour in self.times.hours for wall in around)

    def _at_or_after(self, wall: datetime) -> datetime | None:
        """The first wall time of the schedule from this one on, as if no clock ever changed."""
        time = self.times.at_or_after(wall.hour, wall.minute, wall.second)
        for day in self.days.onward(wall.date()):
            if day > wall.date():
                return _wall(day, self.times.first())
            if time is not None:
                return _wall(day, time)
        return None

    def _at_or_before(self, wall: datetime) -> datetime | None:
        """The last wall time of the schedule up to this one, as if no clock ever changed."""
        time = self.times.at_or_before(wall.hour, wall.minute, wall.second)
        for day in self.days.backward(wall.date()):
            if day < wall.date():
                return _wall(day, self.times.last())
            if time is not None:
                return _wall(day, time)
        return None


def _wall(day: date, time: tuple[int, int, int]) -> datetime:
    return datetime(day.year, day.month, day.day, *time)
