"""From unsent jobs to stored ones: callbacks, checks, one round trip, and a handle for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from queued.client import route
from queued.client.arguments import encode_call, encode_value
from queued.client.callbacks import Abort, Around, coming_out, going_in, surrounded
from queued.client.context import current_context
from queued.client.current import running
from queued.client.limiting import limits_of
from queued.client.route import Receipts
from queued.client.unsent import EnqueuedJob, UnsentJob
from queued.domain.errors import ArgumentError, EnqueueError, NotUnique
from queued.domain.jobs import NewJob

if TYPE_CHECKING:
    from types import TracebackType

    from queued.client.jobs import Job

#: Longest name of a queue or a job, characters.
MAX_NAME = 255
#: Characters of JSON that a job's context may take: it travels with every job.
MAX_CONTEXT = 64 * 1024


class Collector(Protocol):
    """A batch whose block is open: it takes what is enqueued inside."""

    def collect(self, jobs: Sequence[UnsentJob], connection: Any, at_finish: bool) -> list[EnqueuedJob]:
        """Take jobs; their handles."""

    async def acollect(self, jobs: Sequence[UnsentJob], connection: Any, at_finish: bool) -> list[EnqueuedJob]:
        """As `collect`, from a coroutine."""


#: The batch in whose block this thread or asyncio task is.
collecting: ContextVar[Collector | None] = ContextVar("queued_batch", default=None)


def enqueue_many(jobs: Iterable[UnsentJob], *, connection: Any = None, at_finish: bool = False) -> list[EnqueuedJob]:
    """Store many jobs, made by `f.bind(…)`, in one round trip and one transaction; a handle for each, in order.

    A job that cannot be stored (an argument, a callback that aborted or failed) says so in its own handle, `error` or `aborted`,
    with `id` None, and does not keep the others from being stored. A database that fails stores none of them and raises. Options
    of each job hold, as given to `f.set(…).bind(…)`; `connection` is one for all. Enqueue callbacks run for each job.
    """
    collector = collecting.get()
    if collector is not None:
        return collector.collect(list(jobs), connection, at_finish)
    batch = Batch(list(jobs), connection, at_finish)
    with batch:
        batch.stored(batch.finish_later() or route.submit(batch.to_store(), batch.connection))
    return batch.handles()


async def aenqueue_many(
    jobs: Iterable[UnsentJob], *, connection: Any = None, at_finish: bool = False
) -> list[EnqueuedJob]:
    """As `enqueue_many`, for asyncio code: the database is spoken to in a thread. See `Job.aenqueue` for connections."""
    collector = collecting.get()
    if collector is not None:
        return await collector.acollect(list(jobs), connection, at_finish)
    batch = Batch(list(jobs), connection, at_finish)
    with batch:
        batch.stored(batch.finish_later() or await route.asubmit(batch.to_store(), batch.connection))
    return batch.handles()


def enqueue_one(unsent: UnsentJob) -> EnqueuedJob:
    """Store one job; what went wrong is raised."""
    if surrounded(unsent.job) or unsent.options.at_finish or collecting.get() is not None:
        return only(enqueue_many([unsent]))
    # A call that waits for the disk finds its caches cold: each line of a batch's way costs three times what it does in a loop.
    handle = _handle(unsent)
    try:
        new = prepare(unsent)
    except Abort:
        handle.aborted = True
        return handle
    _describe(handle, new)
    receipts = route.submit((new,), unsent.options.connection)
    _tell(handle, receipts.ids[0], receipts.notes.get(0))
    return only([handle])


async def aenqueue_one(unsent: UnsentJob) -> EnqueuedJob:
    """As `enqueue_one`, without holding up the event loop."""
    return only(await aenqueue_many([unsent]))


def only(handles: list[EnqueuedJob]) -> EnqueuedJob:
    """The handle of one job; what went wrong is raised."""
    if handles[0].error is not None:
        raise handles[0].error
    return handles[0]


class Batch:
    """Jobs that are stored together. Inside `with` the `around_enqueue` generators are open."""

    def __init__(
        self,
        unsent: Sequence[UnsentJob],
        connection: Any = None,
        at_finish: bool = False,
        batch: int | None = None,
    ) -> None:
        self._batch = batch
        self._unsent = unsent
        self._handles: list[EnqueuedJob] = []
        self._new: list[NewJob] = []
        #: The open generators of those jobs that have any.
        self._open: dict[int, tuple[ExitStack, list[Around]]] = {}
        _refuse_unbound(unsent)
        self.connection = _one_connection(unsent, connection)
        self.at_finish = _one_answer(unsent, at_finish)
        if self.at_finish and self.connection is not None:
            raise EnqueueError(
                "at_finish=True and connection= exclude each other: the worker stores the job with this one's end"
            )
        if self.at_finish and running.get() is None:
            raise EnqueueError(
                "at_finish=True works only inside a job that is running; leave it out here, or use connection="
            )

    def __enter__(self) -> Batch:
        job: Job[..., Any] | None = None
        for n, unsent in enumerate(self._unsent):
            if unsent.job is not job:
                job = unsent.job
                befores, arounds = going_in("before_enqueue", job), going_in("around_enqueue", job)
            handle = _handle(unsent)
            self._handles.append(handle)
            try:
                if befores or arounds:
                    self._go_in(n, unsent, befores, arounds)
                    handle.args, handle.kwargs = unsent.args, unsent.kwargs
                new = prepare(unsent, self._batch)
            except Abort as abort:
                handle.aborted = True
                self._leave(n, abort)
            except Exception as error:
                handle.error = error
                self._leave(n, error)
            else:
                _describe(handle, new)
                self._new.append(new)
        return self

    def _go_in(
        self, n: int, unsent: UnsentJob, befores: Sequence[Callable[..., Any]], arounds: Sequence[Callable[..., Any]]
    ) -> None:
        for before in befores:
            before(unsent)
        if arounds:
            stack, entered = self._open[n] = (ExitStack(), [])
            entered += (stack.enter_context(Around(around, unsent, swallows=False)) for around in arounds)

    def to_store(self) -> list[NewJob]:
        """The jobs that passed their callbacks and checks."""
        return self._new

    def finish_later(self) -> Receipts | None:
        """With `at_finish`: put the jobs with the outcome of the one that is running; None without."""
        now = running.get()
        if not self.at_finish or now is None:
            return None
        now.at_finish += [route.as_frame(job) for job in self._new]
        return Receipts([None] * len(self._new))

    def stored(self, receipts: Receipts) -> None:
        """Give each stored job its id, in order, and call what follows."""
        accepted = [handle for handle in self._handles if _accepted(handle)]
        notes = receipts.notes
        for n, (handle, id) in enumerate(zip(accepted, receipts.ids, strict=True)):
            _tell(handle, id, notes.get(n) if notes else None)
        job: Job[..., Any] | None = None
        for n, unsent in enumerate(self._unsent):
            if unsent.job is not job:
                job = unsent.job
                afters = coming_out("after_enqueue", job)
            if (afters or n in self._open) and _accepted(self._handles[n]):
                self._come_out(n, afters)

    def _come_out(self, n: int, afters: Sequence[Callable[..., Any]]) -> None:
        handle = self._handles[n]
        if n in self._open:
            for around in self._open[n][1]:
                around.answer = handle
        try:
            self._leave(n, None)
            for after in afters:
                after(handle)
        except Exception as error:
            handle.error = error

    def handles(self) -> list[EnqueuedJob]:
        """What became of each job, in the order given; those of jobs that are stored later are told then."""
        return self._handles

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for n in list(self._open):
            self._leave(n, error)

    def _leave(self, n: int, error: BaseException | None) -> None:
        """Close the job's open generators, once."""
        if n not in self._open:
            return
        stack, _ = self._open.pop(n)
        if error is None:
            stack.close()
            return
        try:
            stack.__exit__(type(error), error, error.__traceback__)
        except Exception as raised:
            if raised is not error and self._handles[n].error is None:
                self._handles[n].error = raised


