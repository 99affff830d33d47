"""The jobs that a runner holds and has not started."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from .outcome import Delivery


class Waiting:
    """First in, first out. A job is either taken once or given back once: each removal is one step of C."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Delivery] = SimpleQueue()
        self.put = self._queue.put
        self.take = self._queue.get
        self.empty = self._queue.empty
        self.count = self._queue.qsize

    def take_now(self) -> Delivery | None:
        """The next job, or None when there is none at this moment."""
        try:
            return self._queue.get_nowait()
        except Empty:
            return None

    def recall(self) -> list[Delivery]:
        """Remove and return everything that has not started."""
        recalled: list[Delivery] = []
        while (delivery := self.take_now()) is not None:
            recalled.append(delivery)
        return recalled

    def withdraw(self, job_id: int, lease: int) -> bool:
        """Remove one job; False when it is not here. Called by the one thread that also puts jobs in."""
        found = False
        for delivery in self.recall():
            if delivery["id"] == job_id and delivery["lease"] == lease:
                found = True
            else:
                self.put(delivery)
        return found
