"""Role: the loop that every actor shares. What carries it, a process or a thread, it does not know.

    register ──► ready() ──► poll(), wait(), poll(), … ──► drain() ──► deregister ──► close()

A role ends when its `Wakeup` says so, with an exception when it lost its registration, and never for a database that is
away: it backs off and goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from queued.domain.errors import DatabaseError, DatabaseUnavailable
from queued.domain.settings import Settings
from queued.processes.heartbeat import Heartbeat, RegistrationLost
from queued.processes.identity import hostname, identity
from queued.processes.outage import AWAY, Outage
from queued.processes.wakeup import Wakeup
from queued.storage import claimed, processes
from queued.storage.store import Store, open_store
from queued.telemetry import emit, wanted

#: The longest a role rests in one go, in seconds: so often it shows that it lives, and looks whether its parent does.
PULSE = 1.0
#: Seconds that a server may take to answer. Its own limit for a statement is 20; after 30 of silence the supervisor kills.
PATIENCE = 22.0


def new_name(kind: str) -> str:
    """A name no other process has: `worker-` and 12 hex digits."""
    return f"{kind.lower()}-{os.urandom(6).hex()}"


class Liveness:
    """The write end of an actor's pipe to its supervisor: `R` once it is registered, `.` while its own loop turns."""

    def __init__(self, descriptor: int, parent: int | None = None) -> None:
        self.descriptor = descriptor
        self._parent = parent
        self._next = 0.0

    def registered(self) -> None:
        """The actor is in the database."""
        self._write(b"R")

    def moved(self, now: float) -> bool:
        """The loop has turned; written at most once a second, and then True."""
        if now < self._next:
            return False
        self._next = now + PULSE
        self._write(b".")
        return True

    @property
    def orphaned(self) -> bool:
        """Whether the supervisor that started this process has died. A thread's supervisor cannot die alone."""
        return self._parent is not None and os.getppid() != self._parent

    def _write(self, text: bytes) -> None:
        try:
            os.write(self.descriptor, text)
        except OSError:
            pass  # full: it was heard of enough; broken: `orphaned` tells


