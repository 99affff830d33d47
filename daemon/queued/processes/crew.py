"""Crew: which actors a configuration asks for, and how each is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from queued.domain.errors import ConfigurationError
from queued.domain.settings import SchedulerSettings, Settings, WorkerSettings
from queued.domain.supervision import Limits, Place
from queued.processes.dispatcher import Dispatcher
from queued.processes.exporter import Exporter
from queued.processes.role import Role, new_name
from queued.processes.runtime import Runtime
from queued.processes.scheduler import Scheduler
from queued.processes.worker import Worker

#: Seconds beyond `shutdown_timeout` and `interrupt_grace` in which a worker kills its runner and gives its jobs back.
STOP_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Berth:
    """What a role is made from: its place, the settings of its generation, who supervises it, and where."""

    place: Place
    settings: Settings
    supervisor: str
    runtime: Runtime


Make = Callable[[Berth], Role]


def plan_of(settings: Settings) -> tuple[Place, ...]:
    """The places of a configuration: `application`, `dispatcher-1`, `worker-1`, `worker-2`, …, `scheduler-1`, `exporter-1`.

    The application is loaded where there are workers, and for a scheduler, which asks it about jobs. Workers without one have
    runners of the daemon's own, for programs.
    """
    places = [Place(f"dispatcher-{number}", "dispatcher") for number, _ in enumerate(settings.dispatchers, 1)]
    workers = _workers(settings)
    places += [Place(f"worker-{number}", "worker") for number, _ in enumerate(workers, 1)]
    if workers or (settings.app is not None and has_scheduler(settings)):
        places.insert(0, Place("application", "application"))
    if has_scheduler(settings):
        places.append(Place("scheduler-1", "scheduler"))
    if settings.metrics.wanted:
        places.append(Place("exporter-1", "exporter"))
    return tuple(places)


def has_scheduler(settings: Settings) -> bool:
    """Whether a configuration asks for a scheduler: one that has tasks to run, or may get some."""
    if settings.skip_recurring or settings.scheduler is None:
        return bool(settings.recurring) and not settings.skip_recurring
    return bool(settings.recurring) or settings.scheduler.dynamic_tasks_enabled


def check_plan(settings: Settings) -> None:
    """Raise ConfigurationError where the configuration has no place for anybody and is not that of a role, which may."""
    if not plan_of(settings) and settings.role is None:
        source = settings.source or "the configuration"
        raise ConfigurationError(f"{source} asks for no actor: add workers, dispatchers or metrics")


def limits_of(settings: Settings) -> Limits:
    """How long and how often, by a configuration."""
    grace = settings.shutdown_timeout + settings.interrupt_grace + STOP_MARGIN
    return Limits(start_retries=settings.start_retries, stop_grace=grace)


def make_role(berth: Berth) -> Role:
    """The role of a place, under a name of its own."""
    number = int(berth.place.key.rpartition("-")[2]) - 1
    # A role's files lie in the directory of its own supervisor, which is removed with it.
    settings = replace(berth.settings, runtime_directory=str(berth.runtime.directory))
    if berth.place.kind == "dispatcher":
        return Dispatcher(new_name("dispatcher"), settings, settings.dispatchers[number], berth.supervisor)
    if berth.place.kind == "scheduler":
        return Scheduler(new_name("scheduler"), settings, settings.scheduler or SchedulerSettings(), berth.supervisor)
    if berth.place.kind == "exporter":
        return Exporter(new_name("exporter"), settings, expected(settings), berth.supervisor)
    worker = _workers(settings)[number]
    name = new_name(worker.name or "worker")
    return Worker(name, settings, worker, str(berth.runtime.application), berth.supervisor)


def expected(settings: Settings) -> dict[str, int]:
    """How many actors of each kind a configuration asks for, but for the application and the exporter itself."""
    kinds = Counter(place.kind for place in plan_of(settings))
    return {kind: number for kind, number in kinds.items() if kind not in ("application", "exporter")}


def _workers(settings: Settings) -> list[WorkerSettings]:
    """One entry for each worker: `processes: 3` is three of them, in either mode, for their runners are processes anyway."""
    return [worker for worker in settings.workers for _ in range(worker.processes)]
