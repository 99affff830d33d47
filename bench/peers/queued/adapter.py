"""`queued` itself, on PostgreSQL or SQLite: a real `queued start` of this checkout."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT / "bench"), str(ROOT / "daemon"), str(ROOT / "tests")]

import contest_jobs  # noqa: E402
import protocol  # noqa: E402

import processes  # noqa: E402
import queued  # noqa: E402
from fixtures.daemon import PACKAGE, Daemon  # noqa: E402
from queued.storage import queues  # noqa: E402
from queued.storage.store import Store, open_store  # noqa: E402

QUEUE = "default"
#: What the rows need; elsewhere the daemon's own number of threads.
WORKERS = {"compute": {"threads": 1}, "wait": {"threads": 10}}


class Queued(protocol.Adapter):
    settings = "its defaults: fork mode, workers of 3 threads (10 for waits, 1 for computing); enqueue_many of 1000"

    def version(self) -> str:
        return f"queued {queued.__version__}"

    def left(self, database: str) -> str:
        tables = _tables(database)
        ready = f"SELECT job_id FROM {tables}ready ORDER BY queue DESC, priority DESC, seq DESC LIMIT 1"
        claimed = f"SELECT job_id FROM {tables}claimed ORDER BY job_id DESC LIMIT 1"
        return f"SELECT * FROM ({ready}) AS r UNION ALL SELECT * FROM ({claimed}) AS c"

    def stored(self, database: str) -> str:
        return f"SELECT count(*) FROM {_tables(database)}finished WHERE state = 'finished'"

    def setup(self, url: str) -> None:
        store = open_store(url)
        store.migrate()
        store.close()

    def fill(self, url: str, job: str, count: int) -> float:
        queued.configure(url)
        made = contest_jobs.JOBS[job]

        def calls() -> None:
            for size in protocol.batches(count):
                queued.enqueue_many([made.bind() for _ in range(size)])

        return protocol.timed(calls)

    def single(self, url: str, count: int) -> float:
        queued.configure(url)

        def calls() -> None:
            for _ in range(count):
                contest_jobs.nothing.enqueue()

        return protocol.timed(calls)

    def pick_up(self, url: str, count: int) -> list[float]:
        queued.configure(url)
        ear = protocol.Ear()
        for number in ear.numbers(count):
            asked = time.monotonic()
            contest_jobs.tell.enqueue(ear.port, number)
            ear.hear(number, asked)
        return ear.milliseconds()

    def work(self, url: str, row: str, workers: int) -> None:
        store = open_store(url)
        directory = Path(tempfile.mkdtemp(prefix="queued-bench-"))
        daemon = Daemon(directory, _settings(url, row, workers, directory), [], {})
        try:
            # It starts on a paused queue, so that a start is no part of any figure.
            with store.transaction() as session:
                queues.pause(session, QUEUE)
            daemon.start()
            daemon.wait_until(lambda: _runners(daemon) == workers, "the runners")
            protocol.ready(daemon.pid)
            _resume(store)
            protocol.asked_to_stop()
            daemon.stop()
        except BaseException:
            print(daemon.log()[-4000:], file=sys.stderr)
            raise
        finally:
            store.close()
            daemon.destroy()
            shutil.rmtree(directory, ignore_errors=True)


def _settings(url: str, row: str, workers: int, directory: Path) -> dict[str, Any]:
    inherited = {name: os.environ[name] for name in (protocol.EAR,) if name in os.environ}
    return {
        "database": {"url": url},
        "app": {
            "path": str(HERE),
            "python": sys.executable,
            "import": ["contest_jobs"],
            "environment": {"PYTHONPATH": str(PACKAGE), **inherited},
        },
        "workers": [{**WORKERS.get(row, {}), "processes": workers}],
        "dispatchers": [{}],
        "runtime_directory": str(directory / "run"),
    }


def _tables(database: str) -> str:
    """What stands before the name of a table."""
    return "queued_" if database == "sqlite" else "queued."


def _runners(daemon: Daemon) -> int:
    """How many processes are there to run jobs: the children of those that have loaded the application."""
    members = processes.family(daemon.pid)
    loaded = {member for member in members if processes.title(member) == "queued-app"}
    return sum(processes.parent(member) in loaded for member in members)


def _resume(store: Store) -> None:
    with store.transaction() as session:
        queues.resume(session, QUEUE)
    store.control(f"resume {QUEUE}")


if __name__ == "__main__":
    protocol.main(Queued())
