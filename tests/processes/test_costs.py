"""What a job costs its database through its life, in counts that no machine's mood changes: the guard of the fast path.

Each limit is what was counted, or promised in docs/design.md, and a little more; who raises one says why. Every failure tells what
was found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from fixtures.counting import Counted, counting
from fixtures.postgresql import PostgreSQLServer
from queued.domain.jobs import ClaimedJob, NewJob
from queued.domain.lanes import Lanes
from queued.domain.queues import Selector
from queued.processes.outbox import Ended, Outbox
from queued.storage import claimed, processes, ready
from queued.storage.store import Store

#: Jobs in a call of `enqueue_many`, and in a claim and an ack of a busy worker.
BULK, BATCH = 1000, 500
#: psycopg prepares a statement when it is run for the sixth time.
WARM = 6

POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Life:
    """Takes jobs that do nothing through their lives, with the calls that clients and workers make."""

    def __init__(self, store: Store, deletes: Callable[[str], bool] | None = None) -> None:
        self.store = store
        self._outbox = Outbox(store, claimed.Worker("here", "worker-1"), store.ring, deletes)
        self._lanes = Lanes(Selector.parse(("*",)))
        with store.transaction() as session:
            self.process_id = processes.register(
                session,
                name=f"worker-{id(self)}",
                kind="Worker",
                supervisor=None,
                pid=1,
                hostname="h",
                identity={},
                metadata={},
            )
        self._lease = self.process_id << 40
        for _ in range(WARM):
            self.enqueue(1)
            self.enqueue(2)
        with store.reading() as session:
            self._lanes.searched(ready.lanes(session), 0.0, 0.0)
        for _ in range(WARM):
            self.ack(self.claim(2))
        self.ack(self.claim(BATCH))

    def enqueue(self, count: int) -> None:
        """Store so many in one call, and tell of them as a client does that has told nobody lately."""
        self.store._rung.clear()
        self.store.enqueue([NewJob("app.jobs.nothing") for _ in range(count)])

    def claim(self, count: int) -> list[ClaimedJob]:
        """Take so many as a worker does that knows where the lanes begin."""
        with self.store.statement(durable=False) as session:
            found, taken, _ = ready.claim(session, self._lanes.marks(), count, self.process_id, self._lease)
        self._lanes.taken(taken)
        self._lease += count
        return found

    def ack(self, jobs: list[ClaimedJob]) -> None:
        """Store that they are done."""
        for job in jobs:
            self._outbox.add(Ended(job, "done", time.monotonic(), 0.001))
        self._outbox.flush()


@pytest.fixture
def life(store: Store) -> Life:
    """One worker and one client, long begun."""
    return Life(store)


def on_the_wire(counted: Counted, statements: int, trips: int) -> None:
    """At most so many statements and round trips; BEGIN and COMMIT are statements, and waited for."""
    assert len(counted.statements) <= statements, str(counted)
    assert counted.trips <= trips, str(counted)


@POSTGRESQL
@pytest.mark.parametrize("count", [1, BULK])
def test_an_enqueue_is_one_statement_and_one_that_tells_of_it(life: Life, count: int) -> None:
    with counting(life.store) as counted:
        life.enqueue(count)
    on_the_wire(counted, 2, 2)
    with counting(life.store) as again:
        life.store.enqueue([NewJob("app.jobs.nothing") for _ in range(count)])
        life.store.enqueue([NewJob("app.jobs.nothing") for _ in range(count)])
    # At most one in 5 ms tells; the two calls may lie further apart where the machine is slow.
    on_the_wire(again, 4, 4)


@POSTGRESQL
def test_a_claim_and_an_ack_of_a_batch_are_one_statement_and_one_round_trip_each(life: Life) -> None:
    life.enqueue(BATCH)
    with counting(life.store) as counted:
        jobs = life.claim(BATCH)
    assert len(jobs) == BATCH
    on_the_wire(counted, 1, 1)
    with counting(life.store) as counted:
        life.ack(jobs)
    on_the_wire(counted, 1, 1)


@POSTGRESQL
def test_an_ack_that_deletes_some_of_its_jobs_is_one_statement_and_one_round_trip(store: Store) -> None:
    life = Life(store, lambda queue: queue == "default")
    store.enqueue([NewJob("app.jobs.nothing", queue="default" if n % 2 else "kept") for n in range(BATCH)])
    with store.reading() as session:
        life._lanes.searched(ready.lanes(session), 0.0, 0.0)
    jobs = life.claim(BATCH)
    assert {job.queue for job in jobs} == {"default", "kept"}
    with counting(store) as counted:
        life.ack(jobs)
    on_the_wire(counted, 1, 1)


class Log:
    """How long PostgreSQL's write-ahead log has grown, in bytes.

    The server's own work is kept out: no autovacuum, and no whole pages after a checkpoint, which come once in five minutes however
    many jobs there are.
    """

    QUIET = ("autovacuum = off", "full_page_writes = off")

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._last = self._position()

    def grown(self) -> int:
        """Since the last call."""
        before, self._last = self._last, self._position()
        return self._last - before

    def close(self) -> None:
        self._connection.close()

    def _position(self) -> int:
        row = self._connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def log(postgresql_server: PostgreSQLServer, store: Store) -> Iterator[Log]:
    """The log of this process's own server, which nobody else writes to meanwhile."""
    for setting in Log.QUIET:
        postgresql_server.execute(f"ALTER SYSTEM SET {setting}")
    postgresql_server.execute("SELECT pg_reload_conf()")
    log = Log(store.settings.url)
    try:
        yield log
    finally:
        log.close()
        for setting in Log.QUIET:
            postgresql_server.execute(f"ALTER SYSTEM RESET {setting.split()[0]}")
        postgresql_server.execute("SELECT pg_reload_conf()")


