"""The facts that `queuectl doctor` judges, as far as the database knows them. `queued.domain.checks` judges."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import datetime

from queued.domain.checks.database import TableRows, Transaction
from queued.domain.checks.recurring import TaskFacts
from queued.domain.errors import DatabaseUnavailable
from queued.domain.insights import COUNT_CAP, Count
from queued.domain.settings import DatabaseSettings
from queued.storage import recurring
from queued.storage.session import Row, Session
from queued.storage.store import open_store

#: Keys of limits that are named.
FEW = 20
#: Milliseconds in which SQLite's writer must be let in.
WRITER_TIMEOUT = 2_000
#: The byte of SQLite's shared memory that the writer locks in the write-ahead log, and those that readers lock.
WRITE_LOCK, READ_LOCKS = range(120, 121), range(123, 128)
#: Seconds between two looks at who reads: who is there in both has been at it for longer than a question takes.
READING = 0.25


def server(session: Session) -> tuple[Row, float]:
    """What the database says of itself, and how many seconds an answer takes, the best of three."""
    row = session.one("doctor.server")
    assert row is not None
    waits = []
    for _ in range(3):
        began = time.perf_counter()
        session.one("insights.now")
        waits.append(time.perf_counter() - began)
    return row, min(waits)


def transactions(session: Session, age: float) -> list[Transaction]:
    """Transactions that have been open for more than `age` seconds; none on SQLite, which does not tell."""
    return [Transaction(**row) for row in session.all("doctor.transactions", age=age)]


def tables(session: Session, schema: str) -> list[TableRows]:
    """The tables of `queued` with their living and dead rows, as the server counts them."""
    rows = session.all("doctor.tables", schema=schema)
    return [TableRows(row["name"], row["living"], row["dead"], bool(row["autovacuum"])) for row in rows]


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table, how many rows it holds, and how many bytes it takes with its indexes; None where nobody can tell."""

    name: str
    rows: Count
    size: int | None


def sizes(session: Session, schema: str) -> list[TableSize]:
    """Every table of `queued`. PostgreSQL's rows are its own estimate; SQLite's are counted as far as to the cap."""
    rows = session.all("doctor.tables", schema=schema)
    if session.dialect == "postgresql":
        return [TableSize(row["name"], Count(row["living"]), row["bytes"]) for row in rows]
    counted = {row["name"]: row["n"] for row in session.all("doctor.rows", cap=COUNT_CAP + 1)}
    return [TableSize(row["name"], Count.of(counted.get(row["name"], 0)), row["bytes"]) for row in rows]


def orphans(session: Session) -> tuple[Count, int]:
    """Running jobs whose process nobody knows, and how many such processes there are."""
    row = session.one("doctor.orphans", cap=COUNT_CAP + 1)
    assert row is not None
    return Count.of(row["n"]), int(row["processes"])


def free_lines(session: Session) -> list[str]:
    """Keys of limits that jobs wait for though a slot is free."""
    return [row["key"] for row in session.all("limits.waited_for", batch_size=FEW)]


def tasks(session: Session) -> tuple[list[TaskFacts], datetime | None]:
    """Every recurring task, and when one that leaves heartbeats has run last; None where none has."""
    listed = recurring.listed(session)
    ran = [
        one.task.last_run_at
        for one in listed
        if one.task.settings.class_name == "queued.heartbeat" and one.task.last_run_at is not None
    ]
    facts = [
        TaskFacts(
            key=one.task.key,
            due_at=one.task.due_at,
            stopped=one.task.paused_at is not None or not one.task.settings.enabled,
            problem=one.task.problem,
            attended=one.task.source != "file" or bool(one.attending),
        )
        for one in listed
    ]
    return facts, max(ran, default=None)


def wait_for_writer(settings: DatabaseSettings) -> float | None:
    """How many seconds a write transaction waits for its turn on SQLite; None if that is too long."""
    store = open_store(replace(settings, busy_timeout=WRITER_TIMEOUT), create=False)
    began = time.monotonic()
    try:
        with store.transaction(durable=False):
            return time.monotonic() - began
    except DatabaseUnavailable:
        return None
    finally:
        store.close()


def lock_holders(path: str) -> list[str]:
    """The processes of this host that hold SQLite's write lock, as /proc/locks tells it."""
    return [f"pid {pid}{_name(pid)}" for pid in _holders(path, "WRITE", WRITE_LOCK)]


def log_readers(path: str) -> list[str]:
    """The processes of this host that hold a read transaction of SQLite's open and do not let go of it."""
    first = _holders(path, "READ", READ_LOCKS)
    time.sleep(READING if first else 0.0)
    later = _holders(path, "READ", READ_LOCKS)
    return [f"pid {pid}{_name(pid)}" for pid in first if pid in later]


def _holders(path: str, mode: str, lock: range) -> list[str]:
    """The ids of the processes that hold a lock of this mode on one of these bytes of the shared memory."""
    try:
        index = os.stat(f"{path}-shm")
        with open("/proc/locks", encoding="ascii") as locks:
            lines = [line.split() for line in locks]
    except OSError:
        return []
    file = f"{os.major(index.st_dev):02x}:{os.minor(index.st_dev):02x}:{index.st_ino}"
    found: dict[str, None] = {}
    for fields in lines:
        if len(fields) < 8 or fields[3] != mode or fields[5] != file:
            continue
        last = lock.stop - 1 if fields[7] == "EOF" else int(fields[7])
        if int(fields[6]) < lock.stop and last >= lock.start:
            found[fields[4]] = None
    return list(found)


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            told = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return f" ({told[:60]})" if told else ""
