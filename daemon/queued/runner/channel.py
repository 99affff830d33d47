"""What a runner says to its worker: outcomes in small batches, lines of output when there is room.

Three kinds of words with three promises. An outcome is sent at once when no other job waits, else within some milliseconds;
it is in the slot file meanwhile. An answer or a request is sent in its turn and is never lost. A line of output
never makes a job wait: when the worker is slow to read, lines are kept up to a bound, then dropped and counted.
"""

from __future__ import annotations

import os
import socket
import threading
from queue import Empty, SimpleQueue
from time import monotonic

from . import slots, wire
from .slots import Slots

#: Seconds that a finished job's outcome may wait for others to share its frame. To wake a worker that sleeps on another core takes
#: a virtual machine some 50 µs of the job's thread: one in twenty for jobs of a millisecond, unless several share it.
LINGER = 0.004

#: Ends that a slot must still have room for when the next ones wait to be sent.
ROOM = slots.LEAST_ENDS // 2

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
        #: When the outcome that has waited longest began to; 0.0 when none waits.
        self._oldest = 0.0
        #: Whether the sender's thread is to send at once what waits.
        self._due = False
        #: Whether the sender's thread looks after outcomes that wait.
        self._armed = False
        # A SimpleQueue's put is one step of C: an exception raised in the thread from outside cannot tear it.
        self._backlog: SimpleQueue[bytes] = SimpleQueue()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._rest = b""
        #: How many lines were dropped, by job.
        self._dropped: dict[int | None, int] = {}
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
            job = message.get("id")
            self._dropped[job] = self._dropped.get(job, 0) + 1
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

    def done(self, index: int, key: tuple[int, int], start: float, end: float, more: bool) -> None:
        """Report that the attempt in slot `index` is done, with nothing more to say, and free the slot. See `finish`.

        Takes no lock that another thread may hold while it waits for the interpreter's.
        """
        if self._gone:
            os._exit(ORPHANED)
        room = self._slots.end_plainly(index, *key, start, end)
        if room == 0:
            self.flush()
        else:
            self._linger(end, more and room > ROOM)

    def finish(self, index: int, outcome: bytes, more: bool) -> None:
        """Report how the attempt in slot `index` ended, and free the slot. `more`: other jobs wait here, so the outcome may wait
        for theirs."""
        if self._gone:
            os._exit(
                ORPHANED
            )  # a process that a job forked and that left the job's function; the slot file is not its own
        with self._lock:
            # Noted even when sent at once: the send may have to wait for a slow worker, and a neighbour may crash meanwhile.
            noted = self._slots.note(outcome)
            self._outcomes.append(outcome)
            if not noted:
                self._transmit()
                if self._slots.note(outcome):
                    self._slots.forget()
        # Only now: a crash in between must find the outcome or the slot, and may find both.
        self._slots.end(index)
        self._linger(monotonic(), more)

    def flush(self) -> None:
        """Send all that waits."""
        with self._lock:
            self._transmit()

    def _linger(self, now: float, more: bool) -> None:
        """An outcome waits to be sent: send it now, or have the sender's thread look after it."""
        if not self._oldest:
            self._oldest = now
        if not more or now - self._oldest >= LINGER:
            self._flush_soon()
        elif not self._armed:
            self._armed = True
            self._wake.put(None)

    def _flush_soon(self) -> None:
        """Send all that waits; while another thread sends, leave it to the sender's. Threads that wait for this lock, and hold it
        while they wait for the interpreter's, end up taking turns at every job."""
        if self._lock.acquire(blocking=False):
            try:
                self._transmit()
            finally:
                self._lock.release()
        else:
            self._due = True
            self._wake.put(None)

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
        self._oldest = 0.0  # before the look at what waits: what comes from now on counts anew
        # Lines are sent first, and looked for last: what a job printed is read before the word that it has ended.
        ends, places = self._slots.take_ends()
        while not self._backlog.empty():
            parts.append(self._backlog.get_nowait())
        if self._dropped:
            dropped, self._dropped = self._dropped, {}
            parts += [wire.encode(_loss(job, count)) for job, count in dropped.copy().items()]
        if ends:
            parts.append(wire.ends(ends))
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
        self._slots.ends_sent(places)
        self._slots.forget()

    def _run(self) -> None:
        while True:
            self._wake.get()
            while self._look():
                try:
                    self._wake.get(timeout=LINGER)
                except Empty:
                    continue

    def _look(self) -> bool:
        """Send what is due; True when outcomes are left that may wait a little longer."""
        due, self._due, oldest = self._due, False, self._oldest
        if due or self._rest or not self._backlog.empty() or (oldest and monotonic() - oldest >= LINGER):
            self.flush()
        self._armed = False
        if self._oldest:  # after that word: whoever came before it has relied on us, whoever comes after wakes us
            self._armed = True
        return self._armed


def _loss(job: int | None, count: int) -> wire.Message:
    lines = "1 line of output was" if count == 1 else f"{count} lines of output were"
    text = f"{lines} dropped: the worker could not read them as fast as they came"
    return {"t": "log", "id": job, "stream": "stderr", "level": "WARNING", "logger": "queued", "line": text}
