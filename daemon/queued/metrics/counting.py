"""Counting: from events to a tally, and once a second to this process's file.

Subscribed in the supervisor, and so inherited by every actor that it forks; threads share one. What comes once for many jobs
is counted then; everything else is rare. A disk that is full costs the file its news and nobody anything else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from queued import telemetry
from queued.metrics.tally import Key, Labels, Tally, write

#: The ending of the files in the runtime directory.
SUFFIX = ".tally"
#: Seconds between two writings of the file.
WRITE_EVERY = 1.0
#: Seconds beyond which a pause between two looks at an actor says that it was not looked at, rather than what it did meanwhile.
LONGEST_LOOK = 5.0

#: The words of the metric for each kind of end.
OUTCOMES = {
    "done": "succeeded",
    "failed": "failed",
    "retry": "retried",
    "discarded": "discarded",
    "cancelled": "cancelled",
    "released": "released",
}

Facts = Mapping[str, Any]


@dataclass(slots=True)
class Ends:
    """Attempts that ended alike, how long they ran, and how long they had waited."""

    number: int = 0
    durations: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


class Counting:
    """Counts what this process does. `label_limit` bounds the classes, queues and tasks that are told apart.

    `identify` tells of the process it is called in what `Book` needs to know whether it has ended: `pid` among it.
    """

    def __init__(self, directory: str, identify: Callable[[], Facts], label_limit: int) -> None:
        self._directory = directory
        self._identify = identify
        self._label_limit = label_limit
        self._lock = threading.Lock()
        self._unsubscribe: Callable[[], None] | None = None
        self.restart()

    def begin(self) -> None:
        """Take in events from now on."""
        self._tally.gauges["daemon"] = {
            ("queued_config_last_reload_successful",): 1.0,
            ("queued_config_last_reload_success_timestamp_seconds",): time.time(),
        }
        self._unsubscribe = telemetry.subscribe(self.take, COUNTED.__contains__)
        self.write()

    def restart(self) -> None:
        """Begin at nothing, in a file of its own: for a process that was just forked. Its parent keeps what it has counted."""
        # The parent's lock may have been held by a thread that does not exist here.
        self._lock = threading.Lock()
        self._tally = Tally()
        self._classes, self._queues, self._tasks = (Labels(self._label_limit) for _ in range(3))
        self._looks: dict[str, float] = {}
        #: By queue, class and kind, since the last writing: a look-up and two appends a job are all that the hot path pays.
        self._ends: dict[tuple[str, str, str], Ends] = {}
        self._facts = dict(self._identify())
        self._path = os.path.join(self._directory, f"{self._facts['pid']}-{time.monotonic_ns():x}{SUFFIX}")
        self._write_at = 0.0
        self._changed = True

    def end(self) -> None:
        """Take in nothing any more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def take(self, name: str, data: Facts) -> None:
        """An event. Those that end an actor are written at once, for nothing may come after them."""
        counted = COUNTED.get(name)
        if counted is None:
            return
        with self._lock:
            if counted(self, data):
                self._changed = True
            now = time.monotonic()
            if self._changed and (now >= self._write_at or name in LAST_WORDS):
                self._write(now)

    def write(self) -> None:
        """Write the file."""
        with self._lock:
            self._write(time.monotonic())

    def _write(self, now: float) -> None:
        self._write_at = now + WRITE_EVERY
        self._gather()
        try:
            write(self._path, self._tally.text(**self._facts))
        except OSError:
            return
        self._changed = False

    # events; each says whether it has changed anything

    def _ended(self, data: Facts) -> bool:
        refused, ends = data["refused"], self._ends
        for ended in data["ended"]:
            if refused and ended.key in refused:
                continue
            job = ended.job
            seen = ends.get((job.queue, job.class_name, ended.kind))
            if seen is None:
                seen = ends[job.queue, job.class_name, ended.kind] = Ends()
            seen.number += 1
            # What never ran has no length, and would look like a very short run.
            if ended.duration > 0:
                seen.durations.append(ended.duration)
            if ended.waited is not None:
                seen.waits.append(ended.waited)
        return True

    def _gather(self) -> None:
        """Put the ends since the last time into the tally."""
        for (lane, class_name, kind), seen in self._ends.items():
            queue, job_class = self._queues.admit(lane), self._classes.admit(class_name)
            self._tally.count(("queued_jobs_processed", queue, job_class, OUTCOMES[kind]), seen.number)
            if seen.durations:
                self._tally.observe(("queued_job_duration_seconds", job_class), *seen.durations)
            if seen.waits:
                self._tally.observe(("queued_job_wait_seconds", queue), *seen.waits)
        self._ends.clear()

    def _claimed(self, data: Facts) -> bool:
        self._tally.count(("queued_polls", "hit" if data["count"] else "empty"))
        self._tally.observe(("queued_db_query_duration_seconds", "claim"), data["seconds"])
        return True

    def _acked(self, data: Facts) -> bool:
        self._tally.observe(("queued_db_query_duration_seconds", "ack"), data["seconds"])
        return True

    def _turned(self, data: Facts) -> bool:
        """An actor's loop turns: what it is busy with, once a second."""
        gauges = data.get("gauges")
        if not gauges:
            return False
        actor, queues = data["process"], str(gauges["queues"])
        now = time.monotonic()
        before = self._looks.get(actor, now)
        self._looks[actor] = now
        busy, threads = float(gauges["busy"]), float(gauges["threads"])
        self._tally.count(("queued_worker_busy_seconds", queues), busy * min(now - before, LONGEST_LOOK))
        told: dict[Key, float] = {
            ("queued_worker_threads", queues): threads,
            ("queued_worker_threads_busy", queues): busy,
        }
        changed = busy > 0 or self._tally.gauges.get(actor) != told
        self._tally.gauges[actor] = told
        return changed

    def _left(self, data: Facts) -> bool:
        self._looks.pop(data["process"], None)
        self._tally.gauges.pop(data["process"], None)
        return True

    def _timed_out(self, data: Facts) -> bool:
        if data["reason"] != "timeout":
            return False
        self._tally.count(("queued_job_timeouts", self._classes.admit(data["class_name"])))
        return True

    def _recovered(self, data: Facts) -> bool:
        """Jobs whose worker had gone: who settles them tells."""
        crashed = len(data.get("crashed") or ()) + len(data.get("failed") or ())
        self._tally.count(("queued_job_crashes",), crashed)
        return crashed > 0

    def _died(self, data: Facts) -> bool:
        reason = str(data["reason"])
        how = "signal" if reason.startswith("killed by") else "exit" if reason.startswith("exited") else "error"
        self._tally.count(("queued_child_restarts", data["kind"], how))
        return True

    def _reloaded(self, data: Facts) -> bool:
        gauges = self._tally.gauges.setdefault("daemon", {})
        gauges["queued_config_last_reload_successful",] = 1.0
        gauges["queued_config_last_reload_success_timestamp_seconds",] = time.time()
        return True

    def _reload_failed(self, data: Facts) -> bool:
        self._tally.gauges.setdefault("daemon", {})["queued_config_last_reload_successful",] = 0.0
        return True

    def _deleted(self, data: Facts) -> bool:
        for state, number in data["deleted"].items():
            self._tally.count(("queued_jobs_deleted", state), number)
        return True


