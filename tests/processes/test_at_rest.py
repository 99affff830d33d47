"""What a daemon asks of its database while there is nothing to do: counted turn by turn, on both databases."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from fixtures.counting import Counted, counting
from fixtures.daemon import PACKAGE
from queued.domain import upkeep
from queued.domain.settings import AppSettings, DispatcherSettings, SchedulerSettings, Settings, WorkerSettings
from queued.processes import dispatcher, worker
from queued.processes.dispatcher import SWEEP_EVERY, Dispatcher
from queued.processes.registry import Registry
from queued.processes.role import Liveness, Role
from queued.processes.scheduler import TIDY_EVERY, Scheduler
from queued.processes.wakeup import Wakeup
from queued.processes.worker import Worker
from queued.storage.store import Store, open_store

#: psycopg prepares a statement when it is run for the sixth time.
WARM = 6
#: What a daemon of one worker, dispatcher, scheduler and supervisor may ask in a minute.
A_MINUTE = 120
#: Seconds between two heartbeats, where nobody says how many.
HEARTBEAT = next(field.default for field in fields(Settings) if field.name == "heartbeat_interval")

#: For a Python that has the package of this checkout.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))}

AnyRole = TypeVar("AnyRole", bound=Role)


class Begin(Protocol):
    """Register a role whose turns a test makes itself."""

    def __call__(self, role: AnyRole) -> AnyRole: ...


@pytest.fixture
def begin(store: Store) -> Iterator[Begin]:
    begun: list[Role] = []
    heard, told = os.pipe()

    def registered(role: AnyRole) -> AnyRole:
        role.wakeup, role.liveness = Wakeup(), Liveness(told)
        role.store = open_store(role.settings.database)
        role._register()
        begun.append(role)
        return role

    yield registered
    for role in begun:
        role.close()
        role.store.close()
        role.wakeup.close()
    os.close(heard)
    os.close(told)


@pytest.fixture
def quiet(settings: Settings, tmp_path: Path) -> Settings:
    """With an application, and as many heartbeats as a daemon has where nobody says how many."""
    return replace(settings, heartbeat_interval=HEARTBEAT, app=AppSettings(str(tmp_path), "python3", ("jobs",)))


def asked(store: Store, action: Callable[[], object], times: int = WARM) -> Counted:
    """What the action asks, after so many runs of it."""
    for _ in range(times):
        action()
    with counting(store) as counted:
        action()
    return counted


def asks(counted: Counted, store: Store, statements: int) -> None:
    """On PostgreSQL so many statements, each a round trip; on SQLite as many, besides the frame of its transaction."""
    told = [text for text in counted.statements if text.split()[0] not in {"BEGIN", "COMMIT", "PRAGMA"}]
    assert len(told) == statements, str(counted)
    if store.dialect == "postgresql":
        assert len(counted.statements) == counted.trips == statements, str(counted)


def test_a_heartbeat_is_one_statement(quiet: Settings, store: Store, begin: Begin) -> None:
    role = begin(Dispatcher("dispatcher-1", quiet, DispatcherSettings()))
    asks(asked(role.store, lambda: role._beat(time.monotonic())), store, 1)


def test_a_dispatcher_with_nothing_due_asks_one_question_and_locks_nothing(
    quiet: Settings, store: Store, begin: Begin
) -> None:
    role = begin(Dispatcher("dispatcher-1", quiet, DispatcherSettings()))
    role._sweep_at = role._prune_at = float("inf")
    counted = asked(role.store, role.poll)
    asks(counted, store, 1)
    assert not [text for text in counted.statements if text.startswith("BEGIN")], str(counted)


def test_a_scheduler_with_nothing_due_asks_one_question(quiet: Settings, store: Store, begin: Begin) -> None:
    role = begin(Scheduler("scheduler-1", quiet, SchedulerSettings()))
    asks(asked(role.store, role.poll), store, 1)


def test_a_worker_that_finds_no_lane_asks_one_question(quiet: Settings, store: Store, begin: Begin) -> None:
    role = begin(Worker("worker-1", quiet, WorkerSettings(), "no-application"))

    def look() -> None:
        role._search(time.monotonic())
        assert role._take_ready(10) == []

    asks(asked(role.store, look), store, 1)


def test_a_supervisor_beats_and_looks_for_the_dead_in_one_question(quiet: Settings, store: Store) -> None:
    registry = Registry("supervisor-1", "Supervisor(fork)", replace(quiet, heartbeat_interval=0.0))
    registry.enter()
    try:
        # On SQLite the two are statements of one transaction.
        asks(asked(registry.store, registry.tick), store, 1 if store.dialect == "postgresql" else 2)
    finally:
        registry.store.close()


# SQLite has no server that is asked.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_all_actors_together_ask_at_most_two_questions_a_second(quiet: Settings, store: Store, begin: Begin) -> None:
    dispatches = begin(Dispatcher("dispatcher-1", quiet, DispatcherSettings()))
    schedules = begin(Scheduler("scheduler-1", quiet, SchedulerSettings()))
    dispatches._sweep_at = dispatches._prune_at = schedules._tidy_at = 0.0
    tidying = [asked(role.store, role.poll, times=0) for role in (dispatches, schedules)]
    looks = [
        worker.LONGEST_REST[store.dialect],
        max(dispatcher.LONGEST_REST, DispatcherSettings().polling_interval),
        SchedulerSettings().polling_interval,
    ]
    minute = 4 * 60 / HEARTBEAT + sum(60 / rest for rest in looks)
    minute += sum(len(counted.statements) for counted in tidying) * 60 / min(SWEEP_EVERY, upkeep.EVERY, TIDY_EVERY)
    assert minute <= A_MINUTE, f"{minute} a minute; of these {'; '.join(map(str, tidying))}"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_daemon_on_postgresql_does_not_load_sqlite(store: Store) -> None:
    program = f"""
import sys
from queued.processes.supervisor import Supervisor
from queued.storage.store import open_store

with open_store({store.settings.url!r}).reading() as session:
    session.all("queues.paused")
print("sqlite3" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert told.stdout == "False\n"
