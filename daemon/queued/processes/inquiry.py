"""A question to the application on its way: asked of the fork server, answered by a process that it forks for that alone."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from queued.processes.applications import pass_on
from queued.processes.hosts.fork import in_words
from queued.runner import wire
from queued.runner.outbox import Outbox


class Inquiry:
    """One question. `turn` reads what has come; nothing here waits. Closing it ends whoever is still busy with it."""

    def __init__(self, path: str, question: Mapping[str, Any], key: str) -> None:
        """Ask the fork server at `path`; `key` stands in the log before what the answering process prints. Raises OSError."""
        self._key = key
        #: Why there will be no further word, once that is known; empty when it ended well.
        self.end: str | None = None
        self._from_server, self._from_answer = wire.Decoder(), wire.Decoder()
        ours, theirs = socket.socketpair()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._data = ours
        try:
            with theirs:
                # A fork server that hangs still accepts as many as its backlog holds; past that this fails at once.
                self._server.setblocking(False)
                self._server.connect(path)
                socket.send_fds(self._server, [wire.encode({"t": "ask"})], [theirs.fileno()])
            self._outbox = Outbox(ours)
            self._outbox.send(dict(question))
        except BaseException:
            self.close()
            raise

    def descriptors(self) -> list[int]:
        """What becomes readable when there is something to read."""
        return [each.fileno() for each in (self._server, self._data) if each.fileno() >= 0]

    @property
    def unsent(self) -> bool:
        """Whether a frame waits for room in the socket; `turn` sends it."""
        return self._data.fileno() >= 0 and self._outbox.waiting

    def send(self, frame: Mapping[str, Any]) -> None:
        """Answer a frame that asked for something. Somebody who is gone is no trouble."""
        if self._data.fileno() >= 0:
            self._outbox.send(dict(frame))

    def turn(self) -> list[wire.Message]:
        """The frames of the answer that have come. What the process printed is passed on to the log."""
        if self.unsent:
            self._outbox.flush()
        frames = self._read(self._data, self._from_answer)
        for frame in self._read(self._server, self._from_server):
            if frame["t"] == "log":
                pass_on(self._key, frame)
            elif frame["t"] == "refused":
                self.end = f"the application's fork server refused: {frame['message']}"
            elif frame["t"] == "asked":
                # What the process had said before it ended is in our socket by now.
                frames += self._read(self._data, self._from_answer)
                self.end = (
                    f"the process that was to answer ended ({in_words(frame['status'])})" if frame["status"] else ""
                )
        if self.end is None and self._server.fileno() < 0:
            self.end = "the application's fork server has ended"
        return frames

    def close(self) -> None:
        """Let go of it. The fork server kills a process that is still at it."""
        self._server.close()
        self._data.close()

    @staticmethod
    def _read(connection: socket.socket, decoder: wire.Decoder) -> list[wire.Message]:
        frames: list[wire.Message] = []
        while connection.fileno() >= 0:
            try:
                data = connection.recv(65536)
                frames += decoder.feed(data)
            except BlockingIOError:
                break
            except (OSError, wire.WireError):
                data = b""
            if not data:
                connection.close()
        return frames
