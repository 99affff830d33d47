"""The supervisor with real processes, real signals and a real database; its actors are small roles of the tests' own."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.supervised import Supervised, wait_for
from queued.domain.errors import ConfigurationError
from queued.domain.jobs import NewJob
from queued.domain.lanes import Mark
from queued.domain.settings import DatabaseSettings, DispatcherSettings, Settings, WorkerSettings
from queued.processes.crew import Berth, make_role
from queued.processes.role import Role, new_name
from queued.storage import ready
from queued.storage.store import Store, open_store

Supervise = Callable[..., Supervised]

MODES = pytest.mark.parametrize("mode", ["fork", "async"])


class Resting(Role):
    kind = "Worker"

    def poll(self) -> float:
        return 3600.0


class Failing(Resting):
    def poll(self) -> float:
        raise RuntimeError("this turn cannot be done")


class Deaf(Resting):
    """Does not come back from its turn."""

    def poll(self) -> float:
        if self.settings.mode == "fork":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(3600)
        return 0.0


class Holding(Resting):
    """Claims everything there is, and starts none of it."""

    def ready(self) -> None:
        with self.store.reading() as session:
            marks = [Mark(lane, 0, 0) for lane in ready.lanes(session)]
        with self.store.transaction() as session:
            ready.claim(session, marks, 10, self.process_id, self.process_id << 32)


def workers(role: type[Role], others: type[Role] = Resting) -> Callable[[Berth], Role]:
    """worker-1 is such a role, the other workers are `others`, dispatchers are real."""

    def make(berth: Berth) -> Role:
        if berth.place.kind != "worker":
            return make_role(berth)
        chosen = role if berth.place.key == "worker-1" else others
        return chosen(new_name("worker"), berth.settings, berth.supervisor)

    return make


def with_actors(settings: Settings, workers: int = 1, dispatchers: int = 1) -> Settings:
    return replace(
        settings,
        workers=tuple(WorkerSettings() for _ in range(workers)),
        dispatchers=tuple(DispatcherSettings() for _ in range(dispatchers)),
    )


@MODES
def test_everybody_starts_in_order_and_a_stop_leaves_nothing_behind(
    settings: Settings, supervise: Supervise, mode: str
) -> None:
    supervised = supervise(with_actors(settings), mode=mode, make=workers(Resting))
    supervised.wait_for_rows("Worker", 1)
    [supervisor] = supervised.wait_for_rows("Supervisor", 1)
    assert supervisor["kind"] == f"Supervisor({mode})"
    assert {row["supervisor"] for row in supervised.rows() if row != supervisor} <= {supervisor["name"], None}
    assert (supervised.rows("Worker")[0]["pid"] == supervised.pid) == (mode == "async")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert supervised.rows() == []
    assert os.listdir(settings.runtime_directory) == []
    log = supervised.log()
    starts = re.findall(r"Started (\S+) \(", log)
    assert starts[0] == f"Supervisor({mode})"
    assert sorted(starts[1:]) == ["Dispatcher", "Worker"]
    assert f"Started Dispatcher (pid: {supervised.pid if mode == 'async' else ''}" in log
    assert "polling_interval: 1, batch_size: 500)" in log
    assert "Traceback" not in log


def test_a_killed_actor_is_replaced_and_its_row_is_gone(settings: Settings, supervise: Supervise) -> None:
    supervised = supervise(with_actors(settings), make=workers(Resting))
    [worker] = supervised.wait_for_rows("Worker", 1)
    os.kill(worker["pid"], signal.SIGKILL)
    replacement = wait_for(
        lambda: [row for row in supervised.rows("Worker") if row["name"] != worker["name"]], supervised.log
    )
    wait_for(lambda: len(supervised.rows("Worker")) == 1, "the end of the dead one's row")
    assert replacement[0]["pid"] != worker["pid"]
    assert "worker-1 ended (killed by SIGKILL); starting it again in 1 s" in supervised.log()


def test_an_actor_that_is_asked_to_stop_by_itself_is_replaced(settings: Settings, supervise: Supervise) -> None:
    supervised = supervise(with_actors(settings), make=workers(Resting))
    [worker] = supervised.wait_for_rows("Worker", 1)
    os.kill(worker["pid"], signal.SIGTERM)
    wait_for(lambda: [row for row in supervised.rows("Worker") if row["name"] != worker["name"]], "a replacement")


@MODES
def test_a_crash_loop_becomes_fatal_while_the_rest_keeps_running(
    sqlite_settings: Settings, supervise: Supervise, mode: str
) -> None:
    settings = replace(with_actors(sqlite_settings, workers=2), start_retries=1)
    supervised = supervise(settings, mode=mode, make=workers(Failing))
    supervised.wait_for_log("worker-1 is FATAL")
    assert supervised.log().count("Worker ended: RuntimeError: this turn cannot be done") == 2
    kinds = ["Dispatcher", f"Supervisor({mode})", "Worker"]
    wait_for(lambda: sorted(row["kind"] for row in supervised.rows()) == kinds, supervised.log)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


@MODES
def test_what_does_not_stop_in_time_is_ended_and_the_status_says_so(
    sqlite_settings: Settings, supervise: Supervise, mode: str
) -> None:
    settings = replace(with_actors(sqlite_settings), shutdown_timeout=0.2, interrupt_grace=0.0)
    supervised = supervise(settings, mode=mode, make=workers(Deaf))
    supervised.wait_for_rows("Worker", 1)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 1
    assert "Not stopped in time, killing: worker-1" in supervised.log()
    assert supervised.rows() == []


@pytest.mark.parametrize("signals", [[signal.SIGQUIT], [signal.SIGTERM, signal.SIGINT]])
def test_quit_or_a_second_stop_ends_everybody_at_once(
    sqlite_settings: Settings, supervise: Supervise, signals: list[signal.Signals]
) -> None:
    supervised = supervise(replace(with_actors(sqlite_settings), shutdown_timeout=600.0), make=workers(Deaf))
    supervised.wait_for_rows("Worker", 1)
    for number in signals:
        supervised.signal(number)
        supervised.wait_for_log("Stopping")
    assert supervised.wait() == 1
    assert supervised.rows() == []


@MODES
def test_jobs_of_an_actor_that_had_to_be_ended_are_ready_again_without_blame(
    settings: Settings, store: Store, supervise: Supervise, mode: str
) -> None:
    class Hoarding(Holding, Deaf):
        pass

    store.enqueue([NewJob("test.job") for _ in range(3)])
    store.close()
    supervised = supervise(with_actors(settings), mode=mode, make=workers(Hoarding))
    supervised.wait_for_rows("Worker", 1)
    wait_for(lambda: count(settings, "claimed") == 3, "the claims")
    supervised.signal(signal.SIGQUIT)
    assert supervised.wait() == 1
    assert (count(settings, "claimed"), count(settings, "ready"), count(settings, "attempts")) == (0, 3, 0)


def test_jobs_of_a_killed_actor_go_back_at_once(settings: Settings, store: Store, supervise: Supervise) -> None:
    store.enqueue([NewJob("test.job") for _ in range(3)])
    store.close()
    supervised = supervise(with_actors(settings), make=workers(Holding))
    [worker] = supervised.wait_for_rows("Worker", 1)
    wait_for(lambda: count(settings, "claimed") == 3, "the claims")
    os.kill(worker["pid"], signal.SIGKILL)
    supervised.wait_for_log(f"Worker {worker['name']} ended (killed by SIGKILL): 3 jobs ready again")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert (count(settings, "claimed"), count(settings, "ready")) == (0, 3)


def count(settings: Settings, table: str) -> int:
    """Rows of a table."""
    if settings.database.url.startswith("sqlite"):
        connection = sqlite3.connect(settings.database.url.removeprefix("sqlite:///"))
        try:
            return int(connection.execute(f"SELECT count(*) FROM queued_{table}").fetchone()[0])
        finally:
            connection.close()
    import psycopg

    with psycopg.connect(settings.database.url) as server:
        row = server.execute(f"SELECT count(*) FROM queued.{table}").fetchone()
        assert row is not None
        return int(row[0])


# The registration


def test_a_frozen_actor_is_declared_dead_and_replaced_when_it_wakes(settings: Settings, supervise: Supervise) -> None:
    supervised = supervise(with_actors(settings), make=workers(Resting))
    [worker] = supervised.wait_for_rows("Worker", 1)
    os.kill(worker["pid"], signal.SIGSTOP)
    try:
        supervised.wait_for_log(f"Worker {worker['name']} was not heard of for")
        wait_for(lambda: supervised.rows("Worker") == [], "the end of its row")
    finally:
        os.kill(worker["pid"], signal.SIGCONT)
    supervised.wait_for_log("Declared dead by another process")
    [replacement] = supervised.wait_for_rows("Worker", 1)
    assert replacement["name"] != worker["name"]


def test_a_supervisor_that_is_declared_dead_registers_again(settings: Settings, supervise: Supervise) -> None:
    supervised = supervise(with_actors(settings), make=workers(Resting))
    supervised.wait_for_rows("Worker", 1)
    [supervisor] = supervised.rows("Supervisor")
    store = open_store(settings.database)
    with store.transaction() as session:
        session.run("processes.delete", process_id=supervisor["id"])
    store.close()
    supervised.wait_for_log("registered again")
    [again] = supervised.wait_for_rows("Supervisor", 1)
    assert (again["name"], again["pid"]) == (supervisor["name"], supervisor["pid"])


def test_actors_of_a_killed_supervisor_stop_by_themselves_and_the_next_one_clears_up(
    settings: Settings, supervise: Supervise
) -> None:
    first = supervise(with_actors(settings), make=workers(Resting))
    first.wait_for_rows("Worker", 1)
    first.wait_for_rows("Dispatcher", 1)
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    wait_for(lambda: [row["kind"] for row in first.rows()] == ["Supervisor(fork)"], "its actors' end")
    second = supervise(with_actors(settings), make=workers(Resting))
    second.wait_for_rows("Worker", 1)
    wait_for(lambda: len(second.rows("Supervisor")) == 1, "the end of the first one's row")
    assert second.rows("Supervisor")[0]["pid"] == second.pid
    wait_for(lambda: len(os.listdir(settings.runtime_directory)) == 1, "the end of the first one's directory")


# Reload


def test_a_reload_replaces_every_actor_with_the_new_configuration(
    sqlite_settings: Settings, supervise: Supervise
) -> None:
    before = with_actors(sqlite_settings)
    after = replace(before, dispatchers=(DispatcherSettings(batch_size=7),), workers=before.workers * 2)
    supervised = supervise(before, make=workers(Resting), reload=lambda: after)
    names = {row["name"] for row in supervised.wait_for_rows("Worker", 1) + supervised.wait_for_rows("Dispatcher", 1)}
    supervised.signal(signal.SIGHUP)
    supervised.wait_for_log("Reloaded: every actor")
    supervised.wait_for_rows("Worker", 2)
    [dispatcher] = supervised.wait_for_rows("Dispatcher", 1)
    assert '"batch_size": 7' in dispatcher["metadata"]
    assert not names & {row["name"] for row in supervised.rows()}
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


def test_a_reload_of_a_wrong_file_tells_every_problem_and_changes_nothing(
    sqlite_settings: Settings, supervise: Supervise
) -> None:
    def reload() -> Settings:
        raise ConfigurationError(["queue.yml:3: workers: one", "queue.yml:9: workers: two"])

    supervised = supervise(with_actors(sqlite_settings), make=workers(Resting), reload=reload)
    [worker] = supervised.wait_for_rows("Worker", 1)
    supervised.signal(signal.SIGHUP)
    supervised.wait_for_log("queue.yml:9: workers: two")
    assert "queue.yml:3: workers: one" in supervised.log()
    assert [row["name"] for row in supervised.rows("Worker")] == [worker["name"]]


# Boot


def test_two_supervisors_may_start_at_once_on_an_empty_database(settings: Settings, supervise: Supervise) -> None:
    both = [supervise(with_actors(settings), make=workers(Resting)) for _ in range(2)]
    both[0].wait_for_rows("Worker", 2)
    both[0].wait_for_rows("Supervisor", 2)
    for supervised in both:
        supervised.signal(signal.SIGTERM)
    assert [supervised.wait() for supervised in both] == [0, 0]
    assert sum(supervised.log().count("Migrated the database") for supervised in both) == 1


def test_a_newer_schema_is_refused_with_one_sentence(settings: Settings, store: Store, supervise: Supervise) -> None:
    newer = (
        "INSERT INTO {0} (version, name, breaking, applied_at)"
        " SELECT 9999, '9999_from_the_future', true, applied_at FROM {0} LIMIT 1"
    )
    if store.dialect == "sqlite":
        connection = sqlite3.connect(settings.database.url.removeprefix("sqlite:///"))
        connection.execute(newer.format("queued_migrations"))
        connection.commit()
        connection.close()
    else:
        import psycopg

        with psycopg.connect(settings.database.url) as server:
            server.execute(newer.format("queued.migrations"))
    store.close()
    supervised = supervise(with_actors(settings))
    assert supervised.wait() == 78
    assert len(supervised.log().splitlines()) == 1


def test_a_database_that_is_down_is_waited_for_and_then_given_up(
    sqlite_settings: Settings, supervise: Supervise
) -> None:
    settings = replace(sqlite_settings, database=DatabaseSettings("postgresql://nobody@127.0.0.1:1/nothing"))
    supervised = supervise(with_actors(settings), boot_patience=1.0)
    assert supervised.wait() == 69
    assert "Waiting for the database" in supervised.log()
    assert "Traceback" not in supervised.log()


def test_a_stop_is_heard_while_the_database_is_waited_for(sqlite_settings: Settings, supervise: Supervise) -> None:
    settings = replace(sqlite_settings, database=DatabaseSettings("postgresql://nobody@127.0.0.1:1/nothing"))
    supervised = supervise(with_actors(settings))
    supervised.wait_for_log("Waiting for the database")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


def test_a_path_that_cannot_be_is_refused_with_one_sentence(
    sqlite_settings: Settings, supervise: Supervise, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings = replace(sqlite_settings, database=DatabaseSettings(f"sqlite:///{tmp_path}/file/queued.sqlite3"))
    supervised = supervise(with_actors(settings))
    assert supervised.wait() == 78
    assert len(supervised.log().splitlines()) == 1


def test_a_runtime_directory_that_cannot_be_made_is_refused(
    sqlite_settings: Settings, supervise: Supervise, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    supervised = supervise(replace(with_actors(sqlite_settings), runtime_directory=str(tmp_path / "file" / "run")))
    assert supervised.wait() == 78
    assert "runtime_directory" in supervised.log()


def test_a_configuration_without_actors_is_refused(sqlite_settings: Settings, supervise: Supervise) -> None:
    supervised = supervise(sqlite_settings)
    assert supervised.wait() == 78
    assert "asks for no actor" in supervised.log()
