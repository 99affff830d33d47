"""The supervisor and its service manager: a real daemon, a real socket."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from fixtures.manager import Manager
from fixtures.supervised import Supervised, wait_for
from queued.domain import service
from queued.domain.settings import DatabaseSettings, DispatcherSettings, Settings, WorkerSettings
from queued.domain.supervision import Limits
from queued.processes import notify, registry, supervisor
from queued.processes.notify import Notifier, sign_of_life_every

Supervise = Callable[..., Supervised]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    found = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(found.path))
    yield found
    found.close()


@pytest.fixture
def settings(sqlite_settings: Settings) -> Settings:
    return replace(
        sqlite_settings, dispatchers=(DispatcherSettings(),), workers=(WorkerSettings(processes=2),), role="mail"
    )


@pytest.fixture
def watched(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """A service manager that wants a sign of life every 0.4 s at most, of a supervisor with little patience."""
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setattr(service, "QUIET", 3.0)
    limits = Limits(stop_grace=10.0, silence=5.0)
    monkeypatch.setattr(supervisor, "limits_of", lambda settings: limits)
    return manager


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_it_is_ready_when_every_actor_is_registered_and_says_so_until_it_stops(
    mode: str, settings: Settings, manager: Manager, supervise: Supervise
) -> None:
    supervised = supervise(settings, mode=mode)
    manager.wait_for("READY=1")
    assert len(supervised.rows()) == 4
    manager.wait_for_status("STATUS=2 workers, 0 running, 0 ready")
    supervised.signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    wait_for(lambda: len(manager.moments("READY=1")) == 2, "the end of the reload")
    [reloading] = [lines for _, lines in manager.heard if "RELOADING=1" in lines]
    assert any(line.startswith("MONOTONIC_USEC=") for line in reloading)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert "STOPPING=1" in manager.listen()
    assert not [line for line in manager.listen() if line.startswith("WATCHDOG")]


def test_a_supervisor_that_waits_for_its_database_says_so(
    sqlite_settings: Settings, manager: Manager, supervise: Supervise
) -> None:
    nobody = replace(
        sqlite_settings,
        database=DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none"),
        workers=(WorkerSettings(),),
    )
    supervised = supervise(nobody)
    manager.wait_for_status("starting; no database: PostgreSQL cannot be reached")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert "READY=1" not in manager.listen()


def test_signs_of_life_stop_while_a_worker_hangs_and_return_with_its_replacement(
    settings: Settings, watched: Manager, supervise: Supervise
) -> None:
    supervised = supervise(settings, mode="fork")
    watched.wait_for("READY=1", "WATCHDOG=1")
    [first, _] = supervised.wait_for_rows("Worker", 2)
    os.kill(first["pid"], signal.SIGSTOP)
    stopped = time.monotonic()
    watched.wait_for_status("hangs")
    supervised.wait_for_log("has not moved for")
    wait_for(lambda: watched.moments("WATCHDOG=1")[-1] > stopped + 4.0, "signs of life after the replacement", 40.0)
    moments = watched.moments("WATCHDOG=1")
    gap = max(later - earlier for earlier, later in pairwise(moments))
    # From three seconds of silence on until the supervisor, after five, has put another in its place.
    assert gap > 1.0, moments
    workers = supervised.wait_for_rows("Worker", 2)
    assert first["pid"] not in [row["pid"] for row in workers]


def test_signs_of_life_end_when_the_supervisor_itself_hangs(
    settings: Settings, watched: Manager, supervise: Supervise
) -> None:
    supervised = supervise(settings, mode="fork")
    watched.wait_for("READY=1", "WATCHDOG=1")
    supervised.signal(signal.SIGSTOP)
    watched.listen()
    before = len(watched.moments("WATCHDOG=1"))
    time.sleep(1.5)
    assert len(watched.moments("WATCHDOG=1")) == before
    supervised.signal(signal.SIGCONT)
    wait_for(lambda: len(watched.moments("WATCHDOG=1")) > before, "signs of life of one that was woken")


def test_its_children_are_not_told_where_the_service_manager_is(
    settings: Settings, watched: Manager, supervise: Supervise
) -> None:
    supervised = supervise(settings, mode="fork")
    watched.wait_for("READY=1")
    [row, _] = supervised.wait_for_rows("Worker", 2)
    # What the test itself has open is inherited by the fork.
    own = sockets(supervised.pid) - sockets(os.getpid())
    assert own
    assert not own & sockets(row["pid"])


def sockets(pid: int) -> set[str]:
    """The sockets that a process has open."""
    links = [readlink(Path("/proc", str(pid), "fd", name)) for name in os.listdir(f"/proc/{pid}/fd")]
    return {link for link in links if link.startswith("socket:")}


def test_without_a_service_manager_nothing_is_asked_and_nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    notifier = Notifier()
    assert not notifier.enabled
    assert "WATCHDOG_USEC" not in os.environ


def test_a_service_manager_that_is_not_there_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not Notifier().enabled
    for name in notify.VARIABLES:
        assert name not in os.environ


def test_signs_of_life_come_four_times_as_often_as_they_must_and_for_the_process_that_is_meant() -> None:
    assert sign_of_life_every({"WATCHDOG_USEC": "60000000"}, 7) == 15.0
    assert sign_of_life_every({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 7) == 15.0
    assert sign_of_life_every({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, 7) is None
    assert sign_of_life_every({"WATCHDOG_USEC": "often"}, 7) is None
    assert sign_of_life_every({}, 7) is None


def readlink(path: Path) -> str:
    """Where a descriptor leads; the one that lists them is closed by then."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_a_database_that_stands_still_is_told_of_and_stops_neither_signs_of_life_nor_the_watch(
    postgresql_url: str, settings: Settings, watched: Manager, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PATIENCE", 1.0)
    supervised = supervise(replace(settings, database=DatabaseSettings(url=postgresql_url)), mode="fork")
    watched.wait_for("READY=1", "WATCHDOG=1")
    workers = [row["pid"] for row in supervised.wait_for_rows("Worker", 2)]
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        like = "queued supervisor-%"
        [(backend,)] = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s AND datname = current_database()", (like,)
        ).fetchall()
    os.kill(backend, signal.SIGSTOP)
    try:
        watched.wait_for_status("no database: ")
        assert "has not answered for 1 s" in supervised.log()
        stopped = time.monotonic()
        # Meanwhile it goes on to watch over its actors, and what can be reached again is reached.
        os.kill(workers[0], signal.SIGKILL)
        supervised.wait_for_log("killed by SIGKILL")
        supervised.wait_for_log("The database is back")
        wait_for(lambda: watched.moments("WATCHDOG=1")[-1] > stopped, "signs of life")
    finally:
        os.kill(backend, signal.SIGCONT)
    supervised.wait_for_rows("Worker", 2)
