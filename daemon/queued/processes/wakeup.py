"""An interruptible rest: one byte ends it. Safe in signal handlers, from other threads, and in anybody's selector."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable


class Wakeup:
    """A pipe to oneself. `wake` before or during `wait` ends that wait; nothing is lost between the two.

    `stopping` says that the owner shall end, `immediate` that it shall not finish what it has first.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.stopping = False
        self.immediate = False

    def fileno(self) -> int:
        """Readable once somebody has woken us."""
        return self._read

    def wake(self) -> None:
        """End the current or the next wait. One system call, no lock: fit for a signal handler."""
        try:
            os.write(self._write, b"!")
        except (BlockingIOError, OSError):
            pass  # full: a wake is already on its way; closed: nobody waits any more

    def stop(self, immediate: bool = False) -> None:
        """Tell the owner to end, and wake it."""
        self.immediate = self.immediate or immediate
        self.stopping = True
        self.wake()

    def drain(self) -> None:
        """Forget the wakes so far; for owners that wait with a selector of their own."""
        try:
            while os.read(self._read, 4096):
                pass
        except OSError:
            pass  # empty

    def wait(self, seconds: float, others: Iterable[int] = ()) -> list[int]:
        """Rest until woken, until one of the `others` is readable, or until the time is over.

        The descriptors that ended it, our own among them; none when the time was over.
        """
        poll = select.poll()
        for descriptor in (self._read, *others):
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if self._read in ready:
            self.drain()
        return ready

    def close(self) -> None:
        """Let go of the pipe."""
        for descriptor in (self._read, self._write):
            if descriptor >= 0:
                os.close(descriptor)
        self._read = self._write = -1
