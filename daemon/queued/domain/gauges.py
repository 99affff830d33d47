"""What monitoring reads of the database at one moment, and the promises that the configuration makes about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from queued.domain.insights import Overview
from queued.domain.recurring import schedule_of
from queued.domain.schedule import ScheduleError
from queued.domain.settings import RecurringTaskSettings

#: Jobs counted at most of each state, and ready ones of each queue.
COUNT_CAP = 20_000
#: Ready jobs counted at most of all queues together; PostgreSQL counts a thousand in 1.2 ms where vacuum has not been.
COUNT_BUDGET = 100_000
#: Runs of a task between which the longest gap is looked for.
GAPS = 20


@dataclass(frozen=True, slots=True)
class TaskGauge:
    """A recurring task. `enabled` is false while nothing starts it."""

    settings: RecurringTaskSettings
    enabled: bool
    enqueued_at: datetime | None
    succeeded_at: datetime | None
    next_run_at: datetime | None

    @property
    def key(self) -> str:
        return self.settings.key


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the whole, and by table bytes and rows that wait for vacuum, where the database tells."""

    total: int
    tables: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """The database at one moment. Ages are seconds by its own clock."""

    overview: Overview
    capped: frozenset[str]
    longest_running: Mapping[str, float]
    scheduled_lag: float
    blocked_oldest: float
    orphaned: int
    enqueued: int
    tasks: Sequence[TaskGauge] = ()
    sizes: Sizes | None = None


def target_of(targets: Mapping[str, float], queue: str) -> float | None:
    """The latency promised for a queue: by its own name, else by the longest `prefix*` that fits; None when there is none."""
    if queue in targets:
        return targets[queue]
    fitting = [entry for entry in targets if entry.endswith("*") and queue.startswith(entry[:-1])]
    return targets[max(fitting, key=len)] if fitting else None


def longest_gap(settings: RecurringTaskSettings, since: datetime) -> float | None:
    """Seconds of the longest pause between the task's next runs; None when it has no two of them, or cannot be planned."""
    try:
        schedule = schedule_of(settings)
        moments: list[datetime] = []
        while len(moments) < GAPS and (moment := schedule.next_after(moments[-1] if moments else since)) is not None:
            moments.append(moment)
    except ScheduleError:
        return None
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return max(gaps, default=timedelta()).total_seconds() or None
