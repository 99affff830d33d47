"""Functions around the enqueueing and the running of a job: of one job, or of all.

Order: those of all jobs first, then the job's own, each in the order of declaration; on the way out the other way round,
like the layers of an onion. `raise queued.Abort` in a `before_` halts: nothing is stored, or nothing is run, and no
`after_` follows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from queued.domain.errors import QueuedError

if TYPE_CHECKING:
    from queued.client.current import CurrentJob
    from queued.client.unsent import EnqueuedJob, UnsentJob

Point = Literal[
    "before_enqueue", "around_enqueue", "after_enqueue", "before_perform", "around_perform", "after_perform", "after_discard",
]  # fmt: skip
POINTS: tuple[Point, ...] = get_args(Point)

BeforeEnqueue = TypeVar("BeforeEnqueue", bound="Callable[[UnsentJob], object]")
AroundEnqueue = TypeVar("AroundEnqueue", bound="Callable[[UnsentJob], Generator[None, EnqueuedJob, object]]")
AfterEnqueue = TypeVar("AfterEnqueue", bound="Callable[[EnqueuedJob], object]")
OnPerform = TypeVar("OnPerform", bound="Callable[[CurrentJob], object]")
AroundPerform = TypeVar("AroundPerform", bound="Callable[[CurrentJob], Generator[None, None, object]]")
C = TypeVar("C", bound="Callable[..., object]")
AfterDiscard = TypeVar("AfterDiscard", bound="Callable[[CurrentJob, BaseException], object]")


class Abort(QueuedError):
    """Raised in a `before_enqueue` or `before_perform` callback: do not store, or do not run, this job. It is no failure."""


class Callbacks:
    """The callbacks of one job, or of all jobs: decorators that register."""

    #: Whether there has ever been one: most jobs have none, and are not asked at every point.
    any_callbacks = False

    def __init__(self) -> None:
        self._at: dict[Point, list[Callable[..., Any]]] = {point: [] for point in POINTS}

    def at(self, point: Point) -> list[Callable[..., Any]]:
        """The callbacks registered at one point, in order."""
        return self._at[point]

    def before_enqueue(self, callback: BeforeEnqueue) -> BeforeEnqueue:
        """Call the function with the unsent job before it is stored; `raise queued.Abort` keeps it from being stored.

        The handle then has `id` None and `aborted` True. Runs for each job of `enqueue_many` too.
        """
        return self._add("before_enqueue", callback)

    def around_enqueue(self, callback: AroundEnqueue) -> AroundEnqueue:
        """Wrap storing in the generator function, which gets the unsent job and yields once.

        `yield` answers the handle. An error while storing is raised at the `yield`; the generator may not swallow it. One that
        ends without yielding aborts. For `enqueue_many` every generator is entered before the one statement that stores all.
        """
        return self._add("around_enqueue", callback)

    def after_enqueue(self, callback: AfterEnqueue) -> AfterEnqueue:
        """Call the function with the handle once the job is stored; in a caller's transaction, before it commits."""
        return self._add("after_enqueue", callback)

    def before_perform(self, callback: OnPerform) -> OnPerform:
        """Call the function with the current job before each attempt; `raise queued.Abort` ends the job as discarded, not run.

        Any other error counts as the attempt's own, with retries and all.
        """
        return self._add("before_perform", callback)

    def around_perform(self, callback: AroundPerform) -> AroundPerform:
        """Wrap each attempt in the generator function, which gets the current job and yields once.

        An error of the job is raised at the `yield`; a generator that does not let it out makes the attempt a success. One that
        ends without yielding aborts: the job is not run and ends as discarded.
        """
        return self._add("around_perform", callback)

    def after_perform(self, callback: OnPerform) -> OnPerform:
        """Call the function with the current job after each attempt that did not raise. An error counts as the attempt's own."""
        return self._add("after_perform", callback)

    def after_discard(self, callback: AfterDiscard) -> AfterDiscard:
        """Call the function with the current job and the error when the job is given up: discarded, or failed for good.

        Errors here are logged and change nothing. It cannot run when the process itself died.
        """
        return self._add("after_discard", callback)

    def _add(self, point: Point, callback: C) -> C:
        if inspect.iscoroutinefunction(callback) or inspect.isasyncgenfunction(callback):
            raise TypeError(
                f"{point}: {callback.__qualname__} is async; callbacks are plain functions, also for async jobs"
            )
        if point.startswith("around_") and not inspect.isgeneratorfunction(callback):
            raise TypeError(f"{point}: {callback!r} must be a generator function that yields once")
        self._at[point].append(callback)
        self.any_callbacks = True
        return callback


#: The callbacks of all jobs: what `queued.before_perform` and its like register.
everywhere = Callbacks()


def surrounded(own: Callbacks) -> bool:
    """Whether there may be callbacks at any point."""
    return own.any_callbacks or everywhere.any_callbacks


def going_in(point: Point, own: Callbacks) -> Sequence[Callable[..., Any]]:
    """The callbacks at a `before_` or `around_` point: those of all jobs, then the job's own."""
    if not surrounded(own):
        return ()
    return [*everywhere.at(point), *own.at(point)]


def coming_out(point: Point, own: Callbacks) -> Sequence[Callable[..., Any]]:
    """The callbacks at an `after_` point: the job's own, then those of all jobs."""
    if not surrounded(own):
        return ()
    return [*own.at(point), *everywhere.at(point)]


class Around:
    """One `around_` generator as a context manager. `answer` is what its `yield` gives."""

    def __init__(self, callback: Callable[..., Generator[None, Any, object]], subject: Any, swallows: bool) -> None:
        self._name = getattr(callback, "__qualname__", repr(callback))
        self._generator = callback(subject)
        self._swallows = swallows
        self.answer: Any = None

    def __enter__(self) -> Around:
        try:
            next(self._generator)
        except StopIteration:
            raise Abort(f"{self._name} did not yield") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            if error is None:
                self._generator.send(self.answer)
            else:
                self._generator.throw(error)
        except StopIteration:
            return error is not None and self._swallows
        except BaseException as raised:
            # `throw` gives the same error back when the generator lets it through; contextlib's rule for one that meets
            # a StopIteration of the body itself is followed too.
            if raised is error or (isinstance(error, StopIteration) and raised.__cause__ is error):
                return False
            raise
        raise RuntimeError(f"{self._name} yielded more than once")
