"""The databases that are measured: a fresh one for each run, and questions to it that cost next to nothing."""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import queued
from fixtures.binaries import find_binaries
from fixtures.postgresql import PostgreSQLServer
from queued.domain.jobs import Arrival
from queued.storage import queues
from queued.storage.store import open_store

if TYPE_CHECKING:
    import psycopg

#: What decides how much a commit costs on PostgreSQL, and what a table of figures must therefore say.
DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size")


class Database(ABC):
    """One engine. `fresh` comes before all the other questions."""

    name: str
    #: What stands before the name of a table.
    _tables: str
    #: SQL that turns a column into epoch seconds.
    _epoch: str
    _connection: Any = None
    _store: Any = None

    @abstractmethod
    def fresh(self) -> str:
        """Make an empty, migrated database, have the client use it, and give its URL."""

    @abstractmethod
    def describe(self) -> str:
        """The engine, its version, and what decides on its durability."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove all of it."""

    def transactions(self) -> int | None:
        """How many transactions have been committed in it so far; None where nobody counts."""
        return None

    def server(self) -> int | None:
        """The process whose family is the server, if there is one."""
        return None

    def finished(self) -> int:
        """How many acks are stored."""
        return int(self._one(f"SELECT count(*) FROM {self._tables}finished WHERE state = 'finished'"))

    def has_finished(self, job_id: int) -> bool:
        """Whether this job's ack is stored."""
        return bool(self._one(f"SELECT count(*) FROM {self._tables}finished WHERE job_id = {job_id}"))

    def first_start(self) -> float:
        """When the first job started, in epoch seconds."""
        return float(self._one(f"SELECT {self._epoch.format('min(started_at)')} FROM {self._tables}finished"))

    def finished_between(self, first: int, last: int) -> int:
        """How many acks of these jobs are stored."""
        return self.number(f"SELECT count(*) FROM {{t}}finished WHERE job_id >= {first} AND job_id <= {last}")

    def first_start_between(self, first: int, last: int) -> float:
        """When the first of these jobs started, in epoch seconds."""
        started = self._epoch.format("min(started_at)")
        return float(
            self._one(f"SELECT {started} FROM {self._tables}finished WHERE job_id >= {first} AND job_id <= {last}")
        )

    def number(self, query: str) -> int:
        """What a query gives. `{t}` stands before the name of a table."""
        return int(self._one(query.format(t=self._tables)))

    def write(self, statements: Sequence[str], words: Mapping[str, object]) -> None:
        """Run statements in one transaction, past the store, with the words put in their places."""
        self._connection.execute("BEGIN")
        for statement in statements:
            self._connection.execute(statement.format(t=self._tables, **words))
        self._connection.execute("COMMIT")

    def announce(self, arrivals: Sequence[Arrival]) -> None:
        """Tell workers and dispatchers of jobs that were written past the store."""
        self._store.ring(arrivals)

    @abstractmethod
    def moment(self, seconds: float) -> str:
        """SQL for the moment so many seconds from now."""

    @abstractmethod
    def next_seq(self) -> int:
        """No place in a lane that is given from now on is smaller."""

    @abstractmethod
    def stop_autovacuum(self) -> None:
        """Leave the tables as they are: without statistics, and unswept."""

    def analyse(self) -> None:
        """Gather the statistics of all tables."""
        self._connection.execute("ANALYZE")

    @abstractmethod
    def held(self) -> AbstractContextManager[None]:
        """A transaction of somebody else, open as long as the block, that may still see everything as it was at its beginning."""

    def pause(self, queue: str) -> None:
        """No worker takes jobs of this queue until `resume`."""
        with self._store.transaction() as session:
            queues.pause(session, queue)

    def resume(self, queue: str) -> None:
        """Workers may take jobs of this queue again, and are told at once."""
        with self._store.transaction() as session:
            queues.resume(session, queue)
        self._store.control(f"resume {queue}")

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    def _migrate(self, url: str) -> str:
        if self._store is not None:
            self._store.close()
        self._store = open_store(url)
        self._store.migrate()
        queued.configure(url)
        return url


