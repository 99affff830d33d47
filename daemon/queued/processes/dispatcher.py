"""Dispatcher: makes due jobs ready, and keeps the tables from growing for ever."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from queued.domain import upkeep
from queued.domain.settings import DispatcherSettings, Settings
from queued.processes.identity import hostname
from queued.processes.role import Role
from queued.storage import claimed, expiries, limits, rates, retention, scheduled, unique
from queued.storage.store import Bell
from queued.telemetry import emit

#: Seconds between two looks for what should never be found: claims of nobody, slots that are wrongly held.
SWEEP_EVERY = 60.0
#: Batches of each kind that are deleted for age between two looks for due jobs.
ROUND = 5
#: Seconds to leave due jobs to the dispatcher, or the operator, that holds them at this moment.
HELD = 0.01
#: Batches of expired jobs that are discarded in one go.
SWEEPS = 20
#: The longest rest, in seconds, of a dispatcher that is told of new scheduled jobs. What it was not told of is this late.
LONGEST_REST = 5.0


class Dispatcher(Role):
    """Moves due jobs to ready in batches. Several dispatchers share the work."""

    kind: ClassVar[str] = "Dispatcher"

    def __init__(
        self, name: str, settings: Settings, dispatcher: DispatcherSettings, supervisor: str | None = None
    ) -> None:
        super().__init__(name, settings, supervisor)
        self.dispatcher = dispatcher
        self._bell: Bell | None = None
        self._sweep_at = 0.0
        self._prune_at = 0.0
        self._place = retention.Place()
        self._looks = upkeep.Looks(settings.retention.batch_size)
        #: What was deleted for age since that was last told.
        self._deleted: Counter[str] = Counter()

    def metadata(self) -> Mapping[str, Any]:
        return {"polling_interval": self.dispatcher.polling_interval, "batch_size": self.dispatcher.batch_size}

    def ready(self) -> None:
        if self.settings.database.wake:
            self._bell = self.store.listen(["scheduled"])
        # Dispatchers that start together, on many hosts, shall not look together.
        self._sweep_at = time.monotonic() + random.uniform(0.0, SWEEP_EVERY)
        self._prune_at = time.monotonic() + random.uniform(0.0, upkeep.EVERY)

    def poll(self) -> float:
        if self._bell is not None:
            self._bell.drain()
        # One statement that only reads while nothing is due: on a quiet host that is all that a dispatcher asks.
        with self.store.reading() as session:
            next_due = scheduled.next_due(session)
        moved = 0
        if next_due is not None and next_due <= 0:
            moved, next_due = self._dispatch()
        self.outage.succeeded()
        self._sweep()
        self._forget_the_old()
        if not moved and next_due is not None and next_due <= 0:
            return HELD
        longest = rest(self.dispatcher.polling_interval, next_due, listening=self._descriptor() is not None)
        return max(0.0, min(longest, self._prune_at - time.monotonic()))

    def _dispatch(self) -> tuple[int, float | None]:
        """Make a batch of due jobs ready; how many, and the seconds until the next is due."""
        with self.store.transaction() as session:
            arrivals = scheduled.dispatch(session, self.dispatcher.batch_size)
            full = len(arrivals) >= self.dispatcher.batch_size
            next_due = 0.0 if full else scheduled.next_due(session)
        if arrivals:
            self.store.ring(arrivals)
            emit("dispatched", process=self.name, count=len(arrivals))
        return len(arrivals), next_due

    def wait(self, seconds: float) -> bool:
        if self._bell is not None and self._bell.rung and not self.outage.going_on:
            return True
        descriptor = self._descriptor()
        return bool(self.wakeup.wait(seconds, () if descriptor is None else (descriptor,)))

    def _descriptor(self) -> int | None:
        return self._bell.fileno() if self._bell is not None else None

    def _sweep(self) -> None:
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_EVERY * random.uniform(0.8, 1.2)
        # Each of these is short where the database is quick. Where it is not, they must not look like a hang.
        self.tend()
        self._adopt_orphans()
        self.tend()
        self._sweep_ties()
        self._tell()

    def _forget_the_old(self) -> None:
        began = time.monotonic()
        if began < self._prune_at:
            return
        self._prune_at = began + upkeep.EVERY  # should it fail: due jobs shall go on meanwhile
        pruned = retention.prune(self.store, self.settings.retention, self._place, ROUND, between=self.tend)
        self._deleted.update(pruned.deleted)
        now = time.monotonic()
        rest = self._looks.rest(pruned.count, pruned.more, now - began)
        self._prune_at = now + rest * random.uniform(0.8, 1.2)
        if rest >= upkeep.EVERY:
            self._tell()

    def _tell(self) -> None:
        """Say what was deleted for age: once a minute while that goes on all the time."""
        if self._deleted:
            emit("retention", process=self.name, deleted=dict(self._deleted))
            self._deleted.clear()

    def _sweep_ties(self) -> None:
        """The safety net of limits; then forget the keys that nobody uses and those whose period is over, and expired jobs."""
        with self.store.transaction(durable=False) as session:
            settled = limits.sweep(session)
        self.store.ring(settled.arrivals)
        if settled.evicted or settled.arrivals:
            emit("limits_repaired", process=self.name, evicted=settled.evicted, admitted=len(settled.arrivals))
        self.tend()
        with self.store.transaction(durable=False) as session:
            limits.forget_idle(session)
        for forget in (unique.forget_lapsed, rates.forget_idle):
            self.tend()
            with self.store.statement() as session:
                forget(session)
        for _ in range(SWEEPS):
            self.tend()
            with self.store.reading() as session:
                expired = expiries.lapsed(session)
            if not expired:
                return
            with self.store.transaction() as session:
                discarded, arrivals = expiries.discard(session, expired)
            self.store.ring(arrivals)
            if not discarded:
                return
            emit("jobs_expired", process=self.name, ids=discarded)

    def _adopt_orphans(self) -> None:
        """Settle claims that nobody would look for: their process is not registered any more."""
        with self.store.reading() as session:
            orphans = claimed.orphans(session)
        for process_id in orphans:
            self.tend()
            reason = "the process that held it is not registered any more"
            with self.store.transaction() as session:
                recovered = claimed.recover(
                    session, process_id, None, reason, self.settings.crash_limit, hostname(), self.name
                )
            self.store.ring(recovered.arrivals)
            emit(
                "jobs_recovered",
                process=self.name,
                reason=reason,
                crashed=recovered.crashed,
                failed=recovered.failed,
                released=recovered.released,
                cancelled=recovered.cancelled,
            )


def rest(polling_interval: float, next_due: float | None, *, listening: bool) -> float:
    """Seconds until the next look: when the next job is due, and after the polling interval at the latest.

    A dispatcher that is told of new scheduled jobs may look more rarely.
    """
    longest = max(polling_interval, LONGEST_REST) if listening else polling_interval
    return longest if next_due is None else max(0.0, min(longest, next_due))
