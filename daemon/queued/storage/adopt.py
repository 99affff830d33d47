"""Enqueue in a transaction that belongs to somebody else: the application's own connection.

The statement is the one the store runs, so a job is stored in the same way whoever owns the connection. Nothing here commits
or rolls back what it did not begin. PostgreSQL wakes workers with the owner's commit; SQLite's workers notice the commit by
themselves, within their polling interval.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from queued.domain.batches import NewBatch
from queued.domain.errors import DatabaseError, DatabaseMisconfigured, DatabaseUnavailable, EnqueueError
from queued.domain.jobs import Arrival, NewJob, Stored
from queued.storage import jobs as jobs_table
from queued.storage.postgresql import NOTIFY, PostgresqlSession, driver, notification, translate
from queued.storage.session import Session
from queued.storage.sql import statements
from queued.storage.sqlite import SqliteSession

#: Transactions a second, of one process, that announce what they enqueue.
ANNOUNCEMENTS = 20
_announced: deque[float] = deque()

#: What is understood, for the sentence that refuses the rest.
KNOWN = (
    "a sqlite3 connection, a psycopg 3 Connection or AsyncConnection, a SQLAlchemy Connection, Session, AsyncConnection or "
    "AsyncSession on one of these drivers, or a Django connection on SQLite or psycopg 3"
)

#: sqlite3.LEGACY_TRANSACTION_CONTROL: `isolation_level` says whether the driver begins transactions.
LEGACY = -1


def enqueue(connection: Any, jobs: Sequence[NewJob], schema: str = "queued") -> list[int]:
    """Store jobs in the connection's open transaction; their ids, in order.

    A transaction begins where the driver would begin one for any other statement. In autocommit mode, with none open, the jobs are
    stored at once, all or none. Raises `EnqueueError` for a connection that is not understood, and `DatabaseError` with its
    kinds; on PostgreSQL the transaction is then as after any statement that failed.
    """
    return submit(connection, jobs, schema).ids


def submit(connection: Any, jobs: Sequence[NewJob], schema: str = "queued", batches: Sequence[NewBatch] = ()) -> Stored:
    """As `enqueue`, and tells which of the jobs a conflict has discarded; on PostgreSQL conflicts show after the commit.

    `batches` are opened for them.
    """
    if not jobs and not batches:
        return Stored([], [])
    with adopt(connection, schema) as session:
        if not isinstance(session, PostgresqlSession):
            return jobs_table.submit(session, jobs, batches)
        written = jobs_table.write(session, jobs, deferred=True, opened=batches)
        messages = _announcement(written.arrivals)
        if messages:
            session.notify(schema, messages)
        return Stored(written.ids, written.arrivals, written.notes, written.batches)


@contextmanager
def adopt(connection: Any, schema: str = "queued") -> Iterator[Session]:
    """A session inside the transaction of somebody else's connection."""
    raw = driver_connection(connection)
    if isinstance(raw, sqlite3.Connection):
        with _sqlite(raw) as session:
            yield session
        return
    psycopg = _psycopg_of(raw)
    if psycopg is None or not isinstance(raw, psycopg.Connection):
        raise _refusal(connection, raw)
    try:
        yield PostgresqlSession(_cursor(psycopg.Cursor, raw), statements("postgresql", schema))
    except psycopg.Error as error:
        translate(error, psycopg)


async def asubmit(
    connection: Any, jobs: Sequence[NewJob], schema: str = "queued", batches: Sequence[NewBatch] = ()
) -> Stored:
    """As `submit`, for psycopg's AsyncConnection and SQLAlchemy's AsyncConnection and AsyncSession."""
    if not jobs and not batches:
        return Stored([], [])
    raw = await _async_driver_connection(connection)
    psycopg = _psycopg_of(raw)
    if psycopg is None or not isinstance(raw, psycopg.AsyncConnection):
        raise _refusal(connection, raw)
    texts = statements("postgresql", schema)
    try:
        async with _cursor(psycopg.AsyncCursor, raw) as cursor:
            written = await _awrite(cursor, texts, jobs, batches)
            messages = _announcement(written.arrivals)
            if messages:
                await cursor.execute(NOTIFY, notification(schema, messages))
            return Stored(written.ids, written.arrivals, written.notes, written.batches)
    except psycopg.Error as error:
        translate(error, psycopg)


async def _awrite(
    cursor: Any, texts: Mapping[str, tuple[str, ...]], jobs: Sequence[NewJob], batches: Sequence[NewBatch]
) -> jobs_table.Written:
    steps = jobs_table.writing("postgresql", jobs, deferred=True, opened=batches)
    name, params = next(steps)
    while True:
        (text,) = texts[name]
        await cursor.execute(text, params, binary=True)
        try:
            name, params = steps.send(await cursor.fetchall() if cursor.description else [])
        except StopIteration as end:
            written: jobs_table.Written = end.value
            return written


