"""Outbox: what a worker has to tell the database, kept until it is told.

Outcomes wait a few milliseconds for company, then go in one transaction. While the database is away they are kept. One
that the database cannot hold must not hold up the others: then each goes alone, and that job fails with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from queued.domain.errors import DatabaseError, DatabaseUnavailable
from queued.domain.jobs import OUTCOME_KINDS, Arrival, Checkpoint, Failure, NewJob, Outcome, OutcomeKind
from queued.processes.outage import AWAY
from queued.storage import checkpoints, claimed, jobs
from queued.storage.store import Store
from queued.telemetry import emit, wanted

#: Seconds that an outcome waits for company, and how many go at once without waiting.
LINGER, FULL = 0.003, 256
#: Seconds that a checkpoint waits for company. Runners send those of a job ten times a second.
CHECKPOINT_LINGER = 0.02
#: The event that tells of each kind of end.
_EVENTS = {kind: f"job_{kind}" for kind in OUTCOME_KINDS}


@dataclass(frozen=True, slots=True)
class Request:
    """A job's wish to enqueue further jobs; the runner waits for the answer."""

    number: int
    jobs: tuple[NewJob, ...]
    station: Any


@dataclass(frozen=True, slots=True)
class Save:
    """A job's wish to know its checkpoint stored; the runner waits for the answer."""

    number: int
    key: tuple[int, int]
    station: Any


@dataclass(slots=True)  # not frozen: that would treble the price of making one, and one is made for each job
class Ended:
    """An outcome with the moment (monotonic seconds) of its end: how long ago that was is known only when it is stored."""

    job_id: int
    lease: int
    class_name: str
    kind: OutcomeKind
    ended_at: float
    duration: float = 0.0
    failure: Failure | None = None
    wait: float = 0.0
    policy: str | None = None
    queue: str | None = None
    priority: int | None = None
    enqueue: tuple[NewJob, ...] = ()
    checkpoint: Checkpoint | None = None

    def outcome(self, now: float) -> Outcome:
        """What the database is told."""
        return Outcome(
            self.job_id,
            self.lease,
            self.kind,
            self.duration,
            max(0.0, now - self.ended_at),
            self.failure,
            self.wait,
            self.policy,
            self.queue,
            self.priority,
            self.enqueue,
            self.checkpoint,
        )

    def frame(self) -> dict[str, Any]:
        """The outcome as a runner would tell it, for the slot file."""
        failure = self.failure
        error = failure and {
            "class": failure.error_class,
            "message": failure.message,
            "backtrace": list(failure.backtrace),
        }
        return {
            "id": self.job_id,
            "lease": self.lease,
            "kind": self.kind,
            "start": self.ended_at - self.duration,
            "end": self.ended_at,
            "error": error,
            "wait": self.wait,
            "policy": self.policy,
            "queue": self.queue,
            "priority": self.priority,
            "enqueue": [
                {**asdict(job), "run_at": None if job.run_at is None else job.run_at.timestamp()}
                for job in self.enqueue
            ],
            "checkpoint": None if self.checkpoint is None else state_of(self.checkpoint),
        }


