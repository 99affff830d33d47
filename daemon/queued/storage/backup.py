"""Copies of a SQLite database: made while it is in use, and proved by restoring them.

A copy is a file and, beside it, what it held when it was made: rows by table. It is complete or not there: it gets its name last.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from queued.domain.errors import DatabaseError
from queued.storage.store import Store, sqlite_path

PREFIX, SUFFIX = "queued-", ".sqlite3"
#: Pages copied in one step; between steps writers have their turn, and a stop is heeded.
STEP = 1_000


class BackupError(DatabaseError):
    """A copy could not be made, or is not to be relied on."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: where, how large in bytes and rows, how old in seconds."""

    path: str
    size: int
    rows: int
    age: float = 0.0


def directory_of(store: Store, directory: str | None) -> Path:
    """Where the copies are: as told, relative to the database's directory, else beside the database."""
    database = Path(sqlite_path(store.settings.url))
    return database.parent / directory if directory else database.with_name(database.name + "-backups")


def make(store: Store, directory: str | None, keep: int, stopping: Callable[[], bool]) -> Copy:
    """Copy the database and keep the newest `keep` copies. Raises BackupError."""
    if keep < 1:
        raise BackupError(f"keep={keep} would keep no copy; write 1 or more")
    folder = directory_of(store, directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = folder / f"{PREFIX}{stamp}{SUFFIX}"
    part = path.with_name(path.name + ".part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        _copy(sqlite_path(store.settings.url), str(part), stopping)
        rows = _rows(str(part))
        _write(path.with_name(path.name + ".json"), json.dumps({"taken_at": stamp, "tables": rows}))
        _sync(part)
        part.replace(path)
        _sync(folder)
    except sqlite3.Error as error:
        raise BackupError(f"the copy {path} could not be made: {error}") from error
    finally:
        for left in (part, part.with_name(part.name + "-journal"), part.with_name(part.name + "-wal")):
            left.unlink(missing_ok=True)
    for old in copies(folder)[:-keep]:
        old.unlink(missing_ok=True)
        old.with_name(old.name + ".json").unlink(missing_ok=True)
    return Copy(str(path), path.stat().st_size, sum(rows.values()))


def copies(folder: Path) -> list[Path]:
    """The complete copies, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"))


def verify(store: Store, directory: str | None, max_age: float, stopping: Callable[[], bool]) -> Copy:
    """Restore the newest copy to a temporary file and check it. Raises BackupError with everything that is wrong.

    It must be younger than `max_age` seconds, pass SQLite's integrity check, have the schema that the database has, and hold
    as many rows in each table as when it was made.
    """
    folder = directory_of(store, directory)
    found = copies(folder)
    if not found:
        raise BackupError(f"there is no copy in {folder}; the task queued.backup_database makes them")
    newest = found[-1]
    age = time.time() - newest.stat().st_mtime
    problems = [] if age <= max_age else [f"it is {age / 3600:.1f} hours old, more than {max_age / 3600:g}"]
    try:
        with tempfile.TemporaryDirectory(prefix="queued-restore-", dir=folder) as scratch:
            restored = os.path.join(scratch, "restored.sqlite3")
            _copy(str(newest), restored, stopping)
            rows = _rows(restored)
            problems += _compare(store, restored, rows, newest)
    except sqlite3.Error as error:
        raise BackupError(f"{newest} cannot be restored: {error}") from error
    if problems:
        raise BackupError(f"{newest}: {'; '.join(problems)}")
    return Copy(str(newest), newest.stat().st_size, sum(rows.values()), age)


def _compare(store: Store, restored: str, rows: dict[str, int], copy: Path) -> list[str]:
    problems = []
    with closing(sqlite3.connect(restored)) as connection:
        checked = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    if checked != ["ok"]:
        problems.append(f"SQLite's integrity check says: {'; '.join(map(str, checked[:3]))}")
    if _schema(restored) != _schema(sqlite_path(store.settings.url)):
        problems.append(
            "its tables are not those of the database: the schema has changed since, or it is another's copy"
        )
    try:
        counted = json.loads(copy.with_name(copy.name + ".json").read_text())["tables"]
    except (OSError, ValueError, KeyError, TypeError):
        return [*problems, f"{copy.name}.json, which says what it holds, is missing or cannot be read"]
    differing = [table for table in sorted({*counted, *rows}) if counted.get(table) != rows.get(table)]
    return problems + [
        f"{table} has {rows.get(table)} rows, and had {counted.get(table)} when it was copied" for table in differing
    ]


def _copy(source: str, target: str, stopping: Callable[[], bool]) -> None:
    def step(status: int, remaining: int, total: int) -> None:
        if stopping():
            raise BackupError("broken off, because the daemon stops")

    address = f"{Path(source).as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)) as origin,
        closing(sqlite3.connect(target)) as copy,
    ):
        # One snapshot for all steps: without it each commit of another process would begin the copy anew, for ever when busy.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
        origin.backup(copy, pages=STEP, progress=step, sleep=0.01)
        # A copy is one file: without this it would want a write-ahead log beside it, as its original has.
        copy.execute("PRAGMA journal_mode = DELETE")


def _rows(path: str) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in sorted(tables)}


def _schema(path: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        wanted = "SELECT type, name, sql FROM sqlite_master WHERE name LIKE 'queued%' ORDER BY name"
        return [tuple(map(str, row)) for row in connection.execute(wanted)]


def _write(path: Path, text: str) -> None:
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
