"""A job's way back to its worker."""

from __future__ import annotations

import itertools
import os
from queue import Empty, SimpleQueue
from typing import Any

from . import wire
from .channel import Channel
from .guest import refusal

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

    def enqueue(self, jobs: list[dict[str, Any]], batch: dict[str, Any] | None = None) -> wire.Message:
        """Store the jobs now; the answer has their `ids`, and `notes` where there are any. `batch` is opened for them.

        Waits as long as the worker needs; raises the client's EnqueueError, or the kind of it that the worker names.
        """
        if os.getpid() != self._process:
            raise refusal()("a process that the job forked has no worker; enqueue in the job itself")
        request = next(self._requests)
        answers: SimpleQueue[wire.Message] = SimpleQueue()
        self._waiting[request] = answers
        try:
            message: wire.Message = {"t": "enqueue", "r": request, "jobs": jobs}
            self._channel.post(message if batch is None else {**message, "batch": batch})
            answer = _wait(answers)
        finally:
            self._waiting.pop(request, None)
        if answer["t"] == "refused":
            raise refusal(answer.get("error"))(answer["message"])
        return answer

    def stopping(self) -> bool:
        """Whether a stop is near: a long job may use it to end early."""
        return self._stopping

    def answer(self, message: wire.Message) -> None:
        """The worker has answered. Nobody may be waiting any more, when the job was interrupted."""
        answers = self._waiting.get(message["r"])
        if answers is not None:
            answers.put(message)

    def stop(self) -> None:
        """From here on `stopping` is true."""
        self._stopping = True


def _wait(answers: SimpleQueue[wire.Message]) -> wire.Message:
    while True:
        try:
            return answers.get(timeout=_LOOK)
        except Empty:
            continue
