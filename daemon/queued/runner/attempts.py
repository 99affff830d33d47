"""The bookkeeping around each attempt, the same for threads and tasks."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from .capture import Capture
from .channel import Channel
from .guest import Guest
from .outcome import DONE, Delivery, escaped, render
from .output import Output
from .port import RunnerPort
from .slots import Slots

#: Seconds that an attempt may take from its first entry here to the job's own code.
_BEGINNING = 0.5

#: Seconds after the end of one attempt in which another begins without a look at what was written meanwhile.
_SETTLED = 0.00002

#: An attempt's name: a job's id and the lease.
Key = tuple[int, int]

#: Has the soft exception raised in the attempt; False when it has ended.
Interrupt = Callable[[Key, type[BaseException]], bool]


class Attempts:
    """What runs at this moment, told to the slot file before an attempt and to the worker after it."""

    def __init__(
        self, guest: Guest, port: RunnerPort, channel: Channel, slots: Slots, output: Output, capture: Capture
    ) -> None:
        self.guest = guest
        self.port = port
        self.channel = channel
        self._slots = slots
        self._output = output
        self._capture = capture
        #: By slot: what runs there, and how it is interrupted.
        self._running: dict[int, tuple[Key, Interrupt]] = {}
        self._reasons: dict[Key, str] = {}
        self._coroutines: dict[str, bool] = {}
        #: When output was last told apart.
        self._settled = 0.0

    def is_coroutine(self, delivery: Delivery) -> bool:
        """Whether the job is an `async def`. A job that the client does not know is for `perform` to fail."""
        name: str = delivery["class"]
        known = self._coroutines.get(name)
        if known is None:
            try:
                known = self.guest.is_coroutine(name)
            except Exception:
                return False
            self._coroutines[name] = known
        return known

    def begin(self, index: int, key: Key, interrupt: Interrupt) -> float:
        """The attempt starts in slot `index`. Returns the moment."""
        start = monotonic()
        if start - self._settled > _SETTLED:
            self._capture.settle()
        self._slots.begin(index, *key, start)
        self._output.running[index] = key[0]
        self._running[index] = (key, interrupt)
        return start

    def end(self, index: int, key: Key, start: float, result: dict[str, Any] | BaseException, more: bool) -> None:
        """The attempt has ended; `more` jobs wait. Its slot is free when this returns."""
        end = monotonic()
        self._running.pop(index, None)
        reason = self._reasons.pop(key, None) if self._reasons else None
        if isinstance(result, BaseException):
            result = escaped(result, reason)
        # With the outcome, in one piece: neither is known without the other, whatever dies now.
        checkpoint = self.port.checkpoints.last(key)
        if checkpoint is not None:
            result = {**result, "checkpoint": checkpoint}
        self._output.finish_job(key[0])
        self._capture.settle()
        self._settled = end
        self._output.running.pop(index, None)
        if result == DONE:
            self.channel.done(index, key, start, end, more)
        else:
            self.channel.finish(index, render(key, start, end, result), more)

    def interrupt(self, key: Key, reason: str) -> bool:
        """Have the soft exception for `reason` raised in a running attempt; False when it does not run."""
        exception = self.guest.soft_exception(reason)
        deadline = monotonic() + _BEGINNING
        while (interrupt := self._interrupt_of(key)) is not None:
            self._reasons.setdefault(key, reason)
            if interrupt(key, exception) or monotonic() > deadline:
                return True
            sleep(0.001)
        self._reasons.pop(key, None)
        return False

    def _interrupt_of(self, key: Key) -> Interrupt | None:
        return next((interrupt for running, interrupt in self._running.copy().values() if running == key), None)
