"""Chores: recurring tasks that the daemon does itself, one after the other, in a thread of their scheduler.

A thread of its own with a connection of its own, because copying a large database takes longer than a scheduler may be silent.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from queued.domain.errors import DatabaseError, QueuedError
from queued.domain.settings import Settings
from queued.processes.identity import hostname
from queued.storage import heartbeats, recurring, retention
from queued.storage.store import Store, open_store
from queued.telemetry import emit


@dataclass(frozen=True, slots=True)
class Chore:
    """One run of a task, claimed in the database and not done yet."""

    key: str
    run_at: datetime
    class_name: str
    arguments: str


class NotHere(QueuedError):
    """A chore has nothing to do with this database."""


class Chores:
    """Does what it is given. The thread is started with the first chore."""

    def __init__(self, process: str, settings: Settings) -> None:
        self._process = process
        self._settings = settings
        self._waiting: queue.Queue[Chore] = queue.Queue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a chore is being done."""
        return self._thread is not None and self._thread.is_alive()

    def take(self, chores: Iterable[Chore]) -> None:
        """Do these too, in order."""
        for chore in chores:
            self._waiting.put(chore)
        if not self._waiting.empty() and not self.busy and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._work, name="queued-chores", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Begin no other chore, and break off the one that is being done where it can be."""
        self._stopping.set()

    def _work(self) -> None:
        store = open_store(self._settings.database, label=f"{self._process} chores", create=False)
        try:
            while not self._stopping.is_set():
                try:
                    chore = self._waiting.get(timeout=1.0)
                except queue.Empty:
                    continue
                self._do(store, chore)
        finally:
            store.close()

    def _do(self, store: Store, chore: Chore) -> None:
        try:
            call = json.loads(chore.arguments)
            message, outcome = _DOERS[chore.class_name](self, store, *call["args"], **call["kwargs"]), "finished"
        except NotHere as error:
            message, outcome = str(error), "skipped"
        except TypeError as error:
            message, outcome = f"its arguments do not fit: {error}", "failed"
        except (QueuedError, OSError) as error:
            message, outcome = str(error), "failed"
        emit(
            "chore_failed" if outcome == "failed" else "chore_done",
            process=self._process,
            key=chore.key,
            message=message,
        )
        try:
            with store.transaction() as session:
                recurring.end(session, chore.key, chore.run_at, outcome, message)
        except DatabaseError as error:
            emit("chore_failed", process=self._process, key=chore.key, message=f"its end could not be noted: {error}")

    # the chores

    def clear_finished_jobs(self, store: Store) -> str:
        """Delete jobs whose time is over, by `retention`."""
        deleted: Counter[str] = Counter()
        place, more = retention.Place(), True
        while more and not self._stopping.is_set():
            found = retention.prune(store, self._settings.retention, place)
            more = found.more
            deleted.update(found.deleted)
        return "deleted " + (", ".join(f"{count} {state}" for state, count in deleted.items()) or "nothing")

    def heartbeat(self, store: Store, message: str = "alive") -> str:
        """Leave a sign of life in the database and in the log."""
        with store.transaction() as session:
            beaten_at = heartbeats.beat(session, self._settings.environment, hostname(), message)
            heartbeats.prune(session)
        told: Mapping[str, Any] = {
            "timestamp": beaten_at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z"),
            "environment": self._settings.environment,
            "hostname": hostname(),
            "message": message,
        }
        emit("heartbeat", process=self._process, heartbeat=told)
        return message

    def backup_database(self, store: Store, directory: str | None = None, keep: int = 7) -> str:
        """Copy the SQLite database while it is in use, and keep the newest copies."""
        self._only_sqlite(store, "back it up with pg_dump or the server's own means")
        from queued.storage import backup

        made = backup.make(store, directory, keep, self._stopping.is_set)
        return f"copied to {made.path} ({made.size} bytes, {made.rows} rows)"

    def verify_backup(self, store: Store, directory: str | None = None, max_age: float = 26 * 3600.0) -> str:
        """Restore the newest copy and check it."""
        self._only_sqlite(store, "verify its backups where they are made")
        from queued.storage import backup

        found = backup.verify(store, directory, max_age, self._stopping.is_set)
        return f"{found.path} is whole ({found.size} bytes, {found.rows} rows, {found.age / 3600:.1f} hours old)"

    @staticmethod
    def _only_sqlite(store: Store, remedy: str) -> None:
        if store.dialect != "sqlite":
            raise NotHere(f"the database is PostgreSQL; {remedy}")


_DOERS: Mapping[str, Callable[..., str]] = {
    "queued.clear_finished_jobs": Chores.clear_finished_jobs,
    "queued.heartbeat": Chores.heartbeat,
    "queued.backup_database": Chores.backup_database,
    "queued.verify_backup": Chores.verify_backup,
}
