"""SQLite: one connection in WAL mode, every write transaction begun IMMEDIATE, writers let in one by one and fairly.

A deferred transaction that turns into a writer fails at once with "database is locked", whatever the busy time-out (874 670 times
in five seconds with eight writers); an immediate one waits.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

from queued.domain.errors import DatabaseError, DatabaseFull, DatabaseMisconfigured, DatabaseUnavailable
from queued.domain.settings import DatabaseSettings
from queued.storage.doorbell import Doorbell
from queued.storage.session import Composition, FileState, Row, Session
from queued.storage.sql import Dialect, filled, statements
from queued.storage.turnstile import Turnstile

#: Types of parameters that SQLite stores as they are.
STORED = frozenset({str, int, float, bool, type(None)})
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
#: Kinds of file system on which SQLite's locks or shared memory do not work between hosts.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs"}
)
#: Holds the jobs of one claim between its statements; it lives in memory, for this connection only.
SCRATCH = """
CREATE TEMP TABLE IF NOT EXISTS picked (
  seq INTEGER PRIMARY KEY, job_id INTEGER, queue TEXT, priority INTEGER, attempt INTEGER, ties INTEGER,
  ready_at INTEGER
);
CREATE TEMP TABLE IF NOT EXISTS ended (job_id INTEGER PRIMARY KEY, lease INTEGER, state TEXT, duration REAL, ended_ago REAL)
"""
#: Bytes: with less than that free an I/O error is for want of room.
WANT = 65536
#: How a statement ends that is run once for each of `rows`, which gives the values in order.
BY_ROW = "?)"


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970; the moment must be aware."""
    return (moment - EPOCH) // MICROSECOND


def adapt(value: Any) -> Any:
    """A parameter as SQLite stores it."""
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, list | tuple):
        return json.dumps(value, default=to_microseconds)
    return value


def rows_of(cursor: sqlite3.Cursor) -> list[Row]:
    """The rows as dicts, moments as datetimes. Looking at each column once, and not in each row, halves the price of a row."""
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    for name in names:
        if name.endswith("_at"):
            for row in rows:
                if row[name] is not None:
                    row[name] = EPOCH + timedelta(microseconds=row[name])
    return rows


class SqliteSession:
    """Runs named statements on a sqlite3 connection."""

    dialect: Dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, texts: Mapping[str, tuple[str, ...]]) -> None:
        self._connection = connection
        self._texts = texts

    def _execute(
        self,
        name: str,
        params: Mapping[str, Any],
        texts: tuple[str, ...] | None = None,
        fetch: Callable[[sqlite3.Cursor], list[Any]] = rows_of,
    ) -> tuple[list[Any], int]:
        texts = texts or self._texts[name]
        by_row = any(text.endswith(BY_ROW) for text in texts)
        values = {
            key: value if type(value) in STORED else adapt(value)
            for key, value in params.items()
            if not (by_row and key == "rows")
        }
        rows: list[Any] = []
        touched = 0
        for text in texts:
            cursor = self._connection.cursor()
            try:
                if by_row and text.endswith(BY_ROW):
                    cursor.executemany(text, params["rows"])
                    continue
                cursor.execute(text, values)
            except (UnicodeError, OverflowError) as error:
                raise DatabaseError(f"SQLite cannot hold a value of {name}: {error}") from error
            if cursor.description is not None:
                rows = fetch(cursor)
            touched = cursor.rowcount if cursor.rowcount >= 0 else len(rows)
        return rows, touched

    def all(self, name: str, /, **params: Any) -> list[Row]:
        return self._execute(name, params)[0]

    def tuples(self, name: str, /, **params: Any) -> list[tuple[Any, ...]]:
        return self._execute(name, params, fetch=sqlite3.Cursor.fetchall)[0]

    def composed(self, statement: Composition, /, **params: Any) -> list[Row]:
        conditions = [(condition.alternatives, condition.negated) for condition in statement.conditions]
        text, more = filled(self._texts, statement.name, statement.parts, conditions)
        return self._execute(statement.name, {**params, **more}, (text,))[0]

    def one(self, name: str, /, **params: Any) -> Row | None:
        rows = self._execute(name, params)[0]
        return rows[0] if rows else None

    def run(self, name: str, /, **params: Any) -> int:
        return self._execute(name, params)[1]

    def waiting_at_most(self, seconds: float) -> AbstractContextManager[None]:
        return nullcontext()  # the transaction is the only writer


