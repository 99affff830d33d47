"""Outbox: what a worker has to tell the database, kept until it is told.

Outcomes wait a few milliseconds for company, then go in one transaction. While the database is away they are kept. One
that the database cannot hold must not hold up the others: then each goes alone, and that job fails with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from queued.domain.batches import NewBatch
from queued.domain.errors import BatchFinished, DatabaseError, DatabaseUnavailable
from queued.domain.jobs import (
    OUTCOME_KINDS,
    Arrival,
    Checkpoint,
    ClaimedJob,
    Failure,
    NewJob,
    Outcome,
    OutcomeKind,
    Stored,
)
from queued.processes.checkpoints import Checkpoints, state_of
from queued.processes.outage import AWAY
from queued.storage import claimed, jobs
from queued.storage.store import Store
from queued.telemetry import emit, wanted

#: Seconds that an outcome waits for company, and how many go at once without waiting.
LINGER, FULL = 0.003, 256
#: The event that tells of each kind of end.
_EVENTS = {kind: f"job_{kind}" for kind in OUTCOME_KINDS}


@dataclass(frozen=True, slots=True)
class Request:
    """A job's wish to enqueue further jobs; the runner waits for the answer."""

    number: int
    jobs: tuple[NewJob, ...]
    station: Any
    #: To be opened for them.
    batches: tuple[NewBatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """Requests whose jobs were stored, and the transaction on PostgreSQL that did it."""

    requests: tuple[Request, ...]
    stored: Stored
    transaction: str | None


@dataclass(slots=True)  # not frozen: that would treble the price of making one, and one is made for each job
class Ended:
    """How an attempt of a job ended, and when (monotonic seconds): how long ago that was is known only when it is stored."""

    job: ClaimedJob
    kind: OutcomeKind
    ended_at: float
    duration: float = 0.0
    failure: Failure | None = None
    wait: float = 0.0
    policy: str | None = None
    #: Where a retry goes, if not to where it came from.
    queue: str | None = None
    priority: int | None = None
    enqueue: tuple[NewJob, ...] = ()
    checkpoint: Checkpoint | None = None
    #: Seconds from its being ready to its start, if it has started.
    waited: float | None = None
    #: False: it is done, and nothing is to be left of the job.
    kept: bool = True

    @property
    def key(self) -> tuple[int, int]:
        """The id and the lease: which attempt it was."""
        return self.job.id, self.job.lease

    @property
    def plain(self) -> bool:
        """Whether it is an end with nothing to be stored beside it."""
        return (
            self.kind in claimed.END_STATES
            and not self.job.ties
            and self.failure is None
            and not self.enqueue
            and self.checkpoint is None
        )

    def outcome(self, now: float) -> Outcome:
        """What the database is told."""
        return Outcome(
            self.job.id,
            self.job.lease,
            self.kind,
            self.duration,
            max(0.0, now - self.ended_at),
            self.failure,
            self.wait,
            self.policy,
            self.queue,
            self.priority,
            self.enqueue,
            self.job.ties,
            self.checkpoint,
            self.job.attempt,
            self.kept,
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
            "id": self.job.id,
            "lease": self.job.lease,
            "attempt": self.job.attempt,
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


class Once:
    """Something that is done when it is first called."""

    def __init__(self, what: Callable[[], None] | None) -> None:
        self._what = what

    @property
    def done(self) -> bool:
        """Whether a call does nothing any more."""
        return self._what is None

    def __call__(self) -> None:
        what, self._what = self._what, None
        if what is not None:
            what()


class Outbox:
    """Outcomes and requests of one worker on their way to the database. `announce` is told of the work that comes of them.

    `deletes` says of a queue whether nothing is to be left of its jobs that are done; without it all are kept.
    """

    def __init__(
        self,
        store: Store,
        worker: claimed.Worker,
        announce: Callable[[Sequence[Arrival]], None],
        deletes: Callable[[str], bool] | None = None,
    ) -> None:
        self._store = store
        self._worker = worker
        self._announce = announce
        self._deletes = deletes
        self._ended: list[Ended] = []
        self._requests: list[Request] = []
        #: How far jobs have come that go on.
        self.checkpoints = Checkpoints(store, worker.process_name)
        self._doubt: Granted | None = None
        #: Ends that may have been stored already: the connection was lost before the answer came.
        self._doubtful: set[tuple[int, int]] = set()
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._ended) + len(self._requests) + len(self.checkpoints)

    def untold(self) -> list[Ended]:
        """The outcomes that are not stored yet."""
        return list(self._ended)

    def keys(self) -> set[tuple[int, int]]:
        """The (id, lease) of every attempt whose outcome is not stored yet."""
        return {ended.key for ended in self._ended}

    def add(self, ended: Ended) -> None:
        """An attempt has ended. How far it came goes with that."""
        last = self.checkpoints.take(ended.key)
        ended.checkpoint = ended.checkpoint or last
        if self._deletes is not None:
            ended.kept = ended.kind != "done" or not self._deletes(ended.job.queue)
        if not self._ended:
            self._since = time.monotonic()
        self._ended.append(ended)

    def request(self, request: Request) -> None:
        """A job wants to enqueue others."""
        self._requests.append(request)

    def drop_requests(self, station: Any) -> None:
        """The runner that asked is gone. Nobody was told that these were stored, and they are not."""
        self.checkpoints.drop_saves(station)
        self._requests = [request for request in self._requests if request.station is not station]

    def rest(self, now: float) -> float | None:
        """Seconds until something must be stored; None when there is nothing."""
        if self._requests or len(self._ended) >= FULL:
            return 0.0
        rest = self.checkpoints.rest(now)
        if self._ended:
            own = max(0.0, self._since + LINGER - now)
            return own if rest is None else min(own, rest)
        return rest

    def flush(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Store all of it. Raises what `AWAY` names, and then nothing is lost.

        `meanwhile`, which must not touch the database, is called exactly once, also when this raises: while the server is at the
        first ends, where they are plain.
        """
        work = Once(meanwhile)
        try:
            self.checkpoints.store()
            self._store_requests()
            while self._ended:
                self._store_ended(self._ended[: FULL * 4], work)
        finally:
            work()

    # outcomes

    def _store_ended(self, batch: Sequence[Ended], meanwhile: Once) -> None:
        """Store outcomes together, or each alone where the database does not take them so."""
        try:
            report = self._finish(batch, meanwhile)
        except AWAY:
            raise
        except (DatabaseError, BatchFinished) as error:
            if len(batch) == 1:
                self._replace_unstorable(batch[0], error)
                return
            for ended in batch:
                self._store_ended([ended], meanwhile)
            return
        first = self._ended.index(batch[0])
        del self._ended[first : first + len(batch)]
        self._announce(report.arrivals)
        self._tell(batch, {(stale.job_id, stale.lease) for stale in report.stale})

    def _replace_unstorable(self, ended: Ended, error: DatabaseError | BatchFinished) -> None:
        failure = Failure("queued.OutcomeNotStorable", f"the database could not store how this attempt ended: {error}")
        if ended.failure is not None and ended.failure.error_class == failure.error_class:
            # Even the plain sentence is refused: the claim is left for the reaper rather than the worker brought down.
            emit("outcome_lost", job_id=ended.job.id, class_name=ended.job.class_name, error=str(error))
            self._ended.remove(ended)
            return
        self._ended[self._ended.index(ended)] = Ended(
            ended.job, "failed", ended.ended_at, ended.duration, failure, waited=ended.waited
        )

    def _finish(self, batch: Sequence[Ended], meanwhile: Once) -> claimed.Report:
        now = time.monotonic()
        try:
            if all(ended.plain for ended in batch):
                report = self._finish_plain(batch, now, meanwhile)
            else:
                with self._store.transaction() as session:
                    report = claimed.finish(session, [ended.outcome(now) for ended in batch], self._worker)
        except DatabaseUnavailable:
            self._doubtful.update(ended.key for ended in batch)
            raise
        if wanted("acked"):
            emit("acked", seconds=time.monotonic() - now, process=self._worker.process_name)
        return report

    def _finish_plain(self, batch: Sequence[Ended], now: float, meanwhile: Once) -> claimed.Report:
        """What most jobs come to: one statement, which answers with those whose lease no longer holds."""
        ends = [
            (
                ended.job.id,
                ended.job.lease,
                claimed.END_STATES[ended.kind] if ended.kept else claimed.DELETED,
                ended.duration,
                max(0.0, now - ended.ended_at),
            )
            for ended in batch
        ]
        with self._store.statement(meanwhile=None if meanwhile.done else meanwhile) as session:
            stale = claimed.finish_plain(session, ends)
        return claimed.Report([ended.outcome(now) for ended in batch if ended.key in stale] if stale else [])

    def _tell(self, batch: Sequence[Ended], refused: set[tuple[int, int]]) -> None:
        for ended in batch if refused else ():
            if ended.key in refused:
                emit(
                    "stale_outcome",
                    job_id=ended.job.id,
                    lease=ended.job.lease,
                    kind=ended.kind,
                    doubtful=ended.key in self._doubtful,
                    process=self._worker.process_name,
                )
        if self._doubtful:
            self._doubtful.difference_update(ended.key for ended in batch)
        if wanted("jobs_ended"):
            emit("jobs_ended", ended=batch, refused=refused, process=self._worker.process_name)
        told = {kind: name for kind, name in _EVENTS.items() if wanted(name)}
        untouched: list[int] = []
        for ended in batch if told else ():
            if ended.kind in told and ended.key not in refused:
                if ended.kind == "released" and ended.failure is None:
                    untouched.append(ended.job.id)
                    continue
                emit(
                    told[ended.kind],
                    job_id=ended.job.id,
                    class_name=ended.job.class_name,
                    duration=ended.duration,
                    failure=ended.failure,
                    wait=ended.wait,
                    queue=ended.job.queue,
                    attempt=ended.job.attempt,
                    process=self._worker.process_name,
                )
        if untouched:
            emit("jobs_released", ids=untouched, why="untouched", process=self._worker.process_name)

    # requests

    def _store_requests(self) -> None:
        self._resolve_doubt()
        while self._requests:
            batch = together(self._requests)
            try:
                stored = self._enqueue(batch)
            except DatabaseUnavailable:
                raise
            except (DatabaseError, BatchFinished) as error:
                self._refuse_or_split(batch, error)
                continue
            self._answer(stored)

    def _refuse_or_split(self, batch: Sequence[Request], error: DatabaseError | BatchFinished) -> None:
        for request in batch:
            try:
                stored = self._enqueue([request])
            except DatabaseUnavailable:
                raise
            except (DatabaseError, BatchFinished) as own:
                told = {"t": "refused", "r": request.number, "message": str(own if len(batch) > 1 else error)}
                if isinstance(own, BatchFinished):
                    told["error"] = "BatchFinished"
                self._requests.remove(request)
                request.station.runner.send(told)
            else:
                self._answer(stored)

    def _enqueue(self, batch: Sequence[Request]) -> Granted:
        with self._store.transaction() as session:
            found = jobs.submit(session, [job for request in batch for job in request.jobs], batch[0].batches)
            # Between here and the answer to the commit nobody knows whether it was made.
            stored = self._doubt = Granted(tuple(batch), found, jobs.transaction(session))
        self._doubt = None
        return stored

    def _resolve_doubt(self) -> None:
        """The connection was lost at a commit: ask what became of it, before the same jobs are stored a second time."""
        doubt = self._doubt
        if doubt is None or doubt.transaction is None:
            return
        with self._store.reading() as session:
            status = jobs.transaction_status(session, doubt.transaction)
        if status == "in progress":
            raise DatabaseUnavailable("the server has not yet ended the transaction of the connection that was lost")
        self._doubt = None
        if status == "committed":
            self._answer(doubt)

    def _answer(self, granted: Granted) -> None:
        self._announce(granted.stored.arrivals)
        first = 0
        for request in granted.requests:
            if request in self._requests:  # else its runner is gone
                self._requests.remove(request)
                request.station.runner.send(answer(request, granted.stored, first))
            first += len(request.jobs)


def together(requests: Sequence[Request]) -> list[Request]:
    """The first of the requests that can go in one transaction: one that opens batches goes alone."""
    if requests[0].batches:
        return [requests[0]]
    return list(takewhile(lambda request: not request.batches, requests))


def answer(request: Request, stored: Stored, first: int) -> dict[str, Any]:
    """What the runner is told of its wish, whose jobs begin at `first` of those stored."""
    places = range(first, first + len(request.jobs))
    told: dict[str, Any] = {"t": "stored", "r": request.number, "ids": [stored.ids[n] for n in places]}
    notes = [[n - first, stored.notes[n]] for n in places if n in stored.notes]
    if stored.batches:
        told["batches"] = [[number, batch_id] for number, batch_id in stored.batches.items()]
    return {**told, "notes": notes} if notes else told
