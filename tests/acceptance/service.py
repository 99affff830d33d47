"""A running daemon with its database and its ledger, as the acceptance tests use it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import queued
from fixtures.daemon import Daemon, registered
from fixtures.ledger import Ledger
from queued.domain.insights import JobDetail, JobSummary
from queued.domain.query import Query
from queued.storage import insights, search
from queued.storage.store import Store, open_store

APPS = Path(__file__).parent / "apps"
#: Seconds to wait for what should take a moment, on a machine that has much else to do.
PATIENCE = 60.0
ENDED = frozenset({"finished", "failed", "discarded", "cancelled"})


class Service:
    """Enqueue, look, wait. The database is read directly, so that looking is cheap and needs no daemon."""

    def __init__(self, daemon: Daemon, ledger: Ledger, url: str | None = None) -> None:
        self.daemon = daemon
        self.ledger = ledger
        self.url = url or daemon.url
        self._store: Store | None = None

    def enqueue(self, *jobs: queued.UnsentJob) -> list[int]:
        """Store the jobs in one transaction, by the client of this process; their ids."""
        queued.configure(self.url)
        stored = queued.enqueue_many(list(jobs))
        ids = [job.id for job in stored if job.id is not None]
        assert len(ids) == len(jobs), f"not all stored: {[job.error for job in stored]}"
        return ids

    @contextmanager
    def store(self) -> Iterator[Store]:
        """A connection of the test's own."""
        if self._store is None:
            self._store = open_store(self.url, label="test")
        yield self._store

    def close(self) -> None:
        """Let go of the connection."""
        if self._store is not None:
            self._store.close()

    def job(self, job_id: int) -> JobDetail:
        """Everything that the database knows of one job."""
        with self.store() as store, store.reading() as session:
            return insights.job(session, job_id)

    def jobs(self) -> dict[int, JobSummary]:
        """Every job, by id."""
        with self.store() as store, store.reading() as session:
            return {job.id: job for job in search.search(session, Query(), 100_000).jobs}

    def processes(self, kind: str = "worker") -> dict[str, int]:
        """Registered processes of a kind: the pid of each name."""
        return {name: pid for name, is_kind, _, pid in registered(self.url) if is_kind.startswith(kind)}

    # waiting

    def until(self, condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        """The condition's value once it is true; the log and the ledger in the failure otherwise."""
        deadline = time.monotonic() + timeout
        pause = 0.005
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout:g} s for {what}\n{self.report()}")
            # Looking costs the daemon's own processors; after a while there is no hurry.
            pause = min(0.1, pause * 1.2)
            time.sleep(pause)
        return value

    def wait(self, job_id: int, state: str = "finished", timeout: float = PATIENCE) -> JobDetail:
        """The job once it is in that state."""

        def reached() -> JobDetail | None:
            job = self.job(job_id)
            if job.state in ENDED and state in ENDED and job.state != state:
                raise AssertionError(f"job {job_id} is {job.state}, not {state}: {job.failure}\n{self.report()}")
            return job if job.state == state else None

        found: JobDetail = self.until(reached, f"job {job_id} to be {state}, which is {self.job(job_id)}", timeout)
        return found

    def wait_all(self, ids: Iterable[int], state: str = "finished", timeout: float = PATIENCE) -> None:
        """Return when all of them are in that state."""
        wanted = set(ids)

        def reached() -> bool:
            jobs = self.jobs()
            return all(job_id in jobs and jobs[job_id].state in ENDED for job_id in wanted)

        self.until(reached, f"{len(wanted)} jobs to end", timeout)
        states = Counter(job.state for job_id, job in self.jobs().items() if job_id in wanted)
        assert states == {state: len(wanted)}, f"{states}\n{self.report()}"

    def started(self, job_id: int, count: int = 1) -> int:
        """The id of the process that runs the job, once it has begun for the `count`-th time: its runner."""
        return int(self.ledger.wait_for("start", count, job_id)[count - 1]["pid"])

    def labels(self, event: str = "start") -> list[Any]:
        """What the jobs were told, in the order in which they began."""
        return [entry.get("label") for entry in self.ledger.entries(event)]

    def report(self) -> str:
        """What is known, for a failure."""
        tail = "\n".join(self.daemon.log().splitlines()[-60:])
        entries = "\n".join(str(entry) for entry in self.ledger.entries()[-40:])
        return f"--- log ---\n{tail}\n--- ledger ---\n{entries}"


def named(name: str) -> queued.Job[..., Any]:
    """A job that only the application has, known here by name to be enqueued."""

    def body(*args: Any) -> None:
        raise AssertionError("it runs in the application, never here")

    return queued.job(name=name)(body)


def is_alive(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that has just ended is no trouble."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