class Sqlite(Database):
    """SQLite in files of one directory, with the settings that `queued` has by default."""

    name = "SQLite"
    _tables = "queued_"
    _epoch = "{} / 1e6"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count(1)

    def fresh(self) -> str:
        self.destroy()
        self._path = self._directory / f"bench-{next(self._numbers)}.sqlite3"
        url = self._migrate(f"sqlite:///{self._path}")
        self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        return url

    def moment(self, seconds: float) -> str:
        return f"CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER) + {round(seconds * 1e6)}"

    def next_seq(self) -> int:
        return 1  # a claim always begins at the beginning of a lane

    def stop_autovacuum(self) -> None:
        """There is none."""

    @contextmanager
    def held(self) -> Iterator[None]:
        reader = sqlite3.connect(self._path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM queued_queues").fetchone()
        yield
        reader.execute("ROLLBACK")
        reader.close()

    def describe(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}: journal_mode WAL, synchronous FULL"

    def destroy(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._store.close()
        for path in self._directory.glob("bench-*.sqlite3*"):
            if path.is_file():
                path.unlink()


def own_server() -> tuple[PostgreSQLServer, psycopg.Connection]:
    """A PostgreSQL server of the bench's own, to be destroyed by whoever asks, and a connection to its database `postgres`."""
    import psycopg

    binaries = find_binaries()
    if binaries is None:
        raise SystemExit(
            "bench: no PostgreSQL server here; `make bench` and `make bench-peers` get one, or set PG_BIN (where initdb is)"
        )
    server = PostgreSQLServer(binaries)
    try:
        server.create()
        return server, psycopg.connect(server.socket_url("postgres"), autocommit=True)
    except BaseException:
        server.destroy()
        raise


class Postgresql(Database):
    """A PostgreSQL server of our own with PostgreSQL's own durability, reached over its Unix socket."""

    name = "PostgreSQL"
    _tables = "queued."
    _epoch = "extract(epoch FROM {})"

    def __init__(self) -> None:
        import psycopg

        self._connect = psycopg.connect
        self._server, self._admin = own_server()
        self._name = ""

    def fresh(self) -> str:
        if self._connection is not None:
            self._connection.close()
            self._store.close()
            self._server.drop_database(self._name)
        self._name = self._server.create_database()
        url = self._migrate(self._server.socket_url(self._name))
        self._connection = self._connect(url, autocommit=True)
        # What the run before left behind must not be written during this one.
        self._admin.execute("CHECKPOINT")
        return url

    def moment(self, seconds: float) -> str:
        return f"clock_timestamp() + interval '{seconds} s'"

    def next_seq(self) -> int:
        return self.number("SELECT nextval(pg_get_serial_sequence('{t}ready', 'seq'))") + 1

    def stop_autovacuum(self) -> None:
        names = self._connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'queued'").fetchall()
        for (name,) in names:
            self._connection.execute(f"ALTER TABLE queued.{name} SET (autovacuum_enabled = off)")

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._connect(self._server.socket_url(self._name), autocommit=True) as other:
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            # With a number of its own: it counts as a writer, too.
            other.execute("SELECT txid_current(), count(*) FROM queued.queues")
            yield
            other.execute("ROLLBACK")

    def server(self) -> int:
        assert self._server.process is not None
        return self._server.process.pid

    def transactions(self) -> int:
        # Asked from another database, so that the question does not count itself.
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
        row = self._admin.execute(query, (self._name,)).fetchone()
        assert row is not None
        return int(row[0])

    def describe(self) -> str:
        values = [f"{name} {self._admin.execute(f'SHOW {name}').fetchone()[0]}" for name in DURABILITY]  # type: ignore[index]
        return f"PostgreSQL {self._admin.execute('SHOW server_version').fetchone()[0]}: {', '.join(values)}"  # type: ignore[index]

    def destroy(self) -> None:
        for connection in (self._connection, self._admin, self._store):
            if connection is not None:
                connection.close()
        self._server.destroy()
