"""Interrupting a coroutine, and running one in a thread that otherwise runs plain functions."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
import warnings
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

#: Seconds from which half a millisecond too much is of no account.
_FINE = 0.1
#: The first descriptor that `select` does not know.
_FD_SETSIZE = 1024


class FineSelector(selectors.EpollSelector):
    """Waits to the microsecond. epoll's own waits are whole milliseconds, rounded up.

    Ten tasks of asyncio that sleep 5 ms each, out of step, do it 1840 times a second, and 1920 times with this.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the selector's own."""
        if timeout is not None and 0 < timeout < _FINE:
            # An epoll descriptor is itself readable when it has something to tell.
            if not select.select([self], (), (), timeout)[0]:
                return []
            timeout = 0
        return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop for many jobs: the application's kind where it has chosen one, else asyncio's with fine time-outs."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop or _has_own_policy():
        return loop
    selector = FineSelector()
    if selector.fileno() >= _FD_SETSIZE:
        selector.close()
        return loop
    loop.close()
    return asyncio.SelectorEventLoop(selector)


def _has_own_policy() -> bool:
    """Whether the application says how its loops are made: it may give asyncio's kind a handler, or a factory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of policies altogether, from Python 3.14
        return type(asyncio.get_event_loop_policy()) is not asyncio.DefaultEventLoopPolicy


class Interruptible:
    """Awaits a coroutine; its task's cancellation, when asked for by `interrupt`, arrives as the soft exception.

    The exception raised is both the soft exception and `CancelledError`: the job sees the reason, and everything in asyncio that
    tidies up on cancellation (time-outs, task groups, `wait_for`) does so.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._soft: type[BaseException] | None = None
        self._asked = False

    def interrupt(self, exception: type[BaseException]) -> None:
        """Cancel it, with a reason; at most once. Called in the loop's thread."""
        if not self._asked:
            self._asked = True
            self._soft = exception
            if self._task is not None:
                self._task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        self._task = asyncio.current_task()
        if self._soft is not None and self._task is not None:
            self._task.cancel()
        coroutine = self._coroutine
        step: Any = coroutine.send
        value: Any = None
        while True:
            try:
                awaited = step(value)
            except StopIteration as end:
                return end.value
            try:
                value = yield awaited
                step = coroutine.send
            except GeneratorExit:
                coroutine.close()
                raise
            except asyncio.CancelledError as error:
                value, step = self._named(error), coroutine.throw
            except BaseException as error:
                value, step = error, coroutine.throw

    def _named(self, error: asyncio.CancelledError) -> BaseException:
        if self._soft is None:
            return error
        soft, self._soft = self._soft, None
        uncancel = getattr(self._task, "uncancel", None)  # Python 3.11: the request has been served
        if uncancel is not None:
            uncancel()
        named: BaseException = type(soft.__name__, (soft, asyncio.CancelledError), {"__module__": soft.__module__})()
        return named


class ThreadLoop:
    """A thread's own event loop, kept between jobs, so that what a library keeps for a loop stays usable."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._attempt: tuple[object, Interruptible] | None = None

    def run(self, key: object, context: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run the coroutine to its end and return its result, or the exception that came out of it."""
        attempt = Interruptible(coroutine)
        self._attempt = (key, attempt)
        try:
            return context.run(self._loop.run_until_complete, _outcome(attempt))
        except BaseException as error:
            return error
        finally:
            self._attempt = None
            self._tidy()

    def interrupt(self, key: object, exception: type[BaseException]) -> bool:
        """Interrupt the coroutine that `key` names. Called in any thread."""
        attempt = self._attempt
        if attempt is None or attempt[0] != key:
            return False
        self._loop.call_soon_threadsafe(attempt[1].interrupt, exception)
        return True

    def _tidy(self) -> None:
        """Cancel the tasks that the job left behind: they would run on in the middle of another job."""
        left = asyncio.all_tasks(self._loop)
        if left:
            for task in left:
                task.cancel()
            try:
                self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            except BaseException as error:
                print(f"a task that the job left behind ended with {error!r}", file=sys.stderr)


async def _outcome(attempt: Interruptible) -> Any:
    """The result or the exception: raised in a task, SystemExit would end the loop."""
    try:
        return await attempt
    except BaseException as error:
        return error