def _handle(unsent: UnsentJob) -> EnqueuedJob:
    """The handle of a job of which nothing is known but what was asked for."""
    return EnqueuedJob(None, unsent.job.name, "", 0, None, False, None, False, False, unsent.args, unsent.kwargs)


def _describe(handle: EnqueuedJob, new: NewJob) -> None:
    handle.queue, handle.priority = new.queue, new.priority
    handle.run_at = new.run_at if new.wait is None else _run_at(new.wait)


def _tell(handle: EnqueuedJob, id: int | None, note: str | None) -> None:
    """Say in the handle what became of a job that went to the database."""
    handle.id = id
    if note is None:
        return
    handle.discarded, handle.existing = note == "discarded", note == "existing"
    if note == "refused" and id is not None:
        handle.id = None
        handle.error = NotUnique(f"job {id} holds the unique key of this {handle.class_name} already", id)


def _accepted(handle: EnqueuedJob) -> bool:
    return handle.error is None and not handle.aborted


def prepare(unsent: UnsentJob, batch: int | None = None) -> NewJob:
    """The job as it is stored, a member of `batch`.

    Raises `EnqueueError`, or `ArgumentError` with the path of the value that cannot be.
    """
    job, options = unsent.job, unsent.options
    if job.unreachable is not None:
        _refuse_unreachable(job, job.unreachable)
    arguments = encode_call(unsent.args, unsent.kwargs)
    queue = options.queue if options.queue is not None else job.queue
    priority = options.priority if options.priority is not None else job.priority
    if callable(queue):
        queue = checked_name(queue(*unsent.args, **unsent.kwargs), "queue")
    if callable(priority):
        priority = checked_priority(priority(*unsent.args, **unsent.kwargs))
    # By position: names would make it cost twice as much, and thousands are made for one call.
    return NewJob(
        job.name,
        arguments,
        queue,
        priority,
        options.wait_until,
        options.wait,
        _options(job, unsent.carried),
        limits_of(job.limits, job.name, unsent.args, unsent.kwargs) if job.limits else (),
        job.unique.unique(job.name, unsent.args, unsent.kwargs, arguments) if job.unique is not None else None,
        options.expires if options.expires is not None else job.expires,
        job.rate.rate(job.name, unsent.args, unsent.kwargs) if job.rate is not None else None,
        batch,
    )


