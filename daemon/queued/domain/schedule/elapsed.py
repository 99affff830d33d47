"""A schedule by elapsed time: every so many seconds, minutes or hours of real time, whatever the clocks on walls do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from queued.domain.schedule.days import ANCHOR
from queued.domain.schedule.schedule import Schedule

#: Elapsed time is counted from here.
START = datetime(ANCHOR.year, ANCHOR.month, ANCHOR.day, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Elapsed(Schedule):
    """Every `period` since Monday 2018-12-31 00:00 UTC, for periods that no cron line can say. It has no zone."""

    text: str
    period: timedelta
    #: The period as people say it: `90 minutes`.
    words: str

    @property
    def cron(self) -> None:
        return None

    def describe(self) -> str:
        return f"every {self.words}, counted from Monday {ANCHOR} 00:00 UTC"

    def next_after(self, moment: datetime) -> datetime | None:
        return START + ((moment - START) // self.period + 1) * self.period

    def previous_before(self, moment: datetime) -> datetime | None:
        return START - ((START - moment) // self.period + 1) * self.period
