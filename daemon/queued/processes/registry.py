"""The supervisor's dealings with the database: its own registration, and the jobs of processes that are gone.

Nothing here waits for a database that is away: what could not be done stays noted and is tried again at a later `tick`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queued.domain.errors import DatabaseError, DatabaseUnavailable
from queued.domain.insights import Backlog
from queued.domain.settings import Settings
from queued.processes import recovery, runtime
from queued.processes.heartbeat import Contact, Heartbeat
from queued.processes.identity import hostname, identity, is_gone
from queued.processes.outage import Outage
from queued.storage import insights, processes
from queued.storage.session import FileState, Row
from queued.storage.store import Store, open_store, sqlite_path
from queued.telemetry import emit

#: Seconds that a server may take to answer. While the supervisor waits for one it watches over nobody, and hears no signal.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of ours that has ended and may have left claims. Without `blame` we ended it on purpose."""

    name: str
    reason: str
    blame: bool


class Registry:
    """What one supervisor knows and does about registered processes."""

    def __init__(self, name: str, kind: str, settings: Settings) -> None:
        self.name = name
        self.kind = kind
        self.settings = settings
        self.store: Store = open_store(settings.database, label=name, patience=PATIENCE, holds=True)
        self.process_id = 0
        #: What `queuectl` tells of us; stored with the next beat, which comes at once when it changes.
        self._metadata: Mapping[str, Any] = self._own_metadata()
        self._told = True
        self._heartbeat = Heartbeat(settings.heartbeat_interval)
        self._contact = Contact()
        self._ticked_at = since_boot()
        self._outage = Outage(process=name)
        self._ended: list[Ended] = []
        self._settled_all = False
        self._not_before = 0.0
        #: What has become of the SQLite file; `replaced` is for good.
        self.file: FileState = "there"

    def enter(self) -> None:
        """Bring the schema up to date and register. Raises every DatabaseError: at boot the caller decides."""
        store = open_store(self.settings.database, label=self.name)
        try:
            migrations = store.migrate()  # may take its time, so not with our own store
        finally:
            store.close()
        if migrations:
            emit("migrated", process=self.name, migrations=migrations)
        self._register()
        emit("process_started", **self._facts())

    def describe(self, metadata: Mapping[str, Any]) -> None:
        """Facts for `processes.metadata`."""
        metadata = {**self._own_metadata(), **metadata}
        if metadata != self._metadata:
            self._metadata = metadata
            self._told = False

    def ended(self, name: str, reason: str, blame: bool) -> None:
        """A process that we started has ended; `tick` settles what it left."""
        self._ended.append(Ended(name, reason, blame))
        self._not_before = min(self._not_before, time.monotonic() + 0.1)

    def tick(self) -> None:
        """Do what is due: settle ended processes at once, beat and look for dead ones every interval."""
        now = time.monotonic()
        # Who was frozen, or slept with the host, finds the beats of all the others old too, and they had no chance to beat.
        last, self._ticked_at = self._ticked_at, since_boot()
        if self._ticked_at - last > self.settings.alive_threshold / 2:
            self._contact.lost()
        beat = self._heartbeat.due(now) or not self._told
        if now < self._not_before or not (beat or self._ended or not self._settled_all):
            return
        try:
            rows = self._beat(now) if beat or not self._settled_all else []
            settled = self._settle_ended()
            self._settle_dead([row for row in rows if row["name"] not in settled], now)
        except DatabaseError as error:
            # Also what trying again may not lift: whoever watches over the others must not be the first to go.
            self._contact.lost()
            self._not_before = now + self._outage.failed(error)
            self._look_at_file()
        else:
            self._contact.made(now)
            self._outage.succeeded()
            self.file = "there"

    def _look_at_file(self) -> None:
        before, self.file = self.file, self.store.file_state()
        if self.file != before and self.file != "there":
            emit(f"database_{self.file}", path=sqlite_path(self.settings.database.url), process=self.name)

    @property
    def outage(self) -> str | None:
        """Why the database cannot be reached; None when it answered last time."""
        return self._outage.error

    def backlog(self) -> Backlog | None:
        """What waits in the database; None when it does not say. Looks at a bounded number of rows."""
        try:
            with self.store.reading() as session:
                return insights.backlog(session)
        except DatabaseError as error:
            self._contact.lost()
            self._not_before = time.monotonic() + self._outage.failed(error)
            return None

    def rest(self) -> float:
        """Seconds until a tick has something to do."""
        now = time.monotonic()
        due = 0.0 if self._ended or not (self._settled_all and self._told) else self._heartbeat.rest(now)
        return max(due, self._not_before - now)

    def leave(self) -> bool:
        """Settle what is left and deregister; False, and said, when the database is away: a later supervisor does it then."""
        try:
            self._settle_ended()
            with self.store.transaction() as session:
                processes.deregister(session, self.process_id)
        except DatabaseError as error:
            emit("deregister_failed", error=str(error), **self._facts())
            return False
        finally:
            self.store.close()
        emit("process_stopped", **self._facts())
        return True

    def give_back(self, names: list[str]) -> None:
        """Release the jobs of these processes, which live on as threads of this one until it ends in a moment.

        Their runners are frozen before and killed after: frozen they cannot start or end a job, and the worker's
        thread cannot take their death for a crash.
        """
        rows = []
        with self.store.transaction() as session:
            for name in names:
                row = processes.find(session, name)
                rows += [] if row is None else [row]
        paths = [path for row in rows for path in recovery.slot_files(row)]
        recovery.freeze_runners(paths)
        try:
            for row in rows:
                recovery.give_back(self.store, row, "its process was stopped")
        finally:
            recovery.end_runners(paths)
        recovery.remove(paths)

    def before_fork(self) -> None:
        """Close the connection: SQLite forbids one across a fork, PostgreSQL would mix two processes' words."""
        self.store.close()

    def _register(self) -> None:
        with self.store.transaction() as session:
            self.process_id = processes.register(
                session,
                name=self.name,
                kind=self.kind,
                supervisor=None,
                pid=os.getpid(),
                hostname=hostname(),
                identity=identity(),
                metadata=self._metadata,
            )
        self._heartbeat.registered(time.monotonic())

    def _beat(self, now: float) -> list[Row]:
        """Beat; the others that are registered. One statement does both: it is what a supervisor asks at rest."""
        with self.store.statement(durable=False) as session:
            rows = processes.beat_and_look(session, self.process_id, self._metadata)
        self._told = True
        others = [row for row in rows if row["id"] != self.process_id]
        if len(others) < len(rows):
            self._heartbeat.beaten(now)
        else:
            # It has no jobs that could have been given away, and its actors need somebody who watches over them.
            self._register()
            emit("registered_again", process=self.name)
        return others

    def _settle_ended(self) -> set[str]:
        """Settle what the actors left that have ended; their names."""
        settled = set()
        while self._ended:
            ended = self._ended[0]
            with self.store.reading() as session:
                row = processes.find(session, ended.name)
            if row is not None:  # else it has deregistered itself, and everything of it is in order
                self._recover(row, ended.reason, ended.blame)
            settled.add(ended.name)
            del self._ended[0]
        return settled

    def _settle_dead(self, rows: Sequence[Row], now: float) -> None:
        # After an outage everybody looks dead: only after a whole threshold of unbroken contact do beats count.
        watched = self._contact.unbroken(now, self.settings.alive_threshold)
        for row in rows:
            if is_gone(row["pid"], row["identity"]):
                self._prune(row, f"{row['kind']} {row['name']} (pid {row['pid']}) is gone")
            elif watched and row["age"] > self.settings.alive_threshold:
                self._prune(row, f"{row['kind']} {row['name']} was not heard of for {row['age']:.0f} s")
        if not self._settled_all:
            self._settled_all = True
            runtime.sweep(self.settings.runtime_directory)

    def _prune(self, row: Row, reason: str) -> None:
        emit("process_pruned", pruned=row["name"], reason=reason, process=self.name)
        self._recover(row, reason, blame=True)

    def _recover(self, row: Row, reason: str, blame: bool) -> None:
        recovery.recover(self.store, row, reason, self.settings.crash_limit, blame=blame)

    def _own_metadata(self) -> dict[str, Any]:
        return {} if self.settings.role is None else {"role": self.settings.role}

    def _facts(self) -> dict[str, object]:
        return {
            "process": self.name,
            "kind": self.kind,
            "pid": os.getpid(),
            "hostname": hostname(),
            "process_id": self.process_id,
            "metadata": self._own_metadata(),
        }


def since_boot() -> float:
    """Seconds, those included in which the host was asleep; the monotonic clock leaves them out."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_for_database(
    enter: Callable[[], None], rest: Callable[[float], bool], patience: float, say_every: float = 5.0
) -> bool:
    """Call `enter` until it succeeds. False when `rest` says that it is not wanted any more.

    Raises DatabaseUnavailable after `patience` seconds; every other error at once, for trying again will not help.
    """
    started = said_at = time.monotonic()
    attempts = 0
    while True:
        try:
            enter()
            return True
        except DatabaseUnavailable as error:
            now = time.monotonic()
            if now - started >= patience:
                raise
            if attempts == 0 or now - said_at >= say_every:
                emit("database_waiting", error=str(error), seconds=now - started)
                said_at = now
        attempts += 1
        if not rest(min(1.0, 0.1 * 2.0 ** min(attempts - 1, 5))):
            return False
