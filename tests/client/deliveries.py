"""What a worker hands to its runner, and the runner's port."""

from __future__ import annotations

from typing import Any

import queued


class RecordingPort:
    """The runner's port as a job sees it: what it was asked to store, and answers with ids."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []
        self.watched: dict[tuple[int, int], Any] = {}
        self.saved: list[dict[str, Any]] = []
        self.asked = 0
        self.stop_after: int | None = None
        self.ours = True

    def enqueue(self, jobs: list[dict[str, Any]], batches: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Take the jobs, answer ids from 1000 on; batches from 5 on."""
        first = 1000 + len(self.jobs)
        self.jobs += jobs
        told: dict[str, Any] = {"ids": list(range(first, first + len(jobs)))}
        if batches:
            self.batches += batches
            told["batches"] = [[batch["number"], 5 + n] for n, batch in enumerate(batches)]
        return told

    def stopping(self) -> bool:
        """Once `stop_after` has been asked that often."""
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after

    def watch(self, key: tuple[int, int], steps: Any) -> None:
        """Take the attempt's steps."""
        self.watched[key] = steps

    def save(self, key: tuple[int, int]) -> bool:
        """Store the state that the attempt is in."""
        self.saved.append(self.watched[key].state())
        return self.ours


def delivery(job: queued.Job[..., Any] | str, *args: Any, **fields: Any) -> dict[str, Any]:
    """What a worker hands to its runner for a call of `job` with `args`."""
    from queued.client.arguments import encode_call

    name = job if isinstance(job, str) else job.name
    given = {
        "id": 7,
        "lease": 3,
        "class": name,
        "args": encode_call(args, {}),
        "opts": None,
        "queue": "default",
        "priority": 0,
    }
    return {**given, "attempt": 1, "counters": {}, "enqueued_at": 1_700_000_000.25, **fields}