def checked_name(name: Any, what: str) -> str:
    """A name of a queue or a job that every database can hold. Raises `EnqueueError`."""
    if not isinstance(name, str):
        raise EnqueueError(f"{what}={name!r} must be text")
    if not name or name != name.strip() or len(name) > MAX_NAME:
        raise EnqueueError(f"{what}={name[:80]!r} must have 1 to {MAX_NAME} characters and no space at either end")
    if not name.isprintable():
        raise EnqueueError(f"{what}={name!r} holds a character that cannot be printed")
    return name


def checked_priority(priority: Any) -> int:
    """A priority that fits the column. Raises `EnqueueError`."""
    if isinstance(priority, bool) or not isinstance(priority, int) or not -(2**31) <= priority < 2**31:
        raise EnqueueError(f"priority={priority!r} must be a whole number of 32 bits; smaller runs first")
    return int(priority)


def _refuse_unreachable(job: Job[..., Any], reason: str) -> NoReturn:
    raise EnqueueError(
        f"the job {job.name} {reason}, and so the daemon could not find it: move it to the top level of a module, import it from "
        "there, and list that module under `app: import:` of queue.yml (or give it a fixed name with @queued.job(name=…))"
    )


def _options(job: Job[..., Any], carried: Mapping[str, str] | None) -> str | None:
    context = current_context()
    if not context and not carried and job.timeout is None:
        return None
    options: dict[str, Any] = {}
    if job.timeout is not None:
        options["timeout"] = job.timeout
    if carried:
        context = {**context, **carried}
    if context:
        options["context"] = {name: encode_value(value, f"context[{name!r}]") for name, value in context.items()}
    text = json.dumps(options, separators=(",", ":"))
    if len(text) > MAX_CONTEXT:
        raise ArgumentError(
            "context", f"takes {len(text):,} characters; at most {MAX_CONTEXT:,}: it travels with every job"
        )
    return text


def _run_at(wait: float) -> datetime | None:
    try:
        return datetime.now(timezone.utc) + timedelta(seconds=wait)
    except OverflowError:
        return None


def _refuse_unbound(unsent: Sequence[UnsentJob]) -> None:
    """Raise TypeError for the first that is no job with its arguments."""
    one: Any = None
    try:
        for one in unsent:
            one.job, one.options  # noqa: B018
    except AttributeError:
        name = getattr(one, "__name__", None)
        job = hasattr(one, "bind") and name is not None
        hint = f"pass {name}.bind(…)" if job else "pass f.bind(…) of a function f with @queued.job"
        raise TypeError(f"{one!r} is {'a job without its arguments' if job else 'no job'}; {hint}") from None


def _one_connection(unsent: Sequence[UnsentJob], connection: Any) -> Any:
    owned = [one.options.connection for one in unsent]
    distinct = {id(own): own for own in owned if own is not None}
    if connection is not None:
        distinct[id(connection)] = connection
    elif distinct and None in owned:
        raise EnqueueError(
            "enqueue_many: some jobs name a connection and some do not; give connection= to enqueue_many"
        )
    if len(distinct) > 1:
        raise EnqueueError(
            "enqueue_many: the jobs name different connections; store those of each connection by themselves"
        )
    return next(iter(distinct.values()), None)


def _one_answer(unsent: Sequence[UnsentJob], at_finish: bool) -> bool:
    own = {one.options.at_finish for one in unsent}
    if len(own) > 1 and not at_finish:
        raise EnqueueError(
            "enqueue_many: some jobs have at_finish and some do not; give at_finish=True to enqueue_many"
        )
    return at_finish or own == {True}