def state_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as a runner tells it."""
    told = None if checkpoint.done is None else [checkpoint.done, checkpoint.total, checkpoint.message]
    return {"steps": checkpoint.steps, "progress": told}


def checkpoint_of(frame: Mapping[str, Any], state: Mapping[str, Any] | None) -> Checkpoint | None:
    """What a runner said of how far the attempt that `frame` names has come."""
    if state is None:
        return None
    done, total, message = state.get("progress") or (None, None, None)
    return Checkpoint(frame["id"], frame["lease"], state.get("steps"), done, total, message)


class Outbox:
    """Outcomes and requests of one worker on their way to the database. `announce` is told of the work that comes of them."""

    def __init__(self, store: Store, worker: claimed.Worker, announce: Callable[[Sequence[Arrival]], None]) -> None:
        self._store = store
        self._worker = worker
        self._announce = announce
        self._ended: list[Ended] = []
        self._requests: list[Request] = []
        self._checkpoints: dict[tuple[int, int], Checkpoint] = {}
        self._saves: list[Save] = []
        self._since = 0.0
        self._moved_at = 0.0

    def __len__(self) -> int:
        return len(self._ended) + len(self._requests) + len(self._checkpoints) + len(self._saves)

    def untold(self) -> list[Ended]:
        """The outcomes that are not stored yet."""
        return list(self._ended)

    def keys(self) -> set[tuple[int, int]]:
        """The (id, lease) of every attempt whose outcome is not stored yet."""
        return {(ended.job_id, ended.lease) for ended in self._ended}

    def add(self, ended: Ended) -> None:
        """An attempt has ended. Its last checkpoint goes with it."""
        if self._checkpoints:
            last = self._checkpoints.pop((ended.job_id, ended.lease), None)
            ended.checkpoint = ended.checkpoint or last
        if not self._ended:
            self._since = time.monotonic()
        self._ended.append(ended)

    def request(self, request: Request) -> None:
        """A job wants to enqueue others."""
        self._requests.append(request)

    def checkpoint(self, checkpoint: Checkpoint, save: Save | None = None) -> None:
        """A job has come this far; only the latest of an attempt is kept. With `save` its runner waits until it is stored."""
        if not self._checkpoints:
            self._moved_at = time.monotonic()
        self._checkpoints[checkpoint.job_id, checkpoint.lease] = checkpoint
        if save is not None:
            self._saves.append(save)

    def drop_requests(self, station: Any) -> None:
        """The runner that asked is gone. Nobody was told that these were stored, and they are not; its checkpoints are kept."""
        self._saves = [save for save in self._saves if save.station is not station]
        self._requests = [request for request in self._requests if request.station is not station]

    def rest(self, now: float) -> float | None:
        """Seconds until something must be stored; None when there is nothing."""
        if self._requests or self._saves or len(self._ended) >= FULL:
            return 0.0
        if self._ended:
            return max(0.0, self._since + LINGER - now)
        return max(0.0, self._moved_at + CHECKPOINT_LINGER - now) if self._checkpoints else None

    def flush(self) -> None:
        """Store all of it. Raises what `AWAY` names, and then nothing is lost."""
        self.store_checkpoints()
        self._store_requests()
        while self._ended:
            self._store_outcomes()

    # checkpoints

    def store_checkpoints(self) -> None:
        """Store how far jobs have come, and tell those that wait for it. Must come before the claims are given up."""
        if not self._checkpoints and not self._saves:
            return
        given = list(self._checkpoints.values())
        try:
            held = self._save(given)
        except AWAY:
            raise
        except DatabaseError:
            held = self._save_singly(given)
        self._checkpoints.clear()
        saves, self._saves = self._saves, []
        for save in saves:
            if isinstance(held.get(save.key), str):
                answer = {"t": "refused", "r": save.number, "message": held[save.key]}
            else:
                answer = {"t": "stored", "r": save.number, "ids": [save.key[0]] if save.key in held else []}
            save.station.runner.send(answer)

    def _save(self, given: Sequence[Checkpoint]) -> dict[tuple[int, int], str | None]:
        """The attempts whose checkpoint is stored; those that are missing are no longer ours."""
        # Progress is for people to look at, and may be lost with the power.
        with self._store.statement(durable=any(one.steps is not None for one in given)) as session:
            held = checkpoints.save(session, given)
        return {(one.job_id, one.lease): None for one in given if one.job_id in held}

    def _save_singly(self, given: Sequence[Checkpoint]) -> dict[tuple[int, int], str | None]:
        """One that the database cannot hold does not keep it from the others; its job is told, if it waits to hear."""
        held: dict[tuple[int, int], str | None] = {}
        for one in given:
            try:
                held |= self._save([one])
            except AWAY:
                raise
            except DatabaseError as own:
                held[one.job_id, one.lease] = str(own)
                emit("checkpoint_lost", job_id=one.job_id, error=str(own), process=self._worker.process_name)
        return held

    # outcomes

    def _store_outcomes(self) -> None:
        batch = self._ended[: FULL * 4]
        try:
            report = self._finish(batch)
        except AWAY:
            raise
        except DatabaseError as error:
            if len(batch) == 1:
                self._replace_unstorable(batch[0], error)
                return
            for ended in batch:
                self._ended.remove(ended)
                self._ended.insert(0, ended)
                self._store_one()
            return
        del self._ended[: len(batch)]
        self._tell(batch, report)

    def _store_one(self) -> None:
        ended = self._ended[0]
        try:
            report = self._finish([ended])
        except AWAY:
            raise
        except DatabaseError as error:
            self._replace_unstorable(ended, error)
            return
        del self._ended[0]
        self._tell([ended], report)

    def _replace_unstorable(self, ended: Ended, error: DatabaseError) -> None:
        failure = Failure("queued.OutcomeNotStorable", f"the database could not store how this attempt ended: {error}")
        if ended.failure is not None and ended.failure.error_class == failure.error_class:
            # Even the plain sentence is refused: the claim is left for the reaper rather than the worker brought down.
            emit("outcome_lost", job_id=ended.job_id, class_name=ended.class_name, error=str(error))
            self._ended.remove(ended)
            return
        self._ended[self._ended.index(ended)] = Ended(
            ended.job_id, ended.lease, ended.class_name, "failed", ended.ended_at, ended.duration, failure
        )

    def _finish(self, batch: Sequence[Ended]) -> claimed.Report:
        now = time.monotonic()
        outcomes = [ended.outcome(now) for ended in batch]
        opened = self._store.statement() if claimed.is_plain(outcomes) else self._store.transaction()
        with opened as session:
            return claimed.finish(session, outcomes, self._worker)

    def _tell(self, batch: Sequence[Ended], report: claimed.Report) -> None:
        self._announce(report.arrivals)
        for stale in report.stale:
            emit(
                "stale_outcome",
                job_id=stale.job_id,
                lease=stale.lease,
                kind=stale.kind,
                process=self._worker.process_name,
            )
        refused = {(stale.job_id, stale.lease) for stale in report.stale}
        for ended in batch:
            name = _EVENTS[ended.kind]
            if wanted(name) and (ended.job_id, ended.lease) not in refused:
                emit(
                    name,
                    job_id=ended.job_id,
                    class_name=ended.class_name,
                    duration=ended.duration,
                    failure=ended.failure,
                    wait=ended.wait,
                    process=self._worker.process_name,
                )

    # requests

    def _store_requests(self) -> None:
        while self._requests:
            batch = list(self._requests)
            try:
                ids, arrivals = self._enqueue([job for request in batch for job in request.jobs])
            except DatabaseUnavailable:
                raise
            except DatabaseError as error:
                self._refuse_or_split(batch, error)
                continue
            del self._requests[: len(batch)]
            self._announce(arrivals)
            for request in batch:
                own, ids = ids[: len(request.jobs)], ids[len(request.jobs) :]
                request.station.runner.send({"t": "stored", "r": request.number, "ids": own})

    def _refuse_or_split(self, batch: Sequence[Request], error: DatabaseError) -> None:
        for request in batch:
            try:
                ids, arrivals = self._enqueue(request.jobs)
            except DatabaseUnavailable:
                raise
            except DatabaseError as own:
                answer = {"t": "refused", "r": request.number, "message": str(own if len(batch) > 1 else error)}
            else:
                self._announce(arrivals)
                answer = {"t": "stored", "r": request.number, "ids": ids}
            self._requests.remove(request)
            request.station.runner.send(answer)

    def _enqueue(self, new: Sequence[NewJob]) -> tuple[list[int], list[Arrival]]:
        with self._store.transaction() as session:
            return jobs.enqueue(session, new)
