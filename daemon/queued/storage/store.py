"""Store: the one door to a database. One connection, for one thread; the operations on tables live in the modules beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from queued.domain.batches import NewBatch
from queued.domain.errors import DatabaseError, DatabaseMisconfigured
from queued.domain.jobs import Arrival, NewJob, Stored
from queued.domain.settings import DatabaseSettings
from queued.storage import jobs as jobs_table
from queued.storage import migrations
from queued.storage.session import FileState, Session
from queued.storage.sql import Dialect

if TYPE_CHECKING:
    from queued.storage.postgresql import Postgresql
    from queued.storage.sqlite import Sqlite

#: Seconds in which one wake-up of a lane is enough: workers look again 6 ms and 30 ms after a wake.
COALESCE = 0.005


class Bell:
    """What a listener waits on. `fileno()` may change after a reconnection and is None while nothing can be heard."""

    def __init__(self, backend: Postgresql | Sqlite) -> None:
        self._backend = backend

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when a message arrives."""
        return self._backend.wake_fileno()

    @property
    def rung(self) -> bool:
        """Whether messages came in with the answer to a statement: then the descriptor does not become readable for them."""
        return self._backend.rung

    def drain(self) -> list[tuple[str, str]]:
        """(channel, text) of every message that has arrived; does not wait. Raises DatabaseUnavailable."""
        return self._backend.messages()


class Store:
    """A database, reached when first used and again after it was lost.

    Every failure leaves as DatabaseUnavailable (try again), DatabaseMisconfigured or SchemaTooNew (a person must act), or
    DatabaseError. Not for two threads at once, and not across a fork: see `forget`.
    """

    def __init__(self, backend: Postgresql | Sqlite, settings: DatabaseSettings) -> None:
        self._backend = backend
        self.settings = settings
        self._rung: dict[tuple[str, int], float] = {}

    @property
    def dialect(self) -> Dialect:
        """`postgresql` or `sqlite`."""
        return self._backend.dialect

    @property
    def backend(self) -> Postgresql | Sqlite:
        """The connection's own class; for what only one database has."""
        return self._backend

    # transactions

    def transaction(self, durable: bool = True) -> AbstractContextManager[Session]:
        """One transaction: commits at the end of the block, rolls back on an exception.

        With durable=False a crash of the database server, or a power cut, may undo it after it has committed.
        """
        return self._backend.transaction(durable)

    def statement(
        self, durable: bool = True, meanwhile: Callable[[], None] | None = None
    ) -> AbstractContextManager[Session]:
        """For one statement: a transaction of its own, in one round trip where the database can. Should the block run more of them,
        each is a transaction on PostgreSQL, and all are one on SQLite.

        `durable` as for `transaction`; on PostgreSQL the statement itself decides. `meanwhile`, which must not touch this store, is
        called while the server is at the statement, which then is one of `tuples`; before it, where nothing can be done meanwhile.
        Not at all when the statement cannot be sent.
        """
        return self._backend.statement(durable, meanwhile)

    def reading(self) -> AbstractContextManager[Session]:
        """For a block that only reads: each statement sees its own snapshot, and no writer waits for it."""
        return self._backend.reading()

    # enqueueing and waking

    def enqueue(self, jobs: Sequence[NewJob]) -> list[int]:
        """Store jobs in a transaction of their own, then wake who may run them. The ids, in order.

        When it returns, the jobs are durable. Raises DatabaseError and its kinds; then none of them is stored, unless
        the connection was lost at the very commit: DatabaseUnavailable, and nobody knows.
        """
        return self.submit(jobs).ids

    def submit(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()) -> Stored:
        """As `enqueue`, and tells which of the jobs a conflict has discarded. `batches` are opened for them.

        Raises BatchFinished too.
        """
        if not jobs and not batches:
            return Stored([], [])
        if len(jobs) == 1 and not batches and (params := jobs_table.lone(jobs[0])) is not None:
            return self._submit_one(jobs[0], params)
        if not batches and jobs_table.plain(jobs):
            with self.statement() as session:
                stored = jobs_table.submit_plain(session, jobs)
        else:
            with self.transaction() as session:
                stored = jobs_table.submit(session, jobs, batches)
        self.ring(stored.arrivals)
        return stored

    def _submit_one(self, job: NewJob, params: Mapping[str, Any]) -> Stored:
        """What most calls do, by the shortest way that the backend has."""
        job_id, seq = self._backend.enqueue_one(params)
        arrival = Arrival(job.queue, job.priority, seq)
        self.ring((arrival,))
        return Stored([job_id], [arrival])

    def ring(self, arrivals: Iterable[Arrival]) -> None:
        """Wake workers and dispatchers for new work; at most once a lane in 5 ms. Never raises: polling is the fallback."""
        now = time.monotonic()
        messages = []
        for arrival in arrivals:
            lane = (arrival.queue, arrival.priority)
            if arrival.seq == 0:
                messages.append(("scheduled", ""))
            elif now - self._rung.get(lane, 0.0) >= COALESCE:
                self._rung[lane] = now
                messages.append(("ready", arrival.encode()))
        if len(self._rung) > 10_000:
            self._rung.clear()
        self._send(messages)

    def control(self, text: str) -> None:
        """Tell every actor: `pause NAME`, `resume NAME`, `cancel ID`. Never raises: actors look at the tables too."""
        self._send([("control", text)])

    def _send(self, messages: Sequence[tuple[str, str]]) -> None:
        if messages:
            try:
                self._backend.send(messages)
            except DatabaseError:
                pass  # what was to be told is stored; whoever polls finds it

    def listen(self, channels: Sequence[str]) -> Bell:
        """Listen on `ready`, `scheduled` or `control`, also after a reconnection."""
        self._backend.listen(channels)
        return Bell(self._backend)

    def moved(self) -> bool:
        """Whether another connection may have committed since the last call.

        Exact and nearly free on SQLite, where a commit that rings no bell (in an application's own transaction) must
        be noticed too; always True on PostgreSQL, which sends its NOTIFY with the commit.
        """
        return self._backend.moved()

    def file_state(self) -> FileState:
        """What has become of the SQLite file that this store has worked with; PostgreSQL's is its server's: `there`."""
        return self._backend.file_state()

    def free(self) -> int | None:
        """Bytes free on the disk of a SQLite file; None for PostgreSQL, whose server does not tell."""
        return self._backend.free()

    # schema

    def migrate(self) -> list[str]:
        """Create the schema or bring it up to date; the names of the migrations applied. Raises SchemaTooNew."""
        return migrations.migrate(self._backend, self.settings.schema)

    def check_schema(self) -> None:
        """Raise SchemaTooNew or DatabaseMisconfigured where the schema is not one to work with."""
        migrations.check(self._backend, self.settings.schema)

    # ending

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        self._backend.close()

    def forget(self) -> None:
        """In a forked child: let go of the parent's connection without speaking to the database."""
        self._backend.forget()


