"""A connection to PostgreSQL that can be cut between a statement and its answer."""

from __future__ import annotations

import selectors
import socket
import threading
from collections import Counter


class Line:
    """Listens on a port of its own and passes everything on to the server. Used as a context manager."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, tuple[socket.socket, bool]] = {}
        self._lock = threading.Lock()
        self._deaf: set[socket.socket] = set()
        self._words: tuple[bytes, ...] = ()
        self._said: Counter[socket.socket] = Counter()
        self._going = True
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        """Where to connect."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._going = False
        self._thread.join()
        self.cut()
        self._listener.close()

    def lose_the_answer_to(self, *words: bytes) -> None:
        """A connection that says all these words, one statement after the other, hears nothing more after the last."""
        with self._lock:
            self._words = words
            self._said.clear()

    def cut(self) -> None:
        """End every connection; new ones are whole."""
        with self._lock:
            for end in list(self._pairs):
                if end in self._pairs:
                    self._drop(end)
            self._deaf.clear()
            self._words = ()

    def _run(self) -> None:
        while self._going:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listener:
                        self._accept()
                    elif end in self._pairs:
                        self._pass_on(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        for end, other, is_server in ((client, server, False), (server, client, True)):
            self._pairs[end] = (other, is_server)
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        other, is_server = self._pairs[end]
        try:
            data = end.recv(65536)
            if not is_server and self._words and self._words[self._said[end]] in data:
                self._said[end] += 1
                if self._said[end] == len(self._words):
                    self._words = ()
                    self._deaf.add(other)
            if data and end not in self._deaf:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        for each in (end, self._pairs[end][0]):
            if self._pairs.pop(each, None) is not None:
                self._selector.unregister(each)
                each.close()
