"""`queuectl` on a migrated database, called as its own program is, and a worker as the database sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from queued.cli import main
from queued.domain.jobs import ClaimedJob, Failure, NewJob, Outcome
from queued.domain.lanes import Lanes
from queued.domain.queues import Selector
from queued.storage import claimed, processes, ready
from queued.storage.store import Store, open_store

HERE = claimed.Worker("here", "worker-1")


@dataclass(frozen=True)
class Result:
    """What a program said, and its exit code."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Program = Callable[..., Result]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests reaches the programs."""
    for name in [name for name in os.environ if name.startswith("QUEUED_") or name == "NO_COLOR"]:
        monkeypatch.delenv(name)


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    """Calls `queued` or `queuectl` in this process: `program("queuectl", "status")`."""

    def call(name: str, *words: object) -> Result:
        capsys.readouterr()
        try:
            status = getattr(main, name)([str(word) for word in words])
        except SystemExit as left:
            status = int(left.code or 0)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A migrated store."""
    store = open_store(database_url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def ctl(program: Program, store: Store, database_url: str) -> Program:
    """Calls `queuectl` on the store's database."""
    return lambda *words: program("queuectl", *words, "--database", database_url)


class Hand:
    """A worker as the database sees it, moved by hand."""

    def __init__(self, store: Store, name: str, queues: Sequence[str] = ("*",), supervisor: str | None = None) -> None:
        self.store = store
        self.name = name
        with store.transaction() as session:
            self.id = processes.register(
                session,
                name=name,
                kind="worker",
                supervisor=supervisor,
                pid=4711,
                hostname="here",
                identity={},
                metadata={"queues": list(queues), "threads": 3},
            )
        self._leases = 0

    def claim(self, limit: int = 100) -> list[ClaimedJob]:
        lanes = Lanes(Selector.parse(["*"]))
        with self.store.reading() as session:
            lanes.searched(ready.lanes(session), 0.0, 0.0)
        with self.store.statement() as session:
            found, _, _ = ready.claim(session, lanes.marks(), limit, self.id, (self.id << 32) + self._leases)
        self._leases += len(found)
        return found

    def end(
        self, job: ClaimedJob, kind: Any = "done", message: str = "broken", backtrace: tuple[str, ...] = ()
    ) -> None:
        failure = Failure("app.Broken", message, backtrace) if kind in {"failed", "retry"} else None
        outcome = Outcome(
            job.id, job.lease, kind, duration=0.5, failure=failure, wait=60.0 if kind == "retry" else 0.0, policy="p"
        )
        with self.store.transaction() as session:
            report = claimed.finish(session, [outcome], claimed.Worker("here", self.name))
        assert not report.stale

    def fail(self, job_id: int, **told: Any) -> None:
        """Run the job with this id, which must be ready, into a failure."""
        for job in self.claim():
            if job.id == job_id:
                self.end(job, "failed", **told)
            else:
                self.end(job, "released")


@pytest.fixture
def worker(store: Store) -> Hand:
    """A living worker of all queues."""
    return Hand(store, "worker-1")


def job(name: str = "app.work", **fields: Any) -> NewJob:
    """A job to be stored."""
    return NewJob(name, **fields)


def states(ctl: Program) -> dict[int, str]:
    """The state of every job, as `queuectl jobs list` tells it."""
    return {told["id"]: told["state"] for told in ctl("jobs", "list", "--json", "--limit", 1000).json["jobs"]}