def sqlite_path(url: str) -> str:
    """The path of `sqlite:///relative` or `sqlite:////absolute`."""
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/") or len(parts.path) < 2:
        raise DatabaseMisconfigured(f"{url}: write sqlite:///relative/path or sqlite:////absolute/path")
    return os.path.abspath(unquote(parts.path[1:]))


def open_store(
    database: str | DatabaseSettings,
    settings: DatabaseSettings | None = None,
    *,
    label: str = "",
    create: bool = True,
    joins: bool = False,
    patience: float | None = None,
    holds: bool = False,
) -> Store:
    """A Store for a URL or settings; connects when first used.

    `label` shows in pg_stat_activity. With create=False a missing SQLite file is an error and is not made. `joins` lets
    PostgreSQL join by hashing: for lists that people read. A database that does not answer, or is locked, for `patience` seconds is
    unavailable. When the SQLite file was deleted or replaced, who `holds` claims or the like is refused; others go on with the
    file that is there.
    """
    if isinstance(database, DatabaseSettings):
        chosen = database
    else:
        chosen = replace(settings, url=database) if settings is not None else DatabaseSettings(url=database)
    scheme = chosen.url.partition(":")[0]
    # Each process has one kind, and need not load the other: 0.5 MiB for SQLite's.
    if scheme == "sqlite":
        from queued.storage.sqlite import Sqlite

        return Store(Sqlite(chosen, sqlite_path(chosen.url), create, patience, holds), chosen)
    if scheme in {"postgresql", "postgres"}:
        from queued.storage.postgresql import Postgresql

        return Store(Postgresql(chosen, label, joins, patience), chosen)
    raise DatabaseMisconfigured(f"a database URL begins with sqlite:// or postgresql://, not {scheme}://")
