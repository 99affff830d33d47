"""PostgreSQL through psycopg 3: one connection, autocommit, statements prepared after their fifth use."""

from __future__ import annotations

import inspect
import os
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from queued.domain.errors import (
    DatabaseError,
    DatabaseFull,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    LockNotAvailable,
)
from queued.domain.settings import DatabaseSettings
from queued.storage.direct import Direct
from queued.storage.session import Composition, FileState, Row, Session
from queued.storage.sql import Dialect, filled, statements

if TYPE_CHECKING:
    import psycopg
    from psycopg.adapt import AdaptersMap

R = TypeVar("R")

#: PostgreSQL's own words for a refusal that trying again will not lift.
REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "permission denied",
    "invalid connection option",
    "authentication failed",
)
#: For a connection that died without a word: noticed within about 25 s, also while waiting for an answer.
KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
#: A plan made from the statistics of an empty table ran the claim 150 times slower; with these the indexes are always used.
#: Only those who read lists (queuectl) may join by hashing. An actor must hear of a hung server before it is taken for hung
#: itself, so its statements end after 20 s.
SESSION_SETTINGS = """
SELECT set_config('TimeZone', 'UTC', false), set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),
       set_config('enable_mergejoin', %s, false), set_config('enable_hashjoin', %s, false),
       set_config('lock_timeout', '10s', false), set_config('statement_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', '60s', false), set_config('application_name', %s, false)
"""


#: Until the transaction ends, or the savepoint is rolled back.
LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
#: Seconds between two attempts to open the connection that listens again.
LISTEN_EVERY = 30.0
#: Tells listeners; delivered with the commit of the transaction that it is part of.
NOTIFY = "SELECT count(pg_notify(c, p)) FROM unnest(%b::text[], %b::text[]) AS m(c, p)"
#: The same as a transaction of its own that waits for no disk.
TELL = """
SELECT set_config('synchronous_commit', 'off', true), count(pg_notify(c, p))
FROM unnest(%(channels)b::text[], %(texts)b::text[]) AS m(c, p)
"""


