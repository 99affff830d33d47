"""Sending without waiting."""

from __future__ import annotations

import socket
import threading

from . import wire

#: Bytes kept for a reader that does not read; past it, lines of output are dropped.
_BOUND = 1024 * 1024


class Outbox:
    """A socket's outgoing side: what the kernel does not take now is kept and sent when it can be."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.setblocking(False)
        self._rest = bytearray()
        self._dropped = 0
        self._lock = threading.RLock()  # an application may print in threads while it is imported

    @property
    def waiting(self) -> bool:
        """Whether anything is left to send."""
        return bool(self._rest)

    def send(self, message: wire.Message) -> None:
        """Send the message, as far as that is possible now. A broken connection is for its reader to notice."""
        with self._lock:
            self._rest += wire.encode(message)
            self.flush()

    def say(self, message: wire.Message) -> None:
        """Send a line of output; dropped and counted when too much waits."""
        with self._lock:
            if len(self._rest) > _BOUND:
                self._dropped += 1
                return
            if self._dropped:
                line = f"{self._dropped} lines of output were dropped"
                self._dropped = 0
                self.send({**message, "level": "WARNING", "logger": "queued", "line": line})
            self.send(message)

    def flush(self) -> None:
        """Send what is kept, as far as the kernel takes it."""
        with self._lock:
            try:
                while self._rest:
                    sent = self.socket.send(self._rest, socket.MSG_NOSIGNAL)
                    del self._rest[:sent]
            except BlockingIOError:
                pass
            except OSError:
                self._rest.clear()
