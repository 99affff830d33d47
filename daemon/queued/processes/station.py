"""Station: one runner and the jobs it has been given. It knows which have started, interrupts them, and settles their fate.

A worker has one main station with all its threads or tasks, and opens a further one, for one job alone, for each job whose
process has crashed before: if that runner dies too, the guilty job is known exactly, and an innocent one just succeeds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from queued.domain.jobs import ClaimedJob, parse_options
from queued.processes.runner_process import RunnerExit, RunnerGone, RunnerProcess
from queued.runner import wire
from queued.runner.wire import WireError

Key = tuple[int, int]
Reason = Literal["timeout", "cancel", "stop"]

#: Seconds a job may wait in a runner before it is called back: somebody else may be idle.
PATIENCE = 0.5
#: Seconds that a runner may take to be ready for jobs; its worker_start hooks count.
START_PATIENCE = 10.0
#: Characters of arguments, options and steps that share a frame. Escaped they may take six times as much; a frame holds 64 MiB.
FRAME = 8 * 1024 * 1024
#: Jobs whose class is kept at hand because they print.
MOST_SPEAKING = 256
#: Seconds to wait for the fork server's word on how a runner ended.
EXIT_WORD = 1.0


@dataclass(slots=True)
class Delivery:
    """A job in a runner's hands. Moments are monotonic seconds."""

    job: ClaimedJob
    sent_at: float
    timeout: float | None
    started_at: float | None = None
    #: Why it is being interrupted, and since when.
    reason: Reason | None = None
    interrupted_at: float = 0.0
    cancel_wanted: bool = False
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is left of a station's jobs after its runner ended."""

    running: list[Delivery]
    waiting: list[Delivery]
    exit: RunnerExit


