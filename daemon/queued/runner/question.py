"""A question to the application, answered in a short-lived process that was forked from it.

`{"t":"run", ...}` has a run of a schedule enqueued as the application itself would, its callbacks included; whoever asked has the
database and stores it. `{"t":"find", "names": [...]}` says which of the names are no jobs.
"""

from __future__ import annotations

import os
import socket
import threading
import traceback
from typing import Any, NoReturn

from . import wire
from .channel import ORPHANED
from .guest import Guest, Steps, refusal

Key = tuple[int, int]

#: Bytes read at once.
_CHUNK = 64 * 1024


def answer(connection: socket.socket, guest: Guest) -> NoReturn:
    """Read one question from the connection, answer it, and end the process."""
    status = 0
    try:
        port = QuestionPort(connection)
        question = port.receive()
        if question["t"] == "run":
            guest.enqueue_run(question, port)
        elif question["t"] == "find":
            port.send({"t": "found", "unknown": guest.unknown(question["names"])})
        else:
            raise ValueError(f"there is no question of type {question['t']!r}")
    except BaseException:
        traceback.print_exc()
        status = 70
    os._exit(status)


class QuestionPort:
    """The way back to whoever asked: a frame out, and where one is due, the answer in. Waits for it as long as it takes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = wire.Decoder()
        self._frames: list[wire.Message] = []
        self._lock = threading.Lock()

    def enqueue(self, jobs: list[dict[str, Any]], batches: list[dict[str, Any]] | None = None) -> wire.Message:
        """Have the jobs stored that a callback enqueues; as a runner's port does."""
        message: wire.Message = {"t": "enqueue", "jobs": jobs}
        if batches:
            message["batches"] = batches
        return self._ask(message)

    def bound(self, job: dict[str, Any]) -> wire.Message:
        """Have the run's own job stored. Raises the client's EnqueueError when it is not to be, after all."""
        return self._ask({"t": "bound", "job": job})

    def unbound(self, why: str, message: str) -> None:
        """There is no job for this run: `aborted`, `failed` or `unknown`."""
        self.send({"t": "unbound", "why": why, "message": message})

    def stopping(self) -> bool:
        """Whether a stop is near; nothing that asks is long enough to care."""
        return False

    def watch(self, key: Key, steps: Steps) -> None:
        """No job runs here, so none has steps."""

    def save(self, key: Key) -> bool:
        """No job runs here, so none has steps."""
        return False

    def send(self, message: wire.Message) -> None:
        """Send a frame."""
        try:
            self._connection.sendall(wire.encode(message), socket.MSG_NOSIGNAL)
        except OSError:
            os._exit(ORPHANED)

    def receive(self) -> wire.Message:
        """The next frame. Ends the process when whoever asked is gone."""
        while not self._frames:
            try:
                data = self._connection.recv(_CHUNK)
            except OSError:
                data = b""
            if not data:
                os._exit(ORPHANED)
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def _ask(self, message: wire.Message) -> wire.Message:
        with self._lock:
            self.send(message)
            answer = self.receive()
        if answer["t"] == "refused":
            raise refusal(answer.get("error"))(answer["message"])
        return answer