def _announcement(arrivals: Sequence[Arrival]) -> list[tuple[str, str]]:
    """What to NOTIFY inside the owner's transaction; nothing when this process has announced much in the last second.

    A commit that notifies holds a lock of the whole server through its fsync: 77 % of the commits were lost to it at 64 clients.
    Under such load workers are awake and look by themselves.
    """
    now = time.monotonic()
    while _announced and now - _announced[0] > 1.0:
        _announced.popleft()
    if len(_announced) >= ANNOUNCEMENTS:
        return []
    _announced.append(now)
    return [("ready", a.encode()) if a.seq else ("scheduled", "") for a in arrivals]


def is_async(connection: Any) -> bool:
    """Whether `asubmit` is the one for this connection."""
    if any(
        kind.__name__ in {"AsyncConnection", "AsyncSession", "async_scoped_session"}
        for kind in type(connection).__mro__
    ):
        return True
    return hasattr(connection, "sync_session") or hasattr(connection, "sync_connection")


def driver_connection(connection: Any) -> Any:
    """The driver's own connection under a SQLAlchemy or Django one, its transaction begun as that library would."""
    if is_async(connection):
        raise EnqueueError("an async connection needs `await f.aenqueue(…, connection=…)`")
    if hasattr(connection, "ensure_connection") and hasattr(connection, "in_atomic_block"):  # Django
        connection.ensure_connection()
        return connection.connection
    if hasattr(connection, "get_bind") and callable(getattr(connection, "connection", None)):  # SQLAlchemy session
        connection = connection.connection()
    if hasattr(connection, "exec_driver_sql"):  # SQLAlchemy connection
        # Reaching for the driver's connection does not count as a statement, and commit() of a connection that saw none does
        # nothing: the job would be gone when it goes back to its pool.
        if not connection.in_transaction():
            connection.begin()
        return connection.connection.driver_connection
    return connection


async def _async_driver_connection(connection: Any) -> Any:
    if hasattr(connection, "sync_session"):
        connection = await connection.connection()
    if hasattr(connection, "get_raw_connection"):
        if not connection.in_transaction():
            await connection.begin()
        return (await connection.get_raw_connection()).driver_connection
    return connection


def _psycopg_of(raw: Any) -> Any:
    """psycopg, when the connection is one of its own; it is not imported for the sake of any other."""
    return driver() if any(kind.__module__.partition(".")[0] == "psycopg" for kind in type(raw).__mro__) else None


def _cursor(kind: Any, raw: Any) -> Any:
    """A plain cursor that gives dicts and sends every int as bigint, whatever cursors the owner has made the default."""
    from psycopg.rows import dict_row
    from psycopg.types.numeric import Int8BinaryDumper

    cursor = kind(raw, row_factory=dict_row)
    cursor.adapters.register_dumper(int, Int8BinaryDumper)
    return cursor


@contextmanager
def _sqlite(connection: sqlite3.Connection) -> Iterator[Session]:
    session = SqliteSession(connection, statements("sqlite"))
    # Explicit transactions, for an enqueue is several statements: a savepoint inside the owner's; one that stays open where the
    # driver would have begun it; one of our own in autocommit mode.
    mode = getattr(connection, "autocommit", LEGACY)  # the attribute came with Python 3.12
    autocommit = mode is True or (mode == LEGACY and connection.isolation_level is None)
    begun = not connection.in_transaction
    try:
        connection.execute("BEGIN IMMEDIATE" if begun else "SAVEPOINT queued_enqueue")
        try:
            yield session
            if begun and autocommit:
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK" if begun else "ROLLBACK TO queued_enqueue")
            raise
        finally:
            if not begun and connection.in_transaction:
                connection.execute("RELEASE queued_enqueue")
    except sqlite3.Error as error:
        text = str(error)
        if "no such table" in text:
            raise DatabaseMisconfigured(
                f"the database of this connection has no queued tables ({text}); "
                "it must be the one of `database:`, after `queued migrate`"
            ) from error
        if "locked" in text or "busy" in text:
            raise DatabaseUnavailable(
                f"SQLite: {text}; another process writes, or this transaction began as a reader"
            ) from error
        raise DatabaseError(f"SQLite: {text}") from error


def _refusal(connection: Any, raw: Any) -> EnqueueError:
    kind = f"{type(raw).__module__}.{type(raw).__qualname__}"
    return EnqueueError(f"connection={type(connection).__qualname__} ({kind}) is not understood; pass {KNOWN}")
