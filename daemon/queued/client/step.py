"""Steps as a job writes them, and its progress.

    with queued.step("import", start=0) as s:
        for row in rows_after(s.cursor):
            store(row)
            s.advance(row.id)

    with queued.step("report") as s:
        if not s.finished:
            send_report()

Python cannot skip the body of a `with`. So a body must ask: read `s.cursor`, which a finished step keeps, or `s.finished`. One
that asks neither would do its work again when the job is resumed; it is refused the first time it runs, not on the day of a
crash. `queued.step` as a decorator skips by itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, cast, overload

from queued.client.current import running
from queued.client.steps import Steps, frozen
from queued.domain.errors import StepError

P = ParamSpec("P")


class Step:
    """One step of a job: a part that is not done again once it is finished. Made by `queued.step`, entered by `with`."""

    __slots__ = ("_asked", "_cursor", "_finished", "_name", "_number", "_start", "_steps")

    def __init__(self, name: str, start: Any = None) -> None:
        if not isinstance(name, str) or not name or len(name) > 200:
            raise StepError(f"step({name!r}): its name is a text of at most 200 characters")
        self._name = name
        self._start = start
        self._steps: Steps | None = None
        self._number = 0
        self._cursor: Any = start
        self._finished = False
        self._asked = False

    @property
    def name(self) -> str:
        """What it is called, once in its job."""
        return self._name

    @property
    def finished(self) -> bool:
        """Whether an earlier attempt finished it: then there is nothing left to do here."""
        self._asked = True
        return self._finished

    @property
    def cursor(self) -> Any:
        """The place that was stored last, by this attempt or an earlier one; `start` before. A finished step keeps its last."""
        self._asked = True
        return self._cursor

    def advance(self, cursor: Any) -> None:
        """Everything up to `cursor` is done: go on there if the job is resumed. May end the attempt here, when the worker stops.

        Costs about a microsecond, so it may stand in a tight loop: the latest cursor is sent ten times a second, and when the
        attempt ends, however it does. Only the death of the process (`kill -9`, a crash) loses the last tenth of a second, and
        what was done in it is done again. The cursor may be what an argument of a job may be, up to 8 KiB of it.
        """
        steps = self._open()
        steps.move(self._number, frozen(cursor, "cursor"))
        self._cursor = cursor
        steps.heed_stop()

    def set(self, cursor: Any) -> None:
        """As `advance`, and never ends the attempt here."""
        self._open().move(self._number, frozen(cursor, "cursor"))
        self._cursor = cursor

    def checkpoint(self) -> None:
        """Return when the cursor is in the database: nothing takes it back, not even `kill -9`. About a millisecond.

        May end the attempt here, when the worker stops. Raises `DatabaseError`.
        """
        steps = self._open()
        steps.save()
        steps.heed_stop()

    async def acheckpoint(self) -> None:
        """As `checkpoint`, without holding up the event loop."""
        steps = self._open()
        await _saved(steps)
        steps.heed_stop()

    def _open(self) -> Steps:
        if self._steps is None:
            raise StepError(f"step {self._name!r} is not entered: write `with queued.step({self._name!r}) as s:`")
        return self._steps

    # with

    def __enter__(self) -> Step:
        if self._steps is not None:
            raise StepError(f"step {self._name!r} is entered twice")
        now = running.get()
        # Called here and now, outside any attempt, there is nothing to resume and nobody to tell.
        steps = now.steps if now is not None else Steps(None)
        self._number, self._cursor, self._finished = steps.begin(self._name, self._start)
        self._steps = steps
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        steps = self._close(error)
        if steps is not None:
            steps.save()

    async def __aenter__(self) -> Step:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        steps = self._close(error)
        if steps is not None:
            await _saved(steps)

    def _close(self, error: BaseException | None) -> Steps | None:
        """Leave the step; the attempt's steps when they are to be saved before anything else happens."""
        steps, self._steps = self._open(), None
        if error is not None:
            steps.leave()
            return None
        if not self._asked:
            steps.leave()
            text = (
                f"the body of step {self._name!r} looked neither at `finished` nor at `cursor`, so it would do its work again "
                "when the job is resumed; write `if not s.finished:`, or make it a function under @queued.step(…)"
            )
            raise steps.refuse(StepError(text))
        return steps if steps.finish(self._number) else None

    # a function

    @overload
    def __call__(self, function: Callable[Concatenate[Step, P], Awaitable[None]]) -> Callable[P, Awaitable[None]]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Step, P], None]) -> Callable[P, None]: ...

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a function a step: its first parameter is the step, and a call of it does nothing once that is finished.

        It returns nothing, for a call that is skipped has nothing to return; what later steps need goes into the cursor.
        """
        name, start = self._name, self._start
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def acall(*args: Any, **kwargs: Any) -> None:
                async with Step(name, start) as step:
                    if not step.finished:
                        _nothing(name, await function(step, *args, **kwargs), step)

            return acall

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> None:
            with Step(name, start) as step:
                if not step.finished:
                    _nothing(name, function(step, *args, **kwargs), step)

        return call


def step(name: str, start: Any = None) -> Step:
    """One step of a job, in `with` or as a decorator; each with a name of its own, in the same order in every attempt.

        with queued.step("import", start=0) as s:
            for row in rows_after(s.cursor):
                store(row)
                s.advance(row.id)

        @queued.step("report")
        def report(s: queued.Step, year: int) -> None:
            ...

        report(2026)        # in a job: does nothing when an earlier attempt has finished it

    A step that has been left without an error is finished, and stored as that before the next line runs: it is never done again,
    whatever dies. A step that an error ends goes on at its cursor in the next attempt. The body of a `with` runs also when the step
    is finished, for Python cannot skip it: it must look at `s.cursor` or `s.finished`, and StepError says so where it does not.
    Raises StepsChanged when an earlier attempt of this job had other steps; a job that returns before it has come to all of those
    fails with it, too (to give up, raise an error of `discard_on`). Outside a job nothing is stored.
    """
    return Step(name, start)


def progress(done: float, total: float | None = None, message: str | None = None) -> None:
    """Say how far this job is: `done` of `total`, with a few words. `queuectl jobs show` tells it, within about 0.2 s.

    Cheap enough for every turn of a loop. Outside a job it does nothing.
    """
    now = running.get()
    if now is not None:
        now.steps.tell(done, total, message)


async def _saved(steps: Steps) -> None:
    import asyncio

    await asyncio.to_thread(steps.save)


def _nothing(name: str, value: object, step: Step) -> None:
    if value is not None:
        text = (
            f"step {name!r} returned a {type(value).__name__}, which would be missing when it is skipped; use s.set(…)"
        )
        raise cast(Steps, step._steps).refuse(StepError(text))
