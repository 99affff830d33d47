"""Jobs in threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from .attempts import Attempts, Key
from .gate import Gate
from .outcome import Delivery
from .output import current_job
from .waiting import Waiting

if TYPE_CHECKING:
    from .coroutines import ThreadLoop


class Threads:
    """Up to `count` threads that run what waits, each started when there is work for it."""

    def __init__(self, count: int, attempts: Attempts, waiting: Waiting, context: Context) -> None:
        self._count = count
        self._attempts = attempts
        self._waiting = waiting
        self._context = context
        self._started = 0
        #: Those that wait for a job. One that has taken a job is not among them, even before the attempt has begun.
        self._resting: set[int] = set()

    def accept(self, deliveries: list[Delivery]) -> None:
        """Take jobs, in order. Called by the thread that reads frames."""
        for delivery in deliveries:
            self._waiting.put(delivery)
        wanted = min(self._count, self._started - len(self._resting) + self._waiting.count())
        while self._started < wanted:
            index = self._started
            self._started += 1
            threading.Thread(target=self._run, args=(index,), name=f"queued-job-{index}", daemon=True).start()

    def _run(self, index: int) -> None:
        bench = Bench(self._attempts, self._context)
        while True:
            delivery = self._waiting.take_now()
            if delivery is None:
                self._resting.add(index)
                delivery = self._waiting.take()
                self._resting.discard(index)
            bench.perform(index, delivery, self._more)

    def _more(self) -> bool:
        return not self._waiting.empty()


class Bench:
    """One thread's tools to run jobs, one after the other. Made in the thread itself."""

    def __init__(self, attempts: Attempts, context: Context) -> None:
        self._attempts = attempts
        self._context = context
        self._gate = Gate()
        self._loop: ThreadLoop | None = None

    def perform(self, index: int, delivery: Delivery, more: Callable[[], bool]) -> None:
        """Run one attempt in slot `index`, from its first word to its last. Never raises."""
        attempts = self._attempts
        key: Key = (delivery["id"], delivery["lease"])
        # A context of its own for each attempt: what a job sets must not be seen by the next one.
        context = self._context.copy()
        result: dict[str, Any] | BaseException
        if attempts.is_coroutine(delivery):
            loop = self._loop = self._loop or _new_loop()
            start = attempts.begin(index, key, loop.interrupt)
            context.run(current_job.set, key[0])
            result = loop.run(key, context, attempts.guest.aperform(delivery, attempts.port))
        else:
            start = attempts.begin(index, key, self._gate.interrupt)
            result = self._gate.pass_through(key, context.run, self._call, delivery)
        attempts.end(index, key, start, result, more())

    def _call(self, delivery: Delivery) -> dict[str, Any]:
        current_job.set(delivery["id"])
        return self._attempts.guest.perform(delivery, self._attempts.port)


def _new_loop() -> ThreadLoop:
    load_coroutines()
    from .coroutines import ThreadLoop

    return ThreadLoop()


def load_coroutines() -> None:
    """Import asyncio and what needs it. Late, for it is a tenth of a second and megabytes that many applications never need."""
    before, sys.dont_write_bytecode = (
        sys.dont_write_bytecode,
        True,
    )  # no files of ours are left in the daemon's directory
    try:
        from . import coroutines, tasks  # noqa: F401
    finally:
        sys.dont_write_bytecode = before
