"""What a runner says to its worker: outcomes in small batches, lines of output when there is room.

Three kinds of words with three promises. An outcome is sent at once when no other job waits, else within a millisecond
or so; it is in the slot file's journal meanwhile. An answer or a request is sent in its turn and is never lost. A line of output
never makes a job wait: when the worker is slow to read, lines are kept up to a bound, then dropped and counted.
"""

from __future__ import annotations

import os
import socket
import threading
from queue import SimpleQueue
from time import monotonic, sleep

from . import wire
from .slots import Slots

#: Seconds that a finished job's outcome may wait for others to share its frame.
LINGER = 0.001

#: Frames that may wait for a slow worker before lines of output are dropped.
BACKLOG = 4096

#: The exit status of a runner whose worker is gone: there is nobody left to tell.
ORPHANED = 71


class Channel:
    """The runner's end of the socketpair. Every method may be called from every thread."""

    def __init__(self, connection: socket.socket, slots: Slots) -> None:
        self._socket = connection
        self._slots = slots
        self._lock = threading.Lock()
        self._outcomes: list[bytes] = []
        self._oldest = 0.0
        self._armed = False
        # A SimpleQueue's put is one step of C: an exception raised in the thread from outside cannot tear it.
        self._backlog: SimpleQueue[bytes] = SimpleQueue()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._rest = b""
        self._dropped = 0
        self._gone = False
        threading.Thread(target=self._run, name="queued-sender", daemon=True).start()

    def close_after_fork(self) -> None:
        """In a process that a job forked: let go of the socket, so that the worker sees its end when the runner dies."""
        self._socket.close()
        self._lock = threading.Lock()
        self._gone = True

    def send(self, message: wire.Message) -> None:
        """Send now, after all that waits. Not for job code's threads while a job may be interrupted: use `post`."""
        with self._lock:
            self._transmit(wire.encode(message))

    def post(self, message: wire.Message) -> None:
        """Have it sent soon by the sender's thread. Never waits; safe wherever a job may be interrupted."""
        self._backlog.put(wire.encode(message))
        self._wake.put(None)

    def say(self, message: wire.Message, direct: bool) -> None:
        """Say one line of output. With `direct` it is on its way when this returns, if the worker reads fast enough:
        the last words of a process that is about to die are the ones that matter most."""
        data = wire.encode(message)
        if self._backlog.qsize() >= BACKLOG:
            self._dropped += 1
            return
        if direct and self._lock.acquire(blocking=False):
            try:
                if not self._rest and self._backlog.empty():
                    self._offer(data)
                    data = b""
            finally:
                self._lock.release()
        if data:
            self._backlog.put(data)
            self._wake.put(None)
        elif self._rest:
            self._wake.put(None)

    def finish(self, outcome: bytes, more: bool) -> None:
        """Report how an attempt ended. `more`: other jobs wait here, so the outcome may wait for theirs."""
        if self._gone:
            os._exit(
                ORPHANED
            )  # a process that a job forked and that left the job's function; the slot file is not its own
        with self._lock:
            self._outcomes.append(outcome)
            now = monotonic()
            first = len(self._outcomes) == 1
            if first:
                self._oldest = now
            # Noted even when sent at once: the send may have to wait for a slow worker, and a neighbour may crash meanwhile.
            if not self._slots.note(outcome) or not more or now - self._oldest >= LINGER:
                self._transmit()
                return
            if self._armed:
                return
            self._armed = True
        self._wake.put(None)

    def flush(self) -> None:
        """Send all that waits."""
        with self._lock:
            self._transmit()

    def _offer(self, data: bytes) -> None:
        """Send what the kernel takes at once and keep the rest for the sender's thread."""
        try:
            self._rest = data[self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            self._rest = data
        except OSError:
            os._exit(ORPHANED)

    def _transmit(self, last: bytes = b"") -> None:
        parts = [self._rest]
        self._rest = b""
        # Lines first: what a job printed is read before the word that it has ended.
        while not self._backlog.empty():
            parts.append(self._backlog.get_nowait())
        if self._dropped:
            parts.append(wire.encode(_loss(self._dropped)))
            self._dropped = 0
        if self._outcomes:
            parts.append(wire.frame(b'{"t":"out","o":[' + b",".join(self._outcomes) + b"]}"))
            self._outcomes.clear()
        parts.append(last)
        data = b"".join(parts)
        try:
            if data:
                self._socket.sendall(data, socket.MSG_NOSIGNAL)
        except OSError:
            os._exit(ORPHANED)
        self._slots.forget()

    def _run(self) -> None:
        while True:
            self._wake.get()
            while self._due():
                sleep(LINGER)

    def _due(self) -> bool:
        """Send what is due; True when outcomes are left that may wait a little longer."""
        with self._lock:
            waited = monotonic() - self._oldest
            if self._rest or not self._backlog.empty() or (self._outcomes and waited >= LINGER):
                self._transmit()
            self._armed = bool(self._outcomes)
            return self._armed


def _loss(count: int) -> wire.Message:
    text = f"{count} lines of output were dropped: the worker could not read them as fast as they came"
    return {"t": "log", "id": None, "stream": "stderr", "level": "WARNING", "logger": "queued", "line": text}
