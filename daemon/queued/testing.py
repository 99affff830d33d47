"""For the tests of applications: run jobs inline, or collect them, assert what was enqueued, and drain.

    def test_signing_up_sends_a_welcome(queued_jobs):          # the pytest fixture, the same as `with collect() as queued_jobs`
        sign_up("ada@example.org")
        queued_jobs.assert_enqueued(welcome, args=["ada@example.org"], queue="mail")
        queued_jobs.drain()                                    # runs it, with retries and what it enqueues

No database is touched. Arguments take the same way through JSON as in production, so what could not be stored fails here too.
Everything enqueued in this process is seen, from whatever thread; `connection=` is not asked, so a rolled back enqueue counts
as made. Nothing runs at the same time, so limits and rates hold nobody up. Callbacks of a batch are enqueued when its last member
has ended.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queued.client.attempt import Attempt
    from queued.client.jobs import Job
    from queued.client.route import Receipts
    from queued.domain.batches import BatchState, End, NewBatch
    from queued.domain.jobs import NewJob

_ids = itertools.count(1)
_batch_ids = itertools.count(1)
#: The batches that were opened in this process while a test was in the database's place.
_batches: dict[int, BatchState] = {}


@dataclass
class CollectedJob:
    """A job that was enqueued while collecting.

    `state` is `waiting`, or how `drain` ended it: `done`, `failed`, `discarded` or `cancelled`; `attempt` is the one that is next
    or was last; `error` is what the last attempt raised.
    """

    id: int
    class_name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    queue: str
    priority: int
    #: An aware UTC moment; None is at once.
    run_at: datetime | None
    state: str = "waiting"
    attempt: int = 1
    error: BaseException | None = None
    counters: dict[str, int] = field(default_factory=dict, repr=False)
    #: The batch that it is a member of.
    batch: int | None = None
    #: Where its steps stand, for the next attempt.
    steps: str | None = field(default=None, repr=False)
    stored: NewJob | None = field(default=None, repr=False)


class Collection:
    """The jobs enqueued since `collect()` began, in order: a sequence of `CollectedJob`."""

    def __init__(self) -> None:
        self.jobs: list[CollectedJob] = []

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[CollectedJob]:
        return iter(self.jobs)

    def __getitem__(self, index: int) -> CollectedJob:
        return self.jobs[index]

    def accept(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()) -> Receipts:
        """Take jobs instead of the database, and the batches that are opened for them."""
        collected, following, receipts = _taken(jobs, batches)
        self.take([*collected, *following])
        return receipts

    def take(self, jobs: Sequence[CollectedJob]) -> None:
        """They wait to be drained."""
        self.jobs += jobs

    def waiting(self) -> list[CollectedJob]:
        """The jobs that were not run yet, those due first at the front, smaller priorities before larger."""
        never = datetime.min.replace(tzinfo=timezone.utc)
        return sorted(
            (j for j in self.jobs if j.state == "waiting"), key=lambda j: (j.run_at or never, j.priority, j.id)
        )

    def assert_enqueued(
        self,
        job: Job[..., Any] | str,
        *,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        at: datetime | None = None,
        count: int | None = None,
    ) -> list[CollectedJob]:
        """Check that `job` (or the job of that name) was enqueued; the jobs that match.

        Only what is given is compared: `args` and `kwargs` as they were passed, `at` (aware) within a second. `count` is how many
        must match exactly; without it, at least one. Raises `AssertionError` that shows what was enqueued.
        """
        name = job if isinstance(job, str) else job.name
        wanted = {"args": None if args is None else tuple(args), "kwargs": kwargs, "queue": queue, "priority": priority}
        found = [
            one
            for one in self.jobs
            if one.class_name == name
            and all(value is None or getattr(one, what) == value for what, value in wanted.items())
            and (at is None or (one.run_at is not None and abs(one.run_at - at) <= timedelta(seconds=1)))
        ]
        if (count is None and not found) or (count is not None and len(found) != count):
            asked = ", ".join(f"{what}={value!r}" for what, value in {**wanted, "at": at}.items() if value is not None)
            expected = "at least one" if count is None else str(count)
            seen = "".join(f"\n  {one!r}" for one in self.jobs) or " nothing"
            raise AssertionError(f"expected {expected} of {name}({asked}), found {len(found)}; enqueued was:{seen}")
        return found

    def drain(self, *, limit: int = 1000, until: datetime | None = None, raises: bool = True) -> list[CollectedJob]:
        """Run the waiting jobs here, with their retries and the jobs they enqueue; those that were run, in order.

        Nothing is waited for: delayed jobs and retries run at once, in the order of their moments; with `until` (aware) only those
        due by then. A job that fails for good raises its error, unless `raises=False`: then look at `state` and `error`. More than
        `limit` attempts raise `AssertionError`.
        """
        ran: list[CollectedJob] = []
        push_sink, remove_sink = _sinks()
        push_sink(self)
        try:
            for attempts in itertools.count():
                due = [job for job in self.waiting() if until is None or job.run_at is None or job.run_at <= until]
                if not due:
                    return ran
                if attempts >= limit:
                    raise AssertionError(
                        f"drain ran {limit} attempts and {len(due)} jobs still wait, first {due[0]!r}; does a job enqueue itself?"
                    )
                job = due[0]
                _run(job, self)
                if job not in ran:
                    ran.append(job)
                if job.state == "failed" and raises and job.error is not None:
                    raise job.error
        finally:
            remove_sink(self)
        return ran


class Inline:
    """Runs each job as it is enqueued."""

    def accept(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()) -> Receipts:
        """Run jobs, each to its end. The error of one that fails passes through; of a batch, when all of its members have ended."""
        collected, following, receipts = _taken(jobs, batches)
        self.take([*collected, *following])
        return receipts

    def take(self, jobs: Sequence[CollectedJob]) -> None:
        """Run them."""
        errors: list[BaseException] = []
        for job in jobs:
            try:
                while job.state == "waiting":
                    _run(job, self)
            except Exception as error:  # of what it has enqueued with its end
                errors.append(error)
            if job.state == "failed" and job.error is not None:
                errors.append(job.error)
            if errors and job.batch is None:
                break
        if errors:
            raise errors[0]


@contextmanager
def inline() -> Iterator[None]:
    """Inside the `with` block an enqueue runs the job at once, in this thread, before it returns.

    Retries follow at once, delayed jobs too; a job that fails for good raises its error from `enqueue`.
    """
    with _in_place(Inline()):
        yield


@contextmanager
def collect() -> Iterator[Collection]:
    """Inside the `with` block nothing enqueued is run; the block gets the `Collection` of it."""
    collection = Collection()
    _collecting.append(collection)
    try:
        with _in_place(collection):
            yield collection
    finally:
        _collecting.remove(collection)


def assert_enqueued(job: Job[..., Any] | str, **expected: Any) -> list[CollectedJob]:
    """`Collection.assert_enqueued` of the innermost `collect()` that is open, or of the fixture."""
    return _innermost().assert_enqueued(job, **expected)


def drain(*, limit: int = 1000, until: datetime | None = None, raises: bool = True) -> list[CollectedJob]:
    """`Collection.drain` of the innermost `collect()` that is open, or of the fixture."""
    return _innermost().drain(limit=limit, until=until, raises=raises)


_collecting: list[Collection] = []


def _innermost() -> Collection:
    if not _collecting:
        raise AssertionError(
            "nothing is being collected: use `with queued.testing.collect():` or the fixture queued_jobs"
        )
    return _collecting[-1]


@contextmanager
def _in_place(sink: Collection | Inline) -> Iterator[None]:
    push_sink, remove_sink = _sinks()
    push_sink(sink)
    try:
        yield
    finally:
        remove_sink(sink)


def _sinks() -> Any:
    # pytest loads this module in every run of every project that has queued installed; the client is loaded on use.
    from queued.client import route

    return route.push_sink, route.remove_sink


def _taken(
    jobs: Sequence[NewJob], batches: Sequence[NewBatch]
) -> tuple[list[CollectedJob], list[CollectedJob], Receipts]:
    """The jobs, the callbacks of opened batches that have no members, and what is told of them. Raises `BatchFinished`."""
    from collections import Counter

    from queued.client.route import Receipts
    from queued.domain.batches import Enrolment, finish, grow

    enrolment = Enrolment(states=dict(_batches))
    for batch in batches:
        enrolment.open(batch, next(_batch_ids))
    known = enrolment.members(jobs)
    _batches.update(enrolment.states)
    collected = [_collected(job) for job in known]
    grow(_batches, Counter(job.batch for job in known if job.batch is not None))
    _, callbacks = finish(_batches, enrolment.opened.values())
    receipts = Receipts([job.id for job in collected], batches=enrolment.opened)
    return collected, [_collected(job) for job in callbacks], receipts


def _follow(job: CollectedJob) -> list[CollectedJob]:
    """A job has ended; the callbacks of the batches that have finished by that."""
    from queued.domain.batches import end_members, finish

    if job.batch is None or job.state == "waiting":
        return []
    ends: dict[str, End] = {"done": "done", "failed": "failed"}
    changed = end_members(_batches, [(job.id, job.batch, ends.get(job.state, "discarded"))])
    return [_collected(callback) for callback in finish(_batches, changed)[1]]


def _collected(job: NewJob) -> CollectedJob:
    from queued.client.arguments import decode_call

    args, kwargs = decode_call(job.arguments)
    run_at = job.run_at if job.wait is None else datetime.now(timezone.utc) + timedelta(seconds=job.wait)
    return CollectedJob(
        id=next(_ids),
        class_name=job.class_name,
        args=tuple(args),
        kwargs=kwargs,
        queue=job.queue,
        priority=job.priority,
        run_at=run_at,
        batch=job.batch,
        stored=job,
    )


def _run(job: CollectedJob, sink: Collection | Inline) -> None:
    """Run one attempt and do with its outcome what the worker would."""
    attempt = _attempt(job)
    outcome = attempt.outcome or {}
    job.error = attempt.error
    kind = outcome["kind"]
    if kind == "retry":
        policy = outcome["policy"]
        job.counters[policy] = job.counters.get(policy, 0) + 1
        job.attempt += 1
        job.queue = outcome.get("queue", job.queue)
        job.priority = outcome.get("priority", job.priority)
        job.run_at = max(job.run_at or datetime.now(timezone.utc), datetime.now(timezone.utc)) + timedelta(
            seconds=outcome["wait"]
        )
    elif kind == "released":
        job.state = "failed"  # nobody stops a worker here: the job raised it itself, and would for ever
    else:
        job.state = kind
    further = [_collected(_new_job(frame)) for frame in outcome.get("enqueue") or ()]
    sink.take([*further, *_follow(job)])


def _attempt(job: CollectedJob) -> Attempt:
    from queued.client.attempt import Attempt, call_here

    assert job.stored is not None
    stored = {} if job.steps is None else {"steps": job.steps}
    attempt = Attempt(
        {
            **stored,
            "id": job.id,
            "lease": 0,
            "class": job.class_name,
            "args": job.stored.arguments,
            "opts": job.stored.options,
            "queue": job.queue,
            "priority": job.priority,
            "attempt": job.attempt,
            "counters": job.counters,
            "enqueued_at": time.time(),
        }
    )
    with attempt:
        call_here(attempt.opened())
        attempt.returned()
    job.steps = attempt.steps or job.steps
    return attempt


def _new_job(frame: Mapping[str, Any]) -> NewJob:
    from queued.domain.jobs import NewJob

    run_at = frame["run_at"]
    moment = None if run_at is None else datetime.fromtimestamp(run_at, timezone.utc)
    return NewJob(**{**frame, "run_at": moment, "limits": (), "unique": None, "rate": None})


if "pytest" in sys.modules:
    import pytest

    @pytest.fixture
    def queued_jobs() -> Iterator[Collection]:
        """Collects what the test enqueues instead of storing it: a `queued.testing.Collection`."""
        with collect() as collection:
            yield collection
