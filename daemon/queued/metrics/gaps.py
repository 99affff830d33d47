"""Gaps: the longest pause between a recurring task's next runs, worked out once an hour for each."""

from __future__ import annotations

from datetime import datetime, timedelta

from queued.domain.gauges import longest_gap
from queued.domain.settings import RecurringTaskSettings

#: How long an answer holds: the runs of next Sunday are not among those of next Monday.
KEPT = timedelta(hours=1)
#: Answers kept.
MOST = 2_000


class Gaps:
    """Remembers answers: twenty moments of a schedule take a millisecond, and there may be hundreds of tasks."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[datetime, float | None]] = {}

    def of(self, settings: RecurringTaskSettings, now: datetime) -> float | None:
        """Seconds, or None where there is no gap to tell."""
        written = (settings.schedule, settings.timezone)
        known = self._known.get(written)
        if known is None or not known[0] <= now < known[0] + KEPT:
            if len(self._known) >= MOST:
                self._known.clear()
            known = self._known[written] = (now, longest_gap(settings, now))
        return known[1]
