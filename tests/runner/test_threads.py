"""When a thread is started for a job."""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import Any

from queued.runner.threads import Threads
from queued.runner.waiting import Waiting


class Attempts:
    """What threads ask of `attempts.Attempts`; the first job hangs before its attempt has begun."""

    def __init__(self) -> None:
        self.guest, self.port = self, None
        self.taken, self.go_on, self.second = threading.Event(), threading.Event(), threading.Event()

    def is_coroutine(self, delivery: dict[str, Any]) -> bool:
        if delivery["id"] == 1:
            self.taken.set()
            self.go_on.wait(60)
        return False

    def begin(self, index: int, key: tuple[int, int], interrupt: object) -> float:
        if key[0] == 2:
            self.second.set()
        return 0.0

    def perform(self, delivery: dict[str, Any], port: object) -> dict[str, Any]:
        return {"kind": "done"}

    def end(self, *facts: object) -> None:
        pass


def test_a_job_that_is_taken_and_has_not_begun_does_not_count_as_a_free_thread() -> None:
    attempts = Attempts()
    threads = Threads(2, attempts, Waiting(), copy_context())  # type: ignore[arg-type]
    threads.accept([{"id": 1, "lease": 1}])
    assert attempts.taken.wait(60)
    threads.accept([{"id": 2, "lease": 1}])
    assert attempts.second.wait(60)
    attempts.go_on.set()
