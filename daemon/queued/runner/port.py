"""A job's way back to its worker."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from . import wire
from .channel import Channel
from .checkpoints import Checkpoints, Key
from .guest import Steps, refusal

#: Seconds between two looks. An exception raised in a waiting thread is noticed no later.
_LOOK = 0.2


class RunnerPort:
    """Passes jobs to the worker, which stores them: the application needs no database for that."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._requests = itertools.count(1)
        self._waiting: dict[int, SimpleQueue[wire.Message]] = {}
        self._process = os.getpid()
        self._stopping = False
        self.checkpoints = Checkpoints(channel)

    def enqueue(self, jobs: list[dict[str, Any]], batches: list[dict[str, Any]] | None = None) -> wire.Message:
        """Store the jobs now; the answer has their `ids`, and `notes` where there are any. `batches` are opened for them.

        Waits as long as the worker needs; raises the client's EnqueueError, or the kind of it that the worker names.
        """
        if os.getpid() != self._process:
            raise refusal()("a process that the job forked has no worker; enqueue in the job itself")
        message: wire.Message = {"t": "enqueue", "jobs": jobs}
        if batches:
            message["batches"] = batches
        answer = self._ask(lambda request: self._channel.post({**message, "r": request}))
        if answer["t"] == "refused":
            raise refusal(answer.get("error"))(answer["message"])
        return answer

    def watch(self, key: Key, steps: Steps) -> None:
        """Tell the worker how far the attempt has come, from now on to its end."""
        self.checkpoints.watch(key, steps)

    def save(self, key: Key) -> bool:
        """Have how far the attempt has come stored now. Waits as long as the worker needs; raises the client's DatabaseError.

        False when the attempt is no longer ours: the job was given to another worker.
        """
        if os.getpid() != self._process:
            raise refusal("DatabaseError")("a process that the job forked has no worker; save in the job itself")
        answer = self._ask(lambda request: self.checkpoints.wish(key, request))
        if answer["t"] == "refused":
            raise refusal("DatabaseError")(answer["message"])
        return bool(answer["ids"])

    def stopping(self) -> bool:
        """Whether a stop is near: a long job may use it to end early."""
        return self._stopping

    def answer(self, message: wire.Message) -> None:
        """The worker has answered. Nobody may be waiting any more, when the job was interrupted."""
        answers = self._waiting.get(message["r"])
        if answers is not None:
            answers.put(message)

    def _ask(self, send: Callable[[int], None]) -> wire.Message:
        request = next(self._requests)
        answers: SimpleQueue[wire.Message] = SimpleQueue()
        self._waiting[request] = answers
        try:
            send(request)
            return _wait(answers)
        finally:
            self._waiting.pop(request, None)

    def stop(self) -> None:
        """From here on `stopping` is true."""
        self._stopping = True


def _wait(answers: SimpleQueue[wire.Message]) -> wire.Message:
    while True:
        try:
            return answers.get(timeout=_LOOK)
        except Empty:
            continue