class Station:
    """A live runner. Made by `open`; over when `receive` raises RunnerGone."""

    def __init__(self, runner: RunnerProcess, capacity: int, alone: bool) -> None:
        self.runner = runner
        self.capacity = capacity
        self.alone = alone
        self.deliveries: dict[Key, Delivery] = {}
        self.watched: set[Key] = set()
        self._speaking: dict[int | None, dict[str, Any]] = {}
        #: When it was told to leave; None while it is wanted.
        self.leaving_since: float | None = None
        self._recalling = False

    @classmethod
    def open(cls, path: str, name: str, slots: str, threads: int, tasks: int, *, alone: bool) -> Station:
        """Have the fork server at `path` fork a runner. Raises RunnerGone when there is none to be had."""
        runner = RunnerProcess.start(path, name, slots, threads, tasks, START_PATIENCE)
        return cls(runner, max(1, threads + tasks), alone)

    @property
    def idle(self) -> bool:
        """Whether nothing is in the runner's hands."""
        return not self.deliveries

    def descriptors(self) -> list[int]:
        """What to wait on."""
        exit_fileno = self.runner.exit_fileno()
        return [self.runner.fileno()] if exit_fileno < 0 else [self.runner.fileno(), exit_fileno]

    def deliver(self, jobs: Sequence[ClaimedJob], now: float) -> list[ClaimedJob]:
        """Hand jobs over, in order. Those that no frame can hold are returned, and were not handed over."""
        too_large: list[ClaimedJob] = []
        for some in in_frames(jobs):
            try:
                self._deliver(some, now)
            except WireError:
                for job in some:
                    self.settle((job.id, job.lease))
                too_large += some
        return too_large

    def _deliver(self, jobs: Iterable[ClaimedJob], now: float) -> None:
        rows = []
        for job in jobs:
            timeout = parse_options(job.options, json.loads).get("timeout") if job.options else None
            delivery = Delivery(job, now, float(timeout) if isinstance(timeout, int | float) else None)
            key = (job.id, job.lease)
            self.deliveries[key] = delivery
            if delivery.timeout is not None:
                self.watched.add(key)
            rows.append(
                (
                    job.id,
                    job.lease,
                    job.class_name,
                    job.arguments,
                    job.options,
                    job.queue,
                    job.priority,
                    job.attempt,
                    job.counters,
                    job.enqueued,
                    job.steps,
                )
            )
        if rows:
            self.runner.send(wire.jobs(rows))

    def receive(self) -> list[dict[str, Any]]:
        """The frames that have arrived, without waiting. Raises RunnerGone when the runner has ended and all was read."""
        if self.runner.pending_bytes:
            self.runner.flush()
        return self.runner.receive()

    def settle(self, key: Key) -> Delivery | None:
        """The runner has spoken about this job for the last time; None for a job it was not given."""
        self.watched.discard(key)
        if self._speaking:
            self._speaking.pop(key[0], None)
        return self.deliveries.pop(key, None)

    def about(self, job_id: int | None) -> dict[str, Any]:
        """What a job that speaks is: class, queue and attempt; nothing for one that is not in the runner's hands."""
        if job_id not in self._speaking:
            found = next((d.job for key, d in self.deliveries.items() if key[0] == job_id), None)
            if found is None:
                return {}
            if len(self._speaking) >= MOST_SPEAKING:
                self._speaking.clear()
            self._speaking[found.id] = {
                "class_name": found.class_name,
                "queue": found.queue,
                "attempt": found.attempt,
            }
        return self._speaking[job_id]

    # looking after what runs

    def look(self, now: float) -> None:
        """Read from the slot file which jobs have started."""
        for slot in self.runner.slots():
            delivery = self.deliveries.get((slot.job_id, slot.lease))
            if delivery is not None:
                delivery.started_at = slot.started

    def want_cancel(self, job_id: int) -> None:
        """Somebody wants this job to end; it is interrupted once it has started."""
        for key, delivery in self.deliveries.items():
            if key[0] == job_id:
                delivery.cancel_wanted = True
                self.watched.add(key)

    def due_for_interrupt(self, now: float) -> list[tuple[Delivery, Reason]]:
        """Started jobs whose time is over, or that somebody wants to end. `look` comes first."""
        due: list[tuple[Delivery, Reason]] = []
        for key in self.watched:
            delivery = self.deliveries[key]
            if delivery.started_at is None or delivery.reason is not None:
                continue
            if delivery.cancel_wanted:
                due.append((delivery, "cancel"))
            elif delivery.timeout is not None and now - delivery.started_at >= delivery.timeout:
                due.append((delivery, "timeout"))
        return due

    def interrupt(self, delivery: Delivery, reason: Reason, now: float) -> None:
        """Raise the soft exception in a started job; it has the grace period to end by itself."""
        delivery.reason = reason
        delivery.interrupted_at = now
        self.watched.add((delivery.job.id, delivery.job.lease))
        self.runner.send({"t": "interrupt", "id": delivery.job.id, "lease": delivery.job.lease, "reason": reason})

    def unheeded(self, now: float, grace: float) -> bool:
        """Whether a job has gone on for longer than the grace period after its interruption."""
        return any(
            delivery.reason is not None and now - delivery.interrupted_at >= grace
            for delivery in (self.deliveries[key] for key in self.watched)
        )

    def recall_stale(self, now: float) -> bool:
        """Call back what has waited too long without starting. True when there was something. `look` comes first."""
        if self._recalling or self.alone:
            return False
        if any(d.started_at is None and now - d.sent_at > PATIENCE for d in self.deliveries.values()):
            self.recall()
            return True
        return False

    def recall(self) -> None:
        """Ask for everything back that has not started."""
        self._recalling = True
        self.runner.send({"t": "recall"})

    def recalled(self) -> None:
        """The answer to a recall has come."""
        self._recalling = False

    # the end

    def drain(self) -> None:
        """Tell the jobs that the end is near."""
        self.runner.send({"t": "drain"})

    def kill(self) -> list[dict[str, Any]]:
        """End the runner and all it started, now. The frames it had sent before."""
        self.runner.kill()
        frames: list[dict[str, Any]] = []
        deadline = time.monotonic() + EXIT_WORD
        while time.monotonic() < deadline:
            try:
                frames += self.runner.receive()
            except RunnerGone:
                break
            time.sleep(0.002)
        return frames

    def verdict(self) -> Verdict:
        """After the end of the runner: which jobs were running, which had not started, and how it ended."""
        ended = self.runner.wait_exit(EXIT_WORD)
        self.look(time.monotonic())
        running = {(slot.job_id, slot.lease) for slot in self.runner.slots()}
        found = Verdict([], [], ended)
        for key, delivery in self.deliveries.items():
            (found.running if key in running else found.waiting).append(delivery)
        self.deliveries.clear()
        self.watched.clear()
        return found

    def leave(self, now: float) -> None:
        """Tell the runner to run its exit hooks and end; `receive` tells when it has."""
        self.leaving_since = now
        self.runner.send({"t": "bye"})

    def close(self) -> None:
        """Let go of the runner and of its slot file. One that still lives ends by that."""
        self.runner.close()

    def forsake(self) -> None:
        """Kill the runner and leave its slot file to whoever settles its jobs."""
        self.runner.kill()
        self.runner.forget()


def in_frames(jobs: Iterable[ClaimedJob]) -> Iterator[list[ClaimedJob]]:
    """The jobs, in order, in groups that share a frame; one that is longer than `FRAME` has a frame to itself."""
    some: list[ClaimedJob] = []
    length = 0
    for job in jobs:
        own = job.weight
        if some and length + own > FRAME:
            yield some
            some, length = [], 0
        some.append(job)
        length += own
    if some:
        yield some