class Sqlite:
    """One connection to a SQLite file, opened when first used."""

    dialect: Dialect = "sqlite"

    def __init__(
        self, settings: DatabaseSettings, path: str, create: bool, patience: float | None = None, holds: bool = False
    ) -> None:
        self._settings = settings
        self._path = path
        self._create = create
        self._holds = holds
        #: Device and inode of the file that is open, or was before the connection was closed.
        self._file: tuple[int, int] | None = None
        self._texts = statements("sqlite")
        self._connection: sqlite3.Connection | None = None
        self._session: SqliteSession | None = None
        # A writer waits twice at most: in the turnstile, and then for SQLite's own lock.
        wait = settings.busy_timeout / 1000
        self._wait = wait if patience is None else min(wait, patience / 2)
        self._turnstile = Turnstile(path, self._wait)
        self._bell = Doorbell(path + "-bell")
        self._durable = True
        self._version: int | None = None

    # connecting

    def connection(self) -> sqlite3.Connection:
        """The open connection; raises DatabaseMisconfigured when the path cannot be used."""
        if self._connection is None:
            self._check_file()
            self._check_path()
            try:
                self._connection = self._open()
            except sqlite3.Error as error:
                self._translate(error)
            self._session = SqliteSession(self._connection, self._texts)
        return self._connection

    def file_state(self) -> FileState:
        """Whether the file that was opened is still the one at its path: one `stat`, 1 µs."""
        if self._file is None:
            return "there"
        found = self._at_path()
        if found is None:
            return "deleted"
        return "there" if found == self._file else "replaced"

    def free(self) -> int | None:
        """Bytes that are free on the file's disk for users other than root; None where that cannot be told."""
        try:
            found = os.statvfs(os.path.dirname(self._path) or ".")
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    def _check_file(self) -> None:
        """What is written to a file that was deleted or replaced nobody will ever read.

        Who holds nothing of it goes on with the file that is there now. Raises DatabaseMisconfigured for the others.
        """
        state = self.file_state()
        if state == "there":
            return
        if not self._holds:
            self.close()
            self._file = None
        elif state == "deleted":
            raise DatabaseMisconfigured(
                f"{self._path} was deleted while it was in use; no job is started and no end stored until it is put back "
                "(a restart makes a new, empty database)"
            )
        else:
            raise DatabaseMisconfigured(f"{self._path} was replaced by another file while it was in use")

    def _check_path(self) -> None:
        directory = os.path.dirname(self._path) or "."
        try:
            os.stat(self._path)
        except PermissionError:
            raise DatabaseMisconfigured(
                f"{self._path} may not be looked at by user {os.geteuid()}: a directory on the way to it is closed to this user; "
                "be a user who may, or change its owner or its mode"
            ) from None
        except OSError:
            pass  # what is missing is said below
        if os.path.isdir(self._path):
            raise DatabaseMisconfigured(
                f"{self._path} is a directory; name a file, as in sqlite:///{self._path}/queue.sqlite3"
            )
        if not os.path.isdir(directory):
            raise DatabaseMisconfigured(
                f"the directory {directory} of the database does not exist; make it, or name another path"
            )
        if not os.path.exists(self._path) and not self._create:
            raise DatabaseMisconfigured(
                f"there is no database at {self._path}; `queued start` or `queued migrate` makes it"
            )
        # SQLite needs to write beside the file too: the write-ahead log and its index.
        for path, what in ((directory, "directory"), (self._path, "file")):
            if os.path.exists(path) and not os.access(path, os.W_OK):
                raise DatabaseMisconfigured(
                    f"the {what} {path} is not writable for user {os.geteuid()}; change its owner or its mode"
                )
        kind = file_system(directory)
        if kind in NETWORK_FILE_SYSTEMS:
            raise DatabaseMisconfigured(
                f"{self._path} lies on a network file system ({kind}), where SQLite loses data; "
                "use a local disk, or PostgreSQL for several hosts"
            )

    def _open(self) -> sqlite3.Connection:
        creates = self._create and self._file is None
        if creates:
            self._make_file()
        connection = sqlite3.connect(
            f"{Path(self._path).as_uri()}?mode={'rwc' if creates else 'rw'}",
            uri=True,
            timeout=self._wait,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        settings = self._settings
        connection.execute(f"PRAGMA busy_timeout = {round(self._wait * 1000)}")
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            # The switch takes an exclusive lock and does not wait for it, so it goes through the turnstile as a write does.
            self._turnstile.enter()
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            finally:
                self._turnstile.leave()
            if mode != "wal":
                raise DatabaseMisconfigured(
                    f"{self._path} cannot use SQLite's write-ahead log (its file system gives {mode})"
                )
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
        connection.execute(f"PRAGMA mmap_size = {int(settings.mmap_size)}")
        connection.execute(f"PRAGMA cache_size = {int(settings.cache_size)}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.executescript(SCRATCH)
        self._durable = True
        self._file = self._file or self._at_path()
        return connection

    def _at_path(self) -> tuple[int, int] | None:
        """Device and inode of the file that has our path; None where that cannot be told."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _make_file(self) -> None:
        """SQLite itself gives a new file to its owner alone to write; whom else it is for, the umask says.

        Made without being opened: a descriptor of this file that is closed takes away the locks of every connection in the process.
        """
        try:
            os.mknod(self._path, 0o666 | stat.S_IFREG)
        except OSError:
            pass  # it is there, or SQLite says why it cannot be

    def close(self) -> None:
        """Close what is open. Safe to call twice."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._session = None
        self._turnstile.close()
        self._bell.close()

    def forget(self) -> None:
        """After a fork: SQLite forbids a connection across a fork, even to close it, so the child's copy is put aside."""
        if self._connection is not None:
            _forgotten.append(self._connection)
        self._connection = self._session = None
        self._turnstile.close()
        self._bell.forget()

    # transactions

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Session]:
        """One write transaction. With durable=False a power cut may undo it; it never tears it."""
        self._check_file()
        connection = self.connection()
        assert self._session is not None
        self._turnstile.enter()
        try:
            self._sync(connection, durable)
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                self._translate(error)
            try:
                yield self._session
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, sqlite3.Error):
                    self._translate(error)
                raise
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back(connection)
                self._translate(error)
        finally:
            self._turnstile.leave()

    def statement(
        self, durable: bool = True, meanwhile: Callable[[], None] | None = None
    ) -> AbstractContextManager[Session]:
        """A transaction: SQLite has nothing shorter that would wait its turn."""
        if meanwhile is not None:
            meanwhile()
        return self.transaction(durable)

    def enqueue_one(self, params: Mapping[str, Any]) -> tuple[int, int]:
        """Run `jobs.enqueue_one` as a transaction, durably; the id and the seq.

        What `transaction` does, without blocks and rows: they took 30 of 260 µs.
        """
        self._check_file()
        connection = self._connection or self.connection()
        self._turnstile.enter()
        try:
            self._sync(connection, True)
            job, ready, _ = self._texts["jobs.enqueue_one"]
            execute = connection.execute
            try:
                execute("BEGIN IMMEDIATE")
                job_id = execute(job, params).lastrowid
                execute(ready, params)
                execute("COMMIT")
            except BaseException as error:
                self._roll_back(connection)
                if isinstance(error, sqlite3.Error):
                    self._translate(error)
                if isinstance(error, UnicodeError | OverflowError):
                    raise DatabaseError(f"SQLite cannot hold a value of jobs.enqueue_one: {error}") from error
                raise
            assert job_id is not None
            return job_id, 1
        finally:
            self._turnstile.leave()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Reads, each its own snapshot; takes no lock that a writer would wait for."""
        self.connection()
        assert self._session is not None
        try:
            yield self._session
        except sqlite3.Error as error:
            self._translate(error)

    def _sync(self, connection: sqlite3.Connection, durable: bool) -> None:
        # In WAL mode NORMAL leaves the fsync out; the next FULL commit syncs the log with all that came before it.
        if durable != self._durable and self._settings.synchronous.lower() in {"full", "extra"}:
            connection.execute(f"PRAGMA synchronous = {self._settings.synchronous if durable else 'NORMAL'}")
            self._durable = durable

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()  # the connection is beyond use; the next call opens another

    def _translate(self, error: sqlite3.Error) -> NoReturn:
        text = str(error)
        if "no such table" in text:
            raise DatabaseMisconfigured(f"{self._path} has no queued tables ({text}); run `queued migrate`") from error
        if "locked" in text or "busy" in text:
            raise DatabaseUnavailable(
                f"{self._path}: another process has held the database for more than {round(self._wait * 1000)} ms (busy_timeout)"
            ) from error
        if "readonly" in text or "unable to open" in text or "not a database" in text:
            raise DatabaseMisconfigured(
                f"{self._path} cannot be used: {text}; is it a SQLite file that this user may write?"
            ) from error
        if "malformed" in text:
            raise DatabaseMisconfigured(f"{self._path} is damaged ({text}); put a backup in its place") from error
        if "disk" in text or "full" in text:
            # Where the log's index cannot grow SQLite speaks of an I/O error.
            free = self.free()
            if "full" in text or (free is not None and free < WANT):
                raise DatabaseFull(f"{self._path}: no room is left to write ({text}); make room on its disk") from error
            raise DatabaseUnavailable(f"{self._path}: {text}; see the kernel's log") from error
        raise DatabaseError(f"{self._path}: {text}") from error

    def script(self, text: str) -> None:
        """Run several statements without parameters inside the open transaction: migrations."""
        connection = self.connection()
        statement = ""
        for line in text.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                connection.execute(statement)
                statement = ""

    # waking

    def listen(self, channels: Sequence[str]) -> None:
        """Be told of messages on these channels from now on."""
        if self._settings.wake:
            self._bell.listen(channels)

    def wake_fileno(self) -> int | None:
        """The descriptor that becomes readable when a message arrives; None where nothing listens."""
        return self._bell.fileno()

    @property
    def rung(self) -> bool:
        """Never: a message stays in its socket until it is asked for."""
        return False

    def messages(self) -> list[tuple[str, str]]:
        """The messages that have arrived, without waiting."""
        return self._bell.messages()

    def send(self, messages: Sequence[tuple[str, str]]) -> None:
        """Ring every listener."""
        if self._settings.wake:
            self._bell.ring(messages)

    def moved(self) -> bool:
        """Whether another connection has committed since the last call. 3 µs, and reads no table."""
        try:
            version = self.connection().execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            self._translate(error)
        moved: bool = version != self._version
        self._version = version
        return moved

    def exists(self) -> bool:
        """Whether the migration table is there."""
        try:
            found = self.connection().execute("SELECT 1 FROM sqlite_master WHERE name = 'queued_migrations'").fetchone()
        except sqlite3.Error as error:
            self._translate(error)
        return found is not None


#: Connections of the parent, kept from the garbage collector: closing one in a child would spoil the parent's locks.
_forgotten: list[sqlite3.Connection] = []


def file_system(directory: str) -> str:
    """The kind of file system a directory lies on, as /proc/self/mounts tells it; '' when it does not."""
    path = os.path.realpath(directory)
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split(" ")
                point = fields[1].encode("latin-1", "replace").decode("unicode_escape", "replace")
                inside = point == "/" or path == point or path.startswith(point + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, fields[2]
    except (OSError, IndexError):
        return ""
    return kind