def _one(*key: str) -> Callable[[Counting, Facts], bool]:
    """An event that is counted and no more."""

    def count(counting: Counting, data: Facts) -> bool:
        counting._tally.count(key)
        return True

    return count


def _of_task(metric: str, result: str, number: str | None = None) -> Callable[[Counting, Facts], bool]:
    """An event of a recurring task, or `data[number]` of them."""

    def count(counting: Counting, data: Facts) -> bool:
        by = 1.0 if number is None else float(data[number])
        counting._tally.count((metric, counting._tasks.admit(data["key"]), result), by)
        return True

    return count


def _dispatched(counting: Counting, data: Facts) -> bool:
    counting._tally.count(("queued_jobs_dispatched",), float(data["count"]))
    return True


#: What is counted of which event.
COUNTED: Mapping[str, Callable[[Counting, Facts], bool]] = {
    "jobs_ended": Counting._ended,
    "polled": Counting._claimed,
    "acked": Counting._acked,
    "turned": Counting._turned,
    "process_stopped": Counting._left,
    "process_failed": Counting._left,
    "registration_lost": Counting._left,
    "job_interrupted": Counting._timed_out,
    "job_crashed": _one("queued_job_crashes"),
    "jobs_recovered": Counting._recovered,
    "stale_outcome": _one("queued_stale_outcomes"),
    "runner_died": _one("queued_runners_ended", "died"),
    "runner_killed": _one("queued_runners_ended", "killed"),
    "database_lost": _one("queued_db_outages"),
    "database_full": _one("queued_db_outages"),
    "dispatched": _dispatched,
    "retention": Counting._deleted,
    "recurring_enqueued": _of_task("queued_recurring_runs", "enqueued"),
    "recurring_skipped": _of_task("queued_recurring_runs", "skipped"),
    "recurring_missed": _of_task("queued_recurring_runs", "missed", "count"),
    "chore_done": _of_task("queued_chore_runs", "done"),
    "chore_failed": _of_task("queued_chore_runs", "failed"),
    "actor_died": Counting._died,
    "actor_fatal": Counting._died,
    "reloaded": Counting._reloaded,
    "reload_failed": Counting._reload_failed,
}
#: After these a process may end without another word.
LAST_WORDS = frozenset({"process_stopped", "process_failed", "registration_lost", "stale_outcome"})
