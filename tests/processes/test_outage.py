"""The database goes away and comes back under a running supervisor: nobody ends for it, and nobody is called dead for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.postgresql import PostgreSQLServer
from fixtures.supervised import Supervised, make_settings, wait_for
from queued.domain.errors import DatabaseFull, DatabaseUnavailable
from queued.domain.settings import DispatcherSettings, Settings, WorkerSettings
from queued.processes.crew import Berth, make_role
from queued.processes.outage import QUIET, Outage
from queued.processes.role import Role, new_name
from queued.storage.store import open_store

Supervise = Callable[..., Supervised]


class Resting(Role):
    kind = "Worker"

    def poll(self) -> float:
        return 3600.0


def make(berth: Berth) -> Role:
    if berth.place.kind == "worker":
        return Resting(new_name("worker"), berth.settings, berth.supervisor)
    return make_role(berth)


@pytest.fixture
def away(postgresql_server: PostgreSQLServer) -> Iterator[PostgreSQLServer]:
    """The server, which a test may stop; it runs again afterwards."""
    yield postgresql_server
    try:
        postgresql_server.stop()
    except Exception:
        pass  # it is stopped already
    postgresql_server.start()


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_an_outage_longer_than_the_threshold_ends_nobody_and_declares_nobody_dead(
    postgresql_url: str, away: PostgreSQLServer, tmp_path: Path, supervise: Supervise, mode: str
) -> None:
    settings: Settings = replace(
        make_settings(postgresql_url, tmp_path), workers=(WorkerSettings(),), dispatchers=(DispatcherSettings(),)
    )
    supervised = supervise(settings, mode=mode, make=make)
    supervised.wait_for_rows("Worker", 1)
    supervised.wait_for_rows("Dispatcher", 1)
    names = {row["name"] for row in supervised.rows()}
    supervised.store.close()
    away.stop("immediate")
    supervised.wait_for_log("The database cannot be reached", count=3)
    time.sleep(settings.alive_threshold * 1.5)
    away.start()
    supervised.wait_for_log("The database is back", count=3)
    assert {row["name"] for row in supervised.rows()} == names
    before = supervised.rows("Worker")[0]["last_heartbeat_at"]
    wait_for(lambda: supervised.rows("Worker")[0]["last_heartbeat_at"] > before, "a beat")
    assert supervised.log().count("The database cannot be reached") == 3
    assert "not heard of" not in supervised.log()
    assert "ended (" not in supervised.log()
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert supervised.rows() == []


def test_a_stop_while_the_database_is_away_is_not_held_up_by_it(
    postgresql_url: str, away: PostgreSQLServer, tmp_path: Path, supervise: Supervise
) -> None:
    settings = replace(make_settings(postgresql_url, tmp_path), workers=(WorkerSettings(),))
    supervised = supervise(settings, make=make)
    supervised.wait_for_rows("Worker", 1)
    supervised.store.close()
    away.stop("immediate")
    supervised.wait_for_log("The database cannot be reached")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait(20.0) == 0
    assert "Left its registration behind" in supervised.log()


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_a_replaced_file_ends_the_daemon_for_whoever_starts_it_again(
    sqlite_settings: Settings, tmp_path: Path, supervise: Supervise, mode: str
) -> None:
    settings = replace(sqlite_settings, workers=(WorkerSettings(),), dispatchers=(DispatcherSettings(),))
    supervised = supervise(settings, mode=mode, make=make)
    supervised.wait_for_rows("Dispatcher", 1)
    supervised.wait_for_rows("Worker", 1)
    supervised.store.close()
    path = Path(settings.database.url.removeprefix("sqlite:///"))
    fresh = open_store(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    fresh.migrate()
    fresh.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    (tmp_path / "fresh.sqlite3").replace(path)
    assert supervised.wait() == 69
    assert supervised.log().count(f"{path} was replaced by another file while it was in use; stopping") == 1
    assert supervised.rows() == [], "nobody of the old file has gone over to the new one"
    again = supervise(settings, mode=mode, make=make)
    again.wait_for_rows("Worker", 1)
    again.signal(signal.SIGTERM)
    assert again.wait() == 0


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_a_deleted_file_is_an_outage_until_it_is_put_back(
    sqlite_settings: Settings, supervise: Supervise, mode: str
) -> None:
    settings = replace(sqlite_settings, workers=(WorkerSettings(),), dispatchers=(DispatcherSettings(),))
    supervised = supervise(settings, mode=mode, make=make)
    supervised.wait_for_rows("Worker", 1)
    supervised.wait_for_rows("Dispatcher", 1)
    path = Path(settings.database.url.removeprefix("sqlite:///"))
    names = {row["name"] for row in supervised.rows()}
    supervised.store.close()
    away = path.with_name("away")
    path.rename(away)
    supervised.wait_for_log("The database cannot be reached", count=3)
    supervised.wait_for_log(f"{path} was deleted while it was in use; no job is started")
    assert not path.exists(), "nobody has made a new one"
    away.rename(path)
    supervised.wait_for_log("The database is back", count=3)
    assert {row["name"] for row in supervised.rows()} == names
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


def test_a_full_disk_is_told_once_and_counts_as_over_when_nothing_has_failed_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, told = [100.0], []
    monkeypatch.setattr("queued.processes.outage.time.monotonic", lambda: now[0])
    monkeypatch.setattr("queued.processes.outage.emit", lambda event, **data: told.append((event, data.get("seconds"))))
    outage = Outage(process="worker-1")
    for _ in range(20):
        assert 0.05 <= outage.failed(DatabaseFull("no room")) <= 0.1
        assert outage.going_on
        now[0] += 0.4
        outage.succeeded()  # a question was answered
        assert not outage.going_on
        assert outage.error == "no room"
    assert told == [("database_full", None)]
    now[0] += QUIET
    outage.succeeded()
    assert outage.error is None
    assert told[1:] == [("database_room", 18.0)]
    outage.failed(DatabaseUnavailable("gone"))
    outage.failed(DatabaseFull("no room"))
    outage.failed(DatabaseUnavailable("gone"))
    now[0] += QUIET
    outage.succeeded()
    assert [event for event, _ in told[2:]] == ["database_lost", "database_full", "database_room"]