class Role:
    """An actor. Subclasses say `kind`, `metadata` and `poll`, and as much of the rest as they need.

    Everything that must not be shared with a parent (the store, sockets, threads) is made in `run` or later.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, settings: Settings, supervisor: str | None = None) -> None:
        self.name = name
        self.settings = settings
        self.supervisor = supervisor
        self.process_id = 0
        self.store: Store
        self.wakeup: Wakeup
        self.outage = Outage(process=name)
        self.heartbeat = Heartbeat(settings.heartbeat_interval)

    # What a subclass says

    def metadata(self) -> Mapping[str, Any]:
        """Facts for `processes.metadata` and the line of the log that says the actor has started."""
        return {}

    def gauges(self) -> Mapping[str, Any]:
        """What it is busy with at this moment, for those who measure."""
        return {}

    def ready(self) -> None:
        """Called once, after the registration and before the first poll."""

    def poll(self) -> float:
        """Do one turn; the seconds until the next. May raise DatabaseUnavailable: the next turn comes after a while.

        Says `self.outage.succeeded()` when the database has answered.
        """
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        """Rest; True when something happened that asks for a poll before its time."""
        return bool(self.wakeup.wait(seconds))

    def drain(self) -> None:
        """Finish what is in hand, after a graceful stop was asked for. Not called when the stop is immediate."""

    def abandon(self) -> None:
        """Drop what is in hand, after an immediate stop was asked for: give it back, if that can be done at once."""

    def disowned(self) -> None:
        """Our registration is gone and our jobs were given away: say what of our work does not count. Must not raise."""

    def close(self) -> None:
        """Let go of processes and sockets. Always called, last; must not need the database."""

    # The loop

    def run(self, wakeup: Wakeup, liveness: Liveness) -> None:
        """Live: from the registration until asked to stop. Raises RegistrationLost when others have given our jobs away."""
        self.wakeup = wakeup
        self.liveness = liveness
        self.store = open_store(self.settings.database, label=self.name, create=False, patience=PATIENCE, holds=True)
        try:
            self._register()
            self._loop()
            if self.process_id:
                self._leave()
        except RegistrationLost:
            self.disowned()
            self.close()
            self._settle_after_loss()
            raise
        finally:
            self.close()
            self.store.close()

    def tend(self) -> None:
        """Show that the loop turns, notice a dead parent, beat when due. For loops inside `drain` too."""
        now = time.monotonic()
        if self.liveness.moved(now) and wanted("turned"):
            emit("turned", process=self.name, gauges=self.gauges())
        if self.liveness.orphaned and not self.wakeup.stopping:
            emit("orphaned", process=self.name)
            self.wakeup.stop()
        if self.heartbeat.due(now):
            self._beat(now)
            # It may have waited as long as a statement may, and what comes next may again.
            self.liveness.moved(time.monotonic())

    def _register(self) -> None:
        while not self.wakeup.stopping:
            self.liveness.moved(time.monotonic())
            if self.liveness.orphaned:
                return
            try:
                with self.store.transaction() as session:
                    self.process_id = processes.register(
                        session,
                        name=self.name,
                        kind=self.kind,
                        supervisor=self.supervisor,
                        pid=os.getpid(),
                        hostname=hostname(),
                        identity=identity(),
                        metadata=dict(self.metadata()),
                    )
            except DatabaseUnavailable as error:
                self.wakeup.wait(self.outage.failed(error))
                continue
            self.outage.succeeded()
            self.heartbeat.registered(time.monotonic())
            self.ready()
            self.liveness.registered()
            emit("process_started", **self._facts())
            return

    def _loop(self) -> None:
        due = time.monotonic()
        while not self.wakeup.stopping:
            self.tend()
            now = time.monotonic()
            if now >= due:
                due = now + self._turn()
            if self.wait(min(PULSE, self.heartbeat.rest(now), max(0.0, due - now))):
                # While the database is away a wake must not become a busy loop of failing polls.
                due = min(due, time.monotonic() + (0.1 if self.outage.going_on else 0.0))

    def _turn(self) -> float:
        try:
            return self.poll()
        except AWAY as error:
            return self.outage.failed(error)

    def _beat(self, now: float) -> None:
        try:
            with self.store.statement(durable=False) as session:
                touched = processes.beat(session, self.process_id)
        except AWAY as error:
            self.outage.failed(error)
            self.heartbeat.missed(now)
            return
        self.outage.succeeded()
        if not touched:
            emit("registration_lost", **self._facts())
            raise RegistrationLost(
                f"{self.name} was declared dead and its jobs were given away: it could not beat for too long"
            )
        self.heartbeat.beaten(now)

    def _leave(self) -> None:
        if self.wakeup.immediate:
            self.abandon()
        else:
            self.drain()
        try:
            self._settle("its process stopped")
        except AWAY as error:
            # The row, and what is still claimed, is what the supervisor or the next one on this host settles.
            emit("deregister_failed", error=str(error), **self._facts())
            return
        emit("process_stopped", **self._facts())

    def _settle_after_loss(self) -> None:
        """Between being declared dead and noticing it we may have claimed more; with our row gone nobody else would look."""
        try:
            self._settle("its process had been declared dead")
        except DatabaseError as error:
            emit("deregister_failed", error=str(error), **self._facts())

    def _settle(self, why: str) -> None:
        """Give back what is still claimed and delete our row, in one transaction. Nothing of ours runs any more."""
        with self.store.transaction() as session:
            recovered = claimed.recover(
                session, self.process_id, {}, why, self.settings.crash_limit, hostname(), self.name
            )
        self.store.ring(recovered.arrivals)
        if recovered.released:
            emit("jobs_released", ids=recovered.released, why=why, process=self.name)

    def _facts(self) -> dict[str, Any]:
        return {
            "process": self.name,
            "kind": self.kind,
            "pid": os.getpid(),
            "hostname": hostname(),
            "process_id": self.process_id,
            "metadata": dict(self.metadata()),
        }
