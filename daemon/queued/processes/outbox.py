"""Outbox: what a worker has to tell the database, kept until it is told.

Outcomes wait a few milliseconds for company, then go in one transaction. While the database is away they are kept. One
that the database cannot hold must not hold up the others: then each goes alone, and that job fails with the reason. Nor must
one that needs what somebody else's open transaction has: it is tried again, alone, for as long as that lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from queued.domain.batches import NewBatch
from queued.domain.errors import BatchFinished, DatabaseError, DatabaseUnavailable, LockNotAvailable
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
from queued.processes.postponed import Postponed
from queued.storage import claimed, jobs
from queued.storage.store import Store
from queued.telemetry import emit, wanted

#: Seconds that an outcome waits for company, and how many go at once without waiting.
LINGER, FULL = 0.003, 256
#: Seconds that one transaction waits for the locks of others, for many things and for one, and how many may do so in one
#: turn: all else waits meanwhile.
LOCK_WAIT, LONE_WAIT, MOST_WAITS = 0.25, 0.05, 3
#: The try in vain after which it is told that something waits: most locks are free again a moment later.
TELLING = 2
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
        self._late_ends: Postponed[Ended] = Postponed()
        self._late_requests: Postponed[Request] = Postponed()
        #: How often this turn has waited for a lock in vain.
        self._waits = 0
        #: How far jobs have come that go on.
        self.checkpoints = Checkpoints(store, worker.process_name)
        self._doubt: Granted | None = None
        #: Ends that may have been stored already: the connection was lost before the answer came.
        self._doubtful: set[tuple[int, int]] = set()
        self._since = 0.0

    def __len__(self) -> int:
        late = len(self._late_ends) + len(self._late_requests)
        return len(self._ended) + len(self._requests) + len(self.checkpoints) + late

    def untold(self) -> list[Ended]:
        """The outcomes that are not stored yet."""
        return [*self._ended, *self._late_ends]

    def keys(self) -> set[tuple[int, int]]:
        """The (id, lease) of every attempt whose outcome is not stored yet."""
        return {ended.key for ended in self.untold()}

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
        self._late_requests.drop(lambda request: request.station is station)

    def rest(self, now: float) -> float | None:
        """Seconds until something must be stored; None when there is nothing."""
        if self._requests or len(self._ended) >= FULL:
            return 0.0
        rests = [self.checkpoints.rest(now), self._late_ends.rest(now), self._late_requests.rest(now)]
        if self._ended:
            rests.append(max(0.0, self._since + LINGER - now))
        return min((rest for rest in rests if rest is not None), default=None)

    def flush(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Store all of it but what is postponed and not yet due. Raises what `AWAY` names, and then nothing is lost.

        `meanwhile`, which must not touch the database, is called exactly once, also when this raises: while the server is at the
        first ends, where they are plain.
        """
        work = Once(meanwhile)
        self._waits = 0
        try:
            self.checkpoints.store()
            self._store_requests()
            while self._ended:
                self._store_ended(self._ended[: FULL * 4], work)
            self._store_late()
        finally:
            work()

    def _store_late(self) -> None:
        now = time.monotonic()
        while self._waits < MOST_WAITS and (late := self._late_requests.take(now)):
            self._requests.append(late[0])
            self._store_singly([late[0]], late[1])
        while self._waits < MOST_WAITS and (late_end := self._late_ends.take(now)):
            self._ended.append(late_end[0])
            self._store_ended([late_end[0]], Once(None), late_end[1])

    def _postpone(self, what: Ended | Request, tries: int, error: LockNotAvailable | None) -> None:
        """Somebody else's transaction has what it needs, or may have where there is no `error`: the others do not wait for it."""
        if isinstance(what, Request):
            self._requests.remove(what)
            self._late_requests.put(what, tries, time.monotonic())
            name = f"what a job enqueues ({what.jobs[0].class_name if what.jobs else 'a batch'})"
        else:
            self._ended.remove(what)
            self._late_ends.put(what, tries, time.monotonic())
            name = f"the end of job {what.job.id} ({what.job.class_name})"
        if tries == TELLING:
            emit("storing_held", what=name, error=str(error), process=self._worker.process_name)

    # outcomes

    def _store_ended(self, batch: Sequence[Ended], meanwhile: Once, tries: int = 0) -> None:
        """Store outcomes together, or each alone where the database does not take them so."""
        try:
            report = self._finish(batch, meanwhile)
        except LockNotAvailable as error:
            self._waits += 1
            self._store_unlocked(batch, meanwhile, error, tries)
            return
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

    def _store_unlocked(self, batch: Sequence[Ended], meanwhile: Once, error: LockNotAvailable, tries: int) -> None:
        """Which of them met a lock is not known: the plain ones need none, and of the others each goes alone."""
        tied = [ended for ended in batch if not ended.plain]
        if not tied:
            raise error
        if len(batch) == 1:
            self._postpone(batch[0], tries + 1, error)
            return
        plain = [ended for ended in batch if ended.plain]
        first = self._ended.index(batch[0])
        self._ended[first : first + len(batch)] = [*plain, *tied]
        if plain:
            self._store_ended(plain, meanwhile)
        for ended in tied:
            if self._waits < MOST_WAITS:
                self._store_ended([ended], meanwhile)
            else:
                self._postpone(ended, 0, None)

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
                with self._store.transaction(lock_wait=LOCK_WAIT if len(batch) > 1 else LONE_WAIT) as session:
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
            except LockNotAvailable:
                self._waits += 1
                self._store_singly(batch)
            except DatabaseUnavailable:
                raise
            except (DatabaseError, BatchFinished):
                self._store_singly(batch)
            else:
                self._answer(stored)

    def _store_singly(self, batch: Sequence[Request], tries: int = 0) -> None:
        """Each alone, for together one of them failed: refuse those that cannot be stored, postpone those that must wait."""
        for request in batch:
            if self._waits >= MOST_WAITS and not jobs.plain(request.jobs):
                self._postpone(request, 0, None)
                continue
            try:
                stored = self._enqueue([request])
            except LockNotAvailable as own:
                self._waits += 1
                self._postpone(request, tries + 1, own)
            except DatabaseUnavailable:
                raise
            except (DatabaseError, BatchFinished) as own:
                told = {"t": "refused", "r": request.number, "message": str(own)}
                if isinstance(own, BatchFinished):
                    told["error"] = "BatchFinished"
                self._requests.remove(request)
                request.station.runner.send(told)
            else:
                self._answer(stored)

    def _enqueue(self, batch: Sequence[Request]) -> Granted:
        tied = any(request.batches or not jobs.plain(request.jobs) for request in batch)
        wait = LOCK_WAIT if len(batch) > 1 else LONE_WAIT
        with self._store.transaction(lock_wait=wait if tied else None) as session:
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
