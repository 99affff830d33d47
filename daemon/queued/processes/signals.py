"""Signals: the handlers note and wake, and the loop does the work, in order, where it can be logged."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from queued.processes.wakeup import Wakeup

STOP = (signal.SIGTERM, signal.SIGINT)
#: What a supervisor listens to. CHLD only ends its rest, so that a dead child is seen at once.
SUPERVISOR = (*STOP, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class Signals:
    """Notes signals between `install` and `restore`; main thread only, as Python demands."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._noted: deque[int] = deque()
        self._before: dict[int, Handler] = {}

    def install(self, numbers: Iterable[int]) -> None:
        """Take over these signals."""
        for number in numbers:
            self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._noted.append(number)
        self._wakeup.wake()

    def take(self) -> list[int]:
        """The signals since the last call, in the order they came."""
        noted = []
        while self._noted:
            noted.append(self._noted.popleft())
        return noted

    def restore(self) -> None:
        """Give the signals back to who had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()


def in_child(wakeup: Wakeup) -> None:
    """The handlers of an actor in a process of its own: TERM and INT finish, QUIT drops, HUP is the supervisor's business."""

    def stop(number: int, _frame: FrameType | None) -> None:
        wakeup.stop(immediate=number == signal.SIGQUIT)

    for number in (*STOP, signal.SIGQUIT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
