"""Lets the writers of one SQLite file in one after the other, fairly.

SQLite's own busy handler is not fair: with eight writers one got a single insert in five seconds. Here a writer must pass two
locks: it holds the first (the turnstile) while it waits for the second (the pen), so the writer that has just finished has
to queue again behind the one in the turnstile. Correctness never rests on these locks: after `timeout` a writer goes on
without them, and SQLite's own lock decides. So a frozen process in the turnstile costs time, not safety.
"""

from __future__ import annotations

import fcntl
import os
import random
import time


class Turnstile:
    """One process's (or thread's) way through. The lock file lies beside the database."""

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._descriptors: tuple[int, int] | None = None

    def enter(self) -> None:
        """Wait for the pen, at most `timeout` seconds."""
        turnstile, pen = self._open()
        deadline = time.monotonic() + self._timeout
        if not _take(turnstile, deadline, 0.002):
            return
        try:
            _take(pen, deadline, 0.0005)
        finally:
            fcntl.flock(turnstile, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Hand the pen on. Does no harm to a writer that never got it."""
        if self._descriptors is not None:
            fcntl.flock(self._descriptors[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock file."""
        if self._descriptors is not None:
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors = None

    def _open(self) -> tuple[int, int]:
        if self._descriptors is None:
            # The directory's own rights decide who may write the database; the lock must not be narrower than that.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            opened = []
            for suffix in ("-turnstile", "-pen"):
                descriptor = os.open(self._path + suffix, flags, 0o660)
                try:
                    os.fchmod(descriptor, os.stat(self._path).st_mode & 0o666)
                except OSError:
                    pass  # another user made the file, and gave it its rights
                opened.append(descriptor)
            self._descriptors = (opened[0], opened[1])
        return self._descriptors


def _take(descriptor: int, deadline: float, pause: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            # Waiters draw lots: with equal pauses the one that started last would keep its place at the end.
            time.sleep(pause * random.uniform(0.2, 1.0))
        else:
            return True