@POSTGRESQL
def test_a_job_of_a_batch_writes_less_than_a_kilobyte_of_log_in_its_whole_life(log: Log, life: Life) -> None:
    count = 4 * BULK
    log.grown()
    for _ in range(count // BULK):
        life.enqueue(BULK)
    enqueued = log.grown()
    taken = [life.claim(BATCH) for _ in range(count // BATCH)]
    assert sum(map(len, taken)) == count
    held = log.grown()
    for jobs in taken:
        life.ack(jobs)
    found = {"enqueue": enqueued / count, "claim": held / count, "ack": log.grown() / count}
    limits = {"enqueue": 420, "claim": 320, "ack": 370}
    assert all(found[part] <= limit for part, limit in limits.items()), f"bytes of log a job: {found}"
    assert sum(found.values()) <= 1100, f"bytes of log a job: {found}"


@POSTGRESQL
def test_a_job_that_is_deleted_with_its_end_writes_no_more_log_than_one_that_is_kept(log: Log, store: Store) -> None:
    lives = {"kept": Life(store), "deleted": Life(store, lambda queue: True)}
    found = {}
    for name, life in lives.items():
        life.enqueue(BULK)
        taken = [life.claim(BATCH) for _ in range(BULK // BATCH)]
        log.grown()
        for jobs in taken:
            life.ack(jobs)
        found[name] = log.grown() / BULK
    assert found["deleted"] <= found["kept"], f"bytes of log an ack of a job: {found}"


@POSTGRESQL
def test_a_job_alone_writes_little_more_log_than_one_of_a_batch(log: Log, life: Life) -> None:
    count = 200
    log.grown()
    for _ in range(count):
        life.enqueue(1)
        life.ack(life.claim(1))
    found = log.grown() / count
    assert found <= 1300, f"bytes of log a job: {found}"


class Pages:
    """Pages that SQLite has written to its log since the last call. Nothing is taken out of the log meanwhile."""

    def __init__(self, store: Store) -> None:
        connection: Any = store.backend.connection()
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
        self._log, self._frame = f"{path}-wal", size + 24
        self._last = 0
        self.written()

    def written(self) -> int:
        before, self._last = self._last, (os.path.getsize(self._log) - 32) // self._frame
        return self._last - before


@SQLITE
def test_sqlite_writes_few_pages_a_job_and_commits_once_a_batch(store: Store) -> None:
    pages = Pages(store)
    life = Life(store)
    commits: dict[str, int] = {}

    def pages_of(action: Callable[[], object]) -> int:
        pages.written()
        with counting(store) as counted:
            action()
        commits[str(counted)] = sum(text.startswith("COMMIT") for text in counted.statements)
        return pages.written()

    held: list[ClaimedJob] = []
    found = {
        "enqueue one": (pages_of(lambda: life.enqueue(1)), 4),
        "claim one": (pages_of(lambda: held.extend(life.claim(1))), 3),
        "ack one": (pages_of(lambda: life.ack([held.pop()])), 3),
        "enqueue": (pages_of(lambda: life.enqueue(BULK)), 38),
        "claim": (pages_of(lambda: held.extend(life.claim(BATCH))), 16),
        "ack": (pages_of(lambda: life.ack(held)), 20),
    }
    assert len(held) == BATCH
    assert all(pages <= limit for pages, limit in found.values()), f"pages written, and the limit: {found}"
    assert set(commits.values()) == {1}, str(commits)
