"""Jobs as asyncio tasks of one loop; plain functions go to threads beside it."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context
from queue import SimpleQueue

from .attempts import Attempts, Key
from .coroutines import Interruptible, new_loop
from .outcome import Delivery
from .output import current_job
from .threads import Bench
from .waiting import Waiting


class Tasks:
    """Up to `count` jobs at once in one event loop, which runs in the thread that calls `run`."""

    def __init__(self, count: int, attempts: Attempts, waiting: Waiting, context: Context) -> None:
        self._attempts = attempts
        self._waiting = waiting
        self._context = context
        self._loop = new_loop()
        self._free = list(reversed(range(count)))
        #: By slot, because a loop forgets tasks that nobody holds.
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._flushing = False
        self._filling = False
        self._functions: SimpleQueue[tuple[int, Delivery]] = SimpleQueue()
        self._threads = 0
        self._busy_threads = 0

    def run(self) -> None:
        """Run the loop for ever; the process ends from another thread."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def accept(self, deliveries: list[Delivery]) -> None:
        """Take jobs, in order. Called by the thread that reads frames."""
        for delivery in deliveries:
            self._waiting.put(delivery)
        self._loop.call_soon_threadsafe(self._fill, context=self._context)

    def _fill(self) -> None:
        """Start what waits, as far as slots are free. Runs in the plain context, never in that of a job: a task copies it."""
        if self._filling:
            return  # a job's end inside its start, by a task factory of the application's: the loop below goes on
        self._filling = True
        try:
            self._start_what_waits()
        finally:
            self._filling = False

    def _start_what_waits(self) -> None:
        while self._free and (delivery := self._waiting.take_now()) is not None:
            index = self._free.pop()
            if self._attempts.is_coroutine(delivery):
                self._tasks[index] = self._loop.create_task(self._attempt(index, delivery))
            else:
                self._functions.put((index, delivery))
                self._busy_threads += 1
                if self._threads < self._busy_threads:
                    self._threads += 1
                    name = f"queued-job-{self._threads}"
                    threading.Thread(target=self._run_functions, name=name, daemon=True).start()

    async def _attempt(self, index: int, delivery: Delivery) -> None:
        current_job.set(delivery["id"])
        attempts = self._attempts
        attempt = Interruptible(attempts.guest.aperform(delivery, attempts.port))

        def interrupt(key: Key, exception: type[BaseException]) -> bool:
            self._loop.call_soon_threadsafe(attempt.interrupt, exception)
            return True

        key: Key = (delivery["id"], delivery["lease"])
        start = attempts.begin(index, key, interrupt)
        try:
            result = await attempt
        except BaseException as error:
            result = error
        # All that end in one turn of the loop share a frame, and the sender's thread watches over a turn that is long.
        attempts.end(index, key, start, result, more=True)
        self._tasks.pop(index, None)
        self._free.append(index)
        if not self._waiting.empty():
            # Now and not in the loop's next turn, for that comes after all that is ready in this one.
            self._context.copy().run(self._fill)
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        self._flushing = False
        self._attempts.channel.flush()

    def _run_functions(self) -> None:
        bench = Bench(self._attempts, self._context)
        while True:
            index, delivery = self._functions.get()
            bench.perform(index, delivery, self._functions_wait)
            self._loop.call_soon_threadsafe(self._release, index, context=self._context)

    def _functions_wait(self) -> bool:
        return not self._functions.empty()

    def _release(self, index: int) -> None:
        self._busy_threads -= 1
        self._free.append(index)
        self._fill()