def notification(schema: str, messages: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The parameters of NOTIFY. A payload holds 8000 bytes; a longer one is cut, which costs the hint and not the wake."""
    texts = [text.encode()[:7900].decode("utf-8", "ignore") for _, text in messages]
    return [f"{schema}_{channel}" for channel, _ in messages], texts


def driver() -> Any:
    """psycopg, or one sentence that says how to get it."""
    try:
        import psycopg
    except ImportError as error:
        raise DatabaseMisconfigured(
            f"PostgreSQL needs the package psycopg, which this Python does not have ({error}); "
            "install it with `pip install 'queued-jobs[postgresql]'`"
        ) from error
    return psycopg


@cache
def connections(impatient: bool) -> type[psycopg.Connection[Any]]:
    """A kind of connection that takes in what `Direct` has not waited for before anything else is done with it.

    An impatient one gives up on a server which does not answer a statement for `patience` seconds. Neither the server's own limits
    nor keepalives help where the host answers for a server that stands still. psycopg 3.1 cannot be told to give up (its
    `timeout` is what later ones call `interval`); with it such a wait goes on.

    One class for all patiences: the supervisor makes it before it forks, and each actor that made its own had 0.4 MiB more.
    """
    pg = driver()

    class Settling(pg.Connection):  # type: ignore[misc, name-defined]
        direct: Direct | None = None
        patience: float | None = None

        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
            if self.direct is not None:
                self.direct.settle()
            return super().wait(gen, *args, **kwargs)

    if not impatient or not {"interval", "timeout"} <= set(inspect.signature(pg.Connection.wait).parameters):
        return Settling

    class Impatient(Settling):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            seconds = self.patience
            if seconds is None:
                return super().wait(gen, interval, timeout)
            deadline = time.monotonic() + seconds
            try:
                return super().wait(gen, interval, seconds if timeout is None else timeout)
            except pg.OperationalError:
                if self.pgconn.transaction_status == pg.pq.TransactionStatus.ACTIVE and time.monotonic() >= deadline:
                    # Whatever follows on this connection would wait as well: the end of the transaction, to begin with.
                    self.pgconn.finish()
                    raise pg.OperationalError(f"the server has not answered for {seconds:g} s") from None
                raise

    return Impatient


@cache
def adapters() -> AdaptersMap:
    """psycopg's own, but every int is sent as bigint: a statement is prepared once and not by size.

    Made once, and by the supervisor before it forks: a cursor with dumpers of its own copies hundreds of types, 0.5 MiB an actor.
    """
    from psycopg.types.numeric import Int8BinaryDumper

    adapters: AdaptersMap = driver().adapt.AdaptersMap(driver().adapters)
    adapters.register_dumper(int, Int8BinaryDumper)
    # The first empty list has psycopg compile an expression: 0.4 MiB, if each actor did so for itself.
    driver().sql.quote([])
    return adapters


def parts_of(url: str) -> dict[str, Any]:
    """The parameters of an address, as libpq reads them; raises DatabaseMisconfigured, without a part that may be secret."""
    pg = driver()
    try:
        given: dict[str, Any] = dict(pg.conninfo.conninfo_to_dict(url))
    except pg.ProgrammingError as error:
        # Most of libpq's sentences repeat a part of the address. This one repeats what stands behind the ?, and only if an @
        # comes later may that be the middle of a password.
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        if unknown and "@" not in url.partition("?")[2]:
            why = f"its parameter {unknown[1]} is unknown to libpq; correct or remove it"
        else:
            why = "libpq cannot read it; write %xx for special characters of the password, and check the rest"
        raise DatabaseMisconfigured(f"the database URL is not one that PostgreSQL understands: {why}") from None
    ports = [port for port in str(given.get("port") or "").split(",") if port]
    if not all(port.isascii() and port.isdigit() and 0 < int(port) < 65536 for port in ports):
        raise DatabaseMisconfigured(
            "the port in the database URL is not a number from 1 to 65535; write HOST:5432, or leave the port out"
        )
    return given


def connect_timeout(given: Mapping[str, Any], configured: float, patience: float | None) -> Any:
    """Seconds to connect to one host: as the URL says, else as configured. The hosts together have `patience` seconds."""
    chosen = given.get("connect_timeout", max(1, round(configured)))
    if patience is None:
        return chosen
    most = max(1, int(patience / len(str(given.get("host") or "").split(","))))
    try:
        # To libpq 0 and less mean for ever.
        return min(int(chosen), most) if int(chosen) > 0 else most
    except ValueError:
        return chosen  # the driver says what is wrong with it


class PostgresqlSession:
    """Runs named statements on a cursor of a psycopg connection."""

    dialect: Dialect = "postgresql"

    def __init__(self, cursor: psycopg.Cursor[Row], texts: Mapping[str, tuple[str, ...]]) -> None:
        self._cursor = cursor
        self._of_tuples: psycopg.Cursor[tuple[Any, ...]] | None = None
        self._texts = texts

    def _execute(self, name: str, params: Mapping[str, Any], text: str | None = None) -> psycopg.Cursor[Row]:
        return self._on(self._cursor, name, self._texts[name][0] if text is None else text, params)

    def _on(self, cursor: psycopg.Cursor[R], name: str, text: str, params: Mapping[str, Any]) -> psycopg.Cursor[R]:
        try:
            return cursor.execute(text, params, binary=True)
        except (UnicodeError, OverflowError, struct.error) as error:
            raise DatabaseError(f"PostgreSQL cannot hold a value of {name}: {error}") from error

    def all(self, name: str, /, **params: Any) -> list[Row]:
        return self._execute(name, params).fetchall()

    def tuples(self, name: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._tuples(name, params).fetchall()

    def _tuples(self, name: str, params: Mapping[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
        if self._of_tuples is None:
            self._of_tuples = prepare_cursor(self._cursor.connection, driver().rows.tuple_row)
        return self._on(self._of_tuples, name, self._texts[name][0], params)

    def composed(self, statement: Composition, /, **params: Any) -> list[Row]:
        conditions = [(condition.alternatives, condition.negated) for condition in statement.conditions]
        text, more = filled(self._texts, statement.name, statement.parts, conditions)
        return self._execute(statement.name, {**params, **more}, text).fetchall()

    def one(self, name: str, /, **params: Any) -> Row | None:
        return self._execute(name, params).fetchone()

    def run(self, name: str, /, **params: Any) -> int:
        return self._execute(name, params).rowcount

    @contextmanager
    def waiting_at_most(self, seconds: float) -> Iterator[None]:
        pg = driver()
        try:
            with self._cursor.connection.transaction():
                (before,) = self._cursor.execute("SHOW lock_timeout").fetchall()
                self._cursor.execute(LOCK_TIMEOUT, (f"{seconds * 1000:.0f}ms",))
                yield
                self._cursor.execute(LOCK_TIMEOUT, (before["lock_timeout"],))
        except pg.Error as error:
            translate(error, pg)

    def notify(self, schema: str, messages: Sequence[tuple[str, str]]) -> None:
        """Tell listeners with the commit of this transaction."""
        self._cursor.execute(NOTIFY, notification(schema, messages))


class OverlappingSession(PostgresqlSession):
    """A session for one statement, of `tuples`: something else is done while the server is at it."""

    def __init__(
        self, cursor: psycopg.Cursor[Row], texts: Mapping[str, tuple[str, ...]], meanwhile: Callable[[], None]
    ) -> None:
        super().__init__(cursor, texts)
        self._meanwhile = meanwhile

    def tuples(self, name: str, /, **params: Any) -> list[tuple[Any, ...]]:
        # What is sent is executed as it arrives; the end of the block commits, waits for the disk, and takes in the answer.
        connection = self._cursor.connection
        try:
            with connection.pipeline():
                cursor = self._tuples(name, params)
                self._meanwhile()
        except BaseException:
            # psycopg 3.3 cannot leave a pipeline whose commit failed, and whatever follows would find it there.
            if connection.pgconn.pipeline_status != driver().pq.PipelineStatus.OFF:
                connection.close()
            raise
        return cursor.fetchall()


def prepare_cursor(connection: Any, rows: Any = None) -> psycopg.Cursor[Any]:
    """A cursor that gives dicts, or other `rows`."""
    from psycopg.rows import dict_row

    cursor: psycopg.Cursor[Any] = connection.cursor(row_factory=rows or dict_row)
    return cursor


class Postgresql:
    """One connection to PostgreSQL, opened when first used and again after it was lost."""

    dialect: Dialect = "postgresql"

    def __init__(self, settings: DatabaseSettings, label: str, joins: bool, patience: float | None) -> None:
        self._settings = settings
        self._patience = patience
        self._label = label
        self._joins = "on" if joins else "off"
        self._texts = statements("postgresql", settings.schema)
        self._connection: psycopg.Connection[Any] | None = None
        self._listener: psycopg.Connection[Any] | None = None
        self._session: PostgresqlSession | None = None
        self._direct: Direct | None = None
        self._channels: tuple[str, ...] = ()
        self._heard: list[tuple[str, str]] = []
        self._used = 0.0
        self._dying = False
        self._listen_at = 0.0

    # connecting

    def connection(self) -> psycopg.Connection[Any]:
        """The open connection; raises DatabaseUnavailable or DatabaseMisconfigured.

        One that lay idle is looked at first: a server that restarted meanwhile costs a reconnection and not an error.
        """
        if self._direct is not None:
            self._direct.settle()
        now = time.monotonic()
        if self._connection is not None and now - self._used > 0.5 and not self._connection.closed:
            # The server's last words may come a moment before the end of the stream: either ends the connection.
            try:
                self._read(self._connection)
            except driver().Error:
                self._dying = True
            if self._dying:
                self._connection.close()
        self._used = now
        if self._connection is None or self._connection.closed:
            self.close()
            self._connection = self._open(self._settings.url)
            if not self._pooled:
                self._direct = self._connection.direct = Direct(self._connection)  # type: ignore[attr-defined]
            self._session = PostgresqlSession(prepare_cursor(self._connection), self._texts)
            if self._channels:
                self._subscribe()
        elif self._channels and self._settings.listen_url and now >= self._listen_at:
            if self._listener is None or self._listener.closed:
                self._listen_again(now)
        return self._connection

    def _listen_again(self, now: float) -> None:
        """The connection that listens was lost, and the other was not. Without it everything works, only later."""
        self._listen_at = now + LISTEN_EVERY
        try:
            self._subscribe()
        except (driver().Error, DatabaseError):
            pass

    def _open(self, url: str) -> psycopg.Connection[Any]:
        pg = driver()
        try:
            given = parts_of(url)
            options: dict[str, Any] = {k: v for k, v in KEEPALIVES.items() if k not in given}
            options["connect_timeout"] = connect_timeout(given, self._settings.connect_timeout, self._patience)
            if "," in str(given.get("host", "")):
                options.setdefault("target_session_attrs", given.get("target_session_attrs", "read-write"))
            options["prepare_threshold"] = None if self._pooled else 5
            kind = connections(self._patience is not None)
            connection: psycopg.Connection[Any] = kind.connect(url, autocommit=True, context=adapters(), **options)
            connection.patience = self._patience  # type: ignore[attr-defined]
            limit = "60s" if self._joins == "on" else "20s"
            connection.execute(SESSION_SETTINGS, (self._joins, self._joins, limit, f"queued {self._label}".strip()))
        except pg.ProgrammingError as error:
            raise DatabaseMisconfigured(
                f"the database URL is not one that PostgreSQL understands: {one_line(error)}"
            ) from error
        except pg.Error as error:
            self._refuse(error)
        self._dying = False
        connection.add_notify_handler(self._hear)
        connection.add_notice_handler(self._mind)
        return connection

    @property
    def _pooled(self) -> bool:
        """Whether a pooler may give each transaction another connection: a statement prepared on one is unknown on the next."""
        return not self._settings.listen or self._settings.listen_url is not None

    def _refuse(self, error: Exception) -> NoReturn:
        text = one_line(error)
        if any(refusal in text for refusal in REFUSALS) and "the database system is" not in text:
            raise DatabaseMisconfigured(f"PostgreSQL refused the connection: {text}") from error
        raise DatabaseUnavailable(f"PostgreSQL cannot be reached: {text}") from error

    def close(self) -> None:
        """Close what is open. Safe to call twice."""
        for connection in (self._connection, self._listener):
            if connection is not None:
                connection.close()
        self._connection = self._listener = self._session = self._direct = None

    def forget(self) -> None:
        """After a fork: let go of the parent's connection without a word to the server.

        psycopg itself sends the closing message only from the process that opened the connection; the socket's
        descriptor is the child's own copy, and closing it does not close the parent's.
        """
        for connection in (self._connection, self._listener):
            if connection is not None and not connection.closed:
                os.close(connection.fileno())
                _forgotten.append(connection)
        self._connection = self._listener = self._session = self._direct = None

    # transactions

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Session]:
        """One transaction. With durable=False a crash of the server may undo it; it never tears it."""
        with self._guard():
            connection = self.connection()
            assert self._session is not None
            with connection.transaction():
                if not durable:
                    connection.execute("SET LOCAL synchronous_commit = off")
                yield self._session

    @contextmanager
    def statement(self, durable: bool = True, meanwhile: Callable[[], None] | None = None) -> Iterator[Session]:
        """For one statement that is a transaction of its own: one round trip. Whether it waits for the disk it says itself."""
        with self._guard():
            connection = self.connection()
            assert self._session is not None
            if meanwhile is None:
                yield self._session
            elif driver().Pipeline.is_supported():
                yield OverlappingSession(prepare_cursor(connection), self._texts, meanwhile)
            else:
                meanwhile()
                yield self._session

    def enqueue_one(self, params: Mapping[str, Any]) -> tuple[int, int]:
        """Run `jobs.enqueue_one` as a transaction, durably; the id and the seq."""
        name = "jobs.enqueue_one"
        try:
            self.connection()
            if self._direct is None or not self._direct.alone:
                assert self._session is not None
                (row,) = self._session.all(name, **params)
                return row["id"], row["seq"]
            job_id, seq = self._direct.row(name, self._texts[name][0], params)
            return job_id, seq
        except driver().Error as error:
            self._raise(error)

    def reading(self) -> AbstractContextManager[Session]:
        """Reads, each its own snapshot."""
        return self.statement()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except driver().Error as error:
            self._raise(error)

    def _raise(self, error: Any) -> NoReturn:
        if self._connection is not None and self._connection.closed and not error.sqlstate:
            # In a pipeline psycopg 3.1 has another class for it.
            raise DatabaseUnavailable(f"the connection to PostgreSQL was lost: {one_line(error)}") from error
        translate(error, driver())

    def script(self, text: str) -> None:
        """Run several statements without parameters inside the open transaction: migrations."""
        self.connection().execute(text)

    # waking

    def listen(self, channels: Sequence[str]) -> None:
        """Be told of NOTIFY on these channels from now on, also after a reconnection."""
        if self._settings.wake and self._settings.listen:
            self._channels = tuple(channels)
            if self._connection is not None and not self._connection.closed:
                try:
                    self._subscribe()
                except (driver().Error, DatabaseError):
                    self.close()  # the next use opens a connection that listens

    def _subscribe(self) -> None:
        target = self._connection
        if self._settings.listen_url:
            target = self._listener = self._open(self._settings.listen_url)
        assert target is not None
        for channel in self._channels:
            target.execute(f'LISTEN "{self._settings.schema}_{channel}"')

    def _hear(self, notify: psycopg.Notify) -> None:
        prefix = f"{self._settings.schema}_"
        self._heard.append((notify.channel.removeprefix(prefix), notify.payload))

    def _mind(self, notice: psycopg.errors.Diagnostic) -> None:
        # What the server says to an idle connection before it closes it arrives as a notice.
        self._dying = self._dying or notice.severity_nonlocalized in {"FATAL", "PANIC"}

    def wake_fileno(self) -> int | None:
        """The descriptor that becomes readable when a message arrives; None while there is no connection."""
        source = self._listener if self._settings.listen_url else self._connection
        return source.fileno() if self._channels and source is not None and not source.closed else None

    @property
    def rung(self) -> bool:
        """Whether messages have been taken in that nobody has asked for yet."""
        return bool(self._heard)

    def messages(self) -> list[tuple[str, str]]:
        """The messages that have arrived, without waiting."""
        source = self._listener if self._settings.listen_url else self._connection
        if self._channels and source is not None and not source.closed:
            with self._guard():
                self._read(source)
        heard, self._heard = self._heard, []
        return heard

    def _read(self, source: psycopg.Connection[Any]) -> None:
        """Take in what has arrived while nobody asked for anything."""
        source.pgconn.consume_input()
        while notify := source.pgconn.notifies():
            channel, text = (part.decode(source.info.encoding) for part in (notify.relname, notify.extra))
            self._heard.append((channel.removeprefix(f"{self._settings.schema}_"), text))

    def send(self, messages: Sequence[tuple[str, str]]) -> None:
        """NOTIFY in a transaction of its own that waits for no disk: losing one costs a poll, not a job.

        Where it can, it does not wait for the server either; whoever needs the connection next does.
        """
        if not self._settings.wake:
            return
        with self._guard():
            connection = self.connection()
            channels, texts = notification(self._settings.schema, messages)
            # Not on a connection that listens: libpq shows no message behind an answer that has not been taken in.
            if self._direct is not None and self._direct.alone and not self._channels:
                self._direct.tell(TELL, {"channels": channels, "texts": texts})
            else:
                connection.execute(TELL, {"channels": channels, "texts": texts})

    def moved(self) -> bool:
        """Whether anybody may have committed since the last call: no way to know but to look."""
        return True

    def file_state(self) -> FileState:
        """The files are the server's."""
        return "there"

    def free(self) -> int | None:
        """So is the disk."""
        return None

    def exists(self) -> bool:
        """Whether the schema's migration table is there."""
        with self._guard():
            row = (
                self.connection()
                .execute("SELECT to_regclass(%s) IS NOT NULL", (f'"{self._settings.schema}".migrations',))
                .fetchone()
            )
            return bool(row and row[0])


#: Connections forgotten after a fork are kept from the garbage collector, whose finaliser would close descriptors by number.
_forgotten: list[Any] = []


def one_line(error: BaseException) -> str:
    """An error's text on one line; a mark stands where a line ended without one."""
    text = ""
    for line in (" ".join(line.split()) for line in str(error).splitlines()):
        mark = "" if not text or not line else " " if text.endswith((".", ",", ":", ";", "?")) else "; "
        text += mark + line
    return text or type(error).__name__


def translate(error: Any, psycopg: Any) -> NoReturn:
    """Raise the error of ours that says what a caller can do about the driver's."""
    state = error.sqlstate or ""
    text = one_line(error)
    if state == "42P01" or state == "3F000":
        raise DatabaseMisconfigured(f"the database has no queued tables ({text}); run `queued migrate`") from error
    if state in {"42501", "28000", "28P01", "3D000"}:
        raise DatabaseMisconfigured(f"PostgreSQL refused: {text}") from error
    if state in {"40P01", "55P03"}:
        raise LockNotAvailable(f"PostgreSQL: {text}") from error
    if state == "53100":
        raise DatabaseFull(f"PostgreSQL: {text}; make room on the disk of its server") from error
    # Lost or refused connections, a restart, a failover to a standby, want of disk or memory.
    if state[:2] in {"08", "57", "53", "58"} or state in {"25006", "40001", "55006"}:
        raise DatabaseUnavailable(f"PostgreSQL: {text}") from error
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not state:
        raise DatabaseUnavailable(f"the connection to PostgreSQL was lost: {text}") from error
    raise DatabaseError(f"PostgreSQL: {text}") from error
