"""Supervisor: feeds what happens to `domain.supervision`, and carries out what that decides.

One loop, no threads of its own: take signals, hear the actors, reap them, tell the time, obey; then rest until something
happens. Exit statuses: 0 everybody stopped by themselves; 1 some had to be killed; 69 no database within `BOOT_PATIENCE`
of the start, or its SQLite file was replaced; 70 an actor hung in a mode where it cannot be killed; 78 a person must correct
something.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from queued.domain import supervision
from queued.domain.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    SchemaTooNew,
)
from queued.domain.insights import Backlog
from queued.domain.service import Outlook
from queued.domain.settings import Settings
from queued.domain.supervision import (
    Abandon,
    Effect,
    Event,
    Exited,
    Finish,
    Heard,
    Kill,
    Loaded,
    Place,
    Registered,
    ReloadAsked,
    Say,
    Start,
    Stop,
    StopAsked,
    Switch,
    Tick,
)
from queued.metrics.counting import Counting
from queued.processes.applications import Application
from queued.processes.crew import Berth, Make, check_plan, limits_of, make_role, plan_of
from queued.processes.declared import declare
from queued.processes.exporter import whoami
from queued.processes.hosts import Host
from queued.processes.hosts.fork import ForkHost
from queued.processes.hosts.thread import ThreadHost
from queued.processes.identity import hostname
from queued.processes.notify import Notifier
from queued.processes.registry import Registry, wait_for_database
from queued.processes.role import Role, new_name
from queued.processes.runtime import Runtime
from queued.processes.signals import STOP, SUPERVISOR, Signals
from queued.processes.slots import count_running
from queued.processes.wakeup import Wakeup
from queued.telemetry import emit

#: Seconds that a start waits for a database that is away, before it leaves the waiting to whoever started it.
BOOT_PATIENCE = 30.0

#: Whole seconds to give jobs back in, when the process is to end because threads of it hang.
ABANDON_PATIENCE = 10

#: Seconds between two looks at what runs and what waits, for the status line that a service manager shows.
LOOK_EVERY = 5.0

#: Seconds within which the same signal twice is one request: `timeout` and others signal the process and then its whole group.
ONE_REQUEST = 0.2

UNAVAILABLE, CONFIGURATION = 69, 78


@dataclass(slots=True)
class Carried:
    """An actor that a host carries, and the read end of its pipe; None after its end of file."""

    key: str
    role: Role
    pipe: int | None


class Supervisor:
    """Runs one configuration until it is told to stop.

    `reload` loads the configuration again, for HUP; without it HUP loads the application again and keeps the rest.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Settings] | None = None,
        make: Make = make_role,
        boot_patience: float = BOOT_PATIENCE,
    ) -> None:
        self.settings = settings
        self.name = new_name("supervisor")
        self._reload = reload
        self._make = make
        self._boot_patience = boot_patience
        #: The settings of each generation that may still start an actor.
        self._generations = {1: settings}
        self._wakeup = Wakeup()
        self._signals = Signals(self._wakeup)
        self._registry = Registry(self.name, f"Supervisor({settings.mode})", settings)
        self._host: Host = ForkHost(self._leave_behind) if settings.mode == "fork" else ThreadHost(self._wakeup.wake)
        self._carried: dict[str, Carried] = {}
        self._applications: dict[str, Application] = {}
        self._starts_of_application = 0
        self._runtime: Runtime
        self._counting: Counting | None = None
        self._events: deque[Event] = deque()
        self._start_told = False
        self._notifier = Notifier()
        self._reloads = 0
        #: Why the last reload did nothing; the service manager shows it until the next.
        self._refused: str | None = None
        self._running: int | None = None
        self._backlog: Backlog | None = None
        self._look_at = 0.0
        self._status: int | None = None
        self._stop_signal, self._stop_asked_at = 0, float("-inf")
        self._state = supervision.initial(
            plan_of(settings), threads=settings.mode == "async", limits=limits_of(settings)
        )

    def run(self) -> int:
        """Boot, supervise, stop; the exit status. What went wrong has been told as an event by then."""
        self._signals.install(SUPERVISOR)
        try:
            check_plan(self.settings)
            self._runtime = Runtime.make(self.settings.runtime_directory, self.name)
            try:
                self._count(self.settings)
                return self._supervise()
            finally:
                if self._counting is not None:
                    self._counting.end()
                self._runtime.remove()
        except (ConfigurationError, DatabaseMisconfigured, SchemaTooNew) as error:
            emit("refused", error=str(error))
            return CONFIGURATION
        except DatabaseUnavailable as error:
            emit("refused", error=f"no database for {self._boot_patience:g} s: {error}")
            return UNAVAILABLE
        finally:
            self._signals.restore()
            self._wakeup.close()

    def _supervise(self) -> int:
        if not wait_for_database(self._enter, self._rest_at_boot, self._boot_patience):
            return supervision.GRACEFUL
        while self._status is None:
            self._turn()
            if self._status is None:
                self._wakeup.wait(self._seconds_to_rest(), self._descriptors())
        self._registry.leave()
        emit("stopped", process=self.name, status=self._status)
        return self._status

    def _count(self, settings: Settings) -> None:
        """Count events from now on, here and in every actor that is started, where a configuration has somebody to tell of them."""
        if self._counting is None and settings.metrics.wanted:
            self._counting = Counting(str(self._runtime.directory), whoami, settings.metrics.label_limit)
            self._counting.begin()

    def _enter(self) -> None:
        try:
            self._registry.enter()
        except DatabaseUnavailable as error:
            self._tell(outage=str(error))
            raise

    def _rest_at_boot(self, seconds: float) -> bool:
        self._wakeup.wait(seconds)
        return not any(number in (*STOP, signal.SIGQUIT) for number in self._signals.take())

    # One turn

    def _turn(self) -> None:
        for number in self._signals.take():
            self._signalled(number)
        self._hear_actors()
        self._hear_applications()
        self._reap()
        self._feed(Tick())
        self._runtime.turned()
        emit("turned", process=self.name)
        self._registry.describe(self._metadata())
        self._registry.tick()
        if self._registry.file == "replaced" and self._state.stage == "running":
            self._feed(StopAsked(immediate=True))
        self._tell(outage=self._registry.outage)

    def _metadata(self) -> dict[str, Any]:
        """The application's state, for those who look from outside."""
        application = self._state.actors.get(supervision.application_key(self._state.generation))
        if application is None:
            return {}
        error = application.reason if application.state in {"BACKOFF", "FATAL"} else None
        return {"application": {"state": application.state, "error": error}}

    def _tell(self, outage: str | None) -> None:
        """Tell the service manager what is new."""
        now = time.monotonic()
        if not self._notifier.enabled:
            return
        if now >= self._look_at and outage is None and self._state.ticked_at is not None:
            self._look_at = now + LOOK_EVERY
            self._running = count_running(self._runtime.directory)
            # A stop must not wait for an answer that nobody needs.
            self._backlog = self._registry.backlog() if self._state.stage == "running" else None
        outlook = Outlook(
            state=self._state,
            role=self.settings.role,
            running=self._running,
            backlog=self._backlog if outage is None else None,
            outage=outage,
            reloads=self._reloads,
            refused=self._refused,
        )
        self._notifier.tell(outlook, now)

    def _signalled(self, number: int) -> None:
        if number in STOP or number == signal.SIGQUIT:
            if self._state.stage == "running" and self._start_told:
                self._hook("stop", **self._own_facts())
            self._feed(StopAsked(immediate=number == signal.SIGQUIT))
        elif number == signal.SIGHUP:
            self._reload_asked()

    def _hear_actors(self) -> None:
        for carried in list(self._carried.values()):
            if carried.pipe is None:
                continue
            try:
                said = os.read(carried.pipe, 65536)
            except BlockingIOError:
                continue
            if not said:
                os.close(carried.pipe)
                carried.pipe = None
                continue
            self._feed(Heard(carried.key))
            if b"R" in said:
                self._feed(Registered(carried.key))
                self._actor_hook(carried, "start")

    def _hear_applications(self) -> None:
        for key, application in list(self._applications.items()):
            application.turn()
            if application.just_loaded:
                self._feed(Loaded(key))
                self._start_hooks(application)
            if application.exit_reason is not None:
                del self._applications[key]
                application.close()
                self._feed(Exited(key, application.exit_reason))

    def _reap(self) -> None:
        for ended in self._host.exits():
            carried = self._carried.pop(ended.name)
            if carried.pipe is not None:
                os.close(carried.pipe)
            actor = self._state.actors.get(carried.key)
            # What we ended on purpose is nobody's fault; a silent actor that was killed is not such a case.
            blame = actor is None or actor.state != "STOPPING"
            kind = carried.role.kind
            self._registry.ended(ended.name, f"{kind} {ended.name} ended ({ended.reason})", blame)
            self._actor_hook(carried, "exit")
            self._feed(Exited(carried.key, ended.reason))

    def _reload_asked(self) -> None:
        self._reloads, self._refused = self._reloads + 1, None
        try:
            settings = self._reload() if self._reload is not None else self.settings
        except ConfigurationError as error:
            self._not_reloaded(str(error))
            return
        if (settings.mode, settings.database) != (self.settings.mode, self.settings.database):
            self._not_reloaded("mode and database take effect with a restart only")
            return
        self._count(settings)
        self._generations[self._state.tried + 1] = settings
        self._state = replace(self._state, limits=limits_of(settings))
        self._feed(ReloadAsked(plan_of(settings)))

    def _not_reloaded(self, reason: str) -> None:
        self._refused = reason
        emit("reload_failed", reason=reason)

    # Obeying

    def _feed(self, event: Event) -> None:
        """Take one step, and those that follow from carrying it out."""
        self._events.append(event)
        while self._events:
            self._state, effects = supervision.step(self._state, self._events.popleft(), time.monotonic())
            for effect in effects:
                self._obey(effect)

    def _obey(self, effect: Effect) -> None:
        if isinstance(effect, Say):
            if effect.event == "reload_failed":
                self._refused = effect.data["reason"]
            emit(effect.event, process=self.name, **effect.data)
        elif isinstance(effect, Start):
            self._start(effect)
        elif isinstance(effect, Stop):
            self._stop(effect.key)
        elif isinstance(effect, Kill):
            self._for(effect.key, self._host.kill, lambda application: application.kill())
        elif isinstance(effect, Switch):
            application = self._applications[effect.key]
            declare(self._runtime.directory, application.jobs)
            self._runtime.switch(application.socket)
        elif isinstance(effect, Finish):
            self._status = UNAVAILABLE if self._registry.file == "replaced" else effect.status
        elif isinstance(effect, Abandon):
            self._abandon(effect.status)

    def _for(self, key: str, actor: Callable[[str], None], application: Callable[[Application], Any]) -> None:
        if key in self._applications:
            application(self._applications[key])
            return
        for name, carried in list(self._carried.items()):
            if carried.key == key:
                actor(name)

    def _stop(self, key: str) -> None:
        if key in self._applications and self._state.stage != "running" and self._start_told:
            self._hook("exit", **self._own_facts())
        for carried in list(self._carried.values()):
            if carried.key == key:
                self._actor_hook(carried, "stop")
        self._for(key, self._host.stop, lambda application: application.stop())

    def _start(self, start: Start) -> None:
        settings = self._generations[start.generation]
        try:
            if start.kind == "application":
                self._starts_of_application += 1
                number, directory = self._starts_of_application, str(self._runtime.directory)
                self._applications[start.key] = Application(start.key, settings.app, directory, number)
                return
            role = self._make(Berth(Place(start.key, start.kind), settings, self.name, self._runtime))
            if self._host.kind == "fork":
                self._registry.before_fork()
            pipe = self._host.start(role)
            self._carried[role.name] = Carried(start.key, role, pipe)
        except OSError as error:
            self._events.append(Exited(start.key, f"it cannot be started: {error.strerror or error}"))

    def _leave_behind(self) -> None:
        """In a forked child: let go of what is the supervisor's."""
        self._registry.store.forget()
        if self._counting is not None:
            self._counting.restart()
        self._notifier.forget()
        self._wakeup.close()
        for carried in list(self._carried.values()):
            if carried.pipe is not None:
                os.close(carried.pipe)
        for application in list(self._applications.values()):
            application.forget()

    def _abandon(self, status: int) -> None:
        """Threads are left that do not end. Give their jobs back and end the process, and them with it."""
        emit("abandoned", process=self.name, status=status)
        # What hangs may be the database, and giving back must not hang with it: SIGALRM ends the process then.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(ABANDON_PATIENCE)
        try:
            self._registry.give_back(list(self._carried))
            self._registry.leave()
        except DatabaseError as error:
            emit("deregister_failed", process=self.name, error=str(error))
        for application in list(self._applications.values()):
            application.kill()
        os._exit(status)

    # Hooks of the application

    def _hook(self, event: str, **info: Any) -> None:
        """Run a hook in the application that is in force. Where none is loaded there is nobody to run it."""
        application = self._applications.get(supervision.application_key(self._state.generation))
        if application is not None:
            application.run_hook(event, {"hostname": hostname(), **info})

    def _start_hooks(self, application: Application) -> None:
        """The start hooks, run once, by the first application that is loaded: of us, and of who was there before it."""
        if self._start_told:
            return
        self._start_told = True
        self._hook("start", **self._own_facts())
        for carried in list(self._carried.values()):
            actor = self._state.actors.get(carried.key)
            if actor is not None and actor.state == "RUNNING":
                self._actor_hook(carried, "start")

    def _actor_hook(self, carried: Carried, moment: str) -> None:
        """Hooks of workers run in their runners; those of the others here."""
        role = carried.role
        if role.kind != "Worker" and self._start_told:
            pid = self._host.pid(role.name) if moment != "exit" else None
            self._hook(f"{role.kind.lower()}_{moment}", kind=role.kind, name=role.name, pid=pid, **role.metadata())

    def _own_facts(self) -> dict[str, Any]:
        return {"kind": f"Supervisor({self.settings.mode})", "name": self.name, "pid": os.getpid()}

    # Resting

    def _seconds_to_rest(self) -> float:
        return min(supervision.rest(self._state, time.monotonic()), self._registry.rest())

    def _descriptors(self) -> list[int]:
        """What ends a rest besides signals: the applications' words, and those of actors that are starting.

        The pulse of running actors is read in passing, once a second; it need not wake anybody.
        """
        descriptors = [
            descriptor for application in self._applications.values() for descriptor in application.descriptors()
        ]
        for carried in list(self._carried.values()):
            actor = self._state.actors.get(carried.key)
            if carried.pipe is not None and (actor is None or actor.state != "RUNNING"):
                descriptors.append(carried.pipe)
        return descriptors
