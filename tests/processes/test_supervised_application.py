"""The supervisor with a real application, its fork server, real workers, and kills."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.supervised import Supervised, wait_for
from queued.domain.jobs import NewJob
from queued.domain.settings import AppSettings, DispatcherSettings, RetentionSettings, Settings, WorkerSettings
from queued.processes.slots import process_start_time
from queued.storage import ready
from queued.storage.store import Store

Supervise = Callable[..., Supervised]

APPLICATION = """
import os, time
import queued

@queued.job()
def note(text):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(text + "\\n")

@queued.job()
def last(text, seconds):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{text} {os.getpid()}\\n")
    time.sleep(seconds)

@queued.on_start
def started(info):
    print("hook start", info["kind"])

@queued.on_dispatcher_start
def dispatcher_started(info):
    print("hook dispatcher_start", info["batch_size"])

@queued.on_dispatcher_exit
def dispatcher_ended(info):
    print("hook dispatcher_exit")

@queued.on_stop
def stopping(info):
    print("hook stop")

@queued.on_exit
def ended(info):
    print("hook exit")
    raise ValueError("a hook that fails stops nothing")
"""


@pytest.fixture
def app(settings: Settings, tmp_path: Path) -> Settings:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "sample.py").write_text(APPLICATION)
    environment = {"LEDGER": str(tmp_path / "ledger")}
    return replace(
        settings,
        app=AppSettings(str(directory), sys.executable, ("sample",), environment),
        dispatchers=(DispatcherSettings(),),
        workers=(WorkerSettings(threads=2),),
    )


def test_an_application_without_jobs_is_warned_of(app: Settings, store: Store, supervise: Supervise) -> None:
    assert app.app is not None
    Path(app.app.path, "sample.py").write_text("import queued\n")
    store.close()
    supervised = supervise(app, mode="async")
    supervised.wait_for_log("The application defines no jobs: is app.import right?")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


def job(name: str, *args: Any) -> NewJob:
    import json

    return NewJob(f"sample.{name}", json.dumps({"args": list(args), "kwargs": {}}))


def ledger(settings: Settings) -> list[str]:
    assert settings.app is not None
    path = Path(settings.app.environment["LEDGER"])
    return path.read_text().splitlines() if path.exists() else []


def break_application(settings: Settings) -> None:
    assert settings.app is not None
    Path(settings.app.path, "sample.py").write_text("import queued\n\nundefined_name\n")


def repair_application(settings: Settings) -> None:
    assert settings.app is not None
    Path(settings.app.path, "sample.py").write_text(APPLICATION)


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_jobs_run_hooks_run_and_a_stop_leaves_nothing(
    app: Settings, store: Store, supervise: Supervise, mode: str
) -> None:
    store.enqueue([job("note", "one"), job("note", "two")])
    store.close()
    supervised = supervise(app, mode=mode)
    wait_for(lambda: sorted(ledger(app)) == ["one", "two"], supervised.log)
    supervised.wait_for_log("hook dispatcher_start 500")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    log = supervised.log()
    for line in ("hook start Supervisor", "hook stop", "hook dispatcher_exit", "hook exit"):
        assert log.count(line) == 1, log
    assert log.index("hook dispatcher_exit") < log.index("hook exit")
    assert "a hook that fails stops nothing" in log
    assert supervised.rows() == []
    assert os.listdir(app.runtime_directory) == []


def test_an_application_that_does_not_load_is_told_with_file_and_line_and_becomes_fatal_until_it_is_repaired(
    app: Settings, store: Store, supervise: Supervise
) -> None:
    break_application(app)
    store.enqueue([job("note", "patient")])
    store.close()
    supervised = supervise(replace(app, start_retries=1))
    supervised.wait_for_log("application-1 is FATAL")
    assert re.search(r"The application does not load: \S*sample\.py:3: NameError", supervised.log())
    assert [row["kind"] for row in supervised.rows()] == ["Supervisor(fork)", "Dispatcher"]
    repair_application(app)
    supervised.signal(signal.SIGHUP)
    wait_for(lambda: ledger(app) == ["patient"], supervised.log)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_a_stop_while_the_application_is_loaded_is_no_fault_of_its(
    app: Settings, store: Store, supervise: Supervise, mode: str
) -> None:
    assert app.app is not None
    pid = Path(app.app.path) / "pid"
    source = Path(app.app.path) / "sample.py"
    source.write_text(f"import os, time\nos.symlink(str(os.getpid()), {str(pid)!r})\ntime.sleep(600)\n")
    supervised = supervise(app, mode=mode)
    wait_for(pid.is_symlink, supervised.log)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert "does not load" not in supervised.log()
    assert "ERROR" not in supervised.log()
    assert not Path(f"/proc/{os.readlink(pid)}").exists()


def test_a_reload_whose_application_does_not_load_keeps_the_old_one(
    app: Settings, store: Store, supervise: Supervise
) -> None:
    supervised = supervise(app)
    [worker] = supervised.wait_for_rows("Worker", 1)
    break_application(app)
    supervised.signal(signal.SIGHUP)
    supervised.wait_for_log("Not reloaded, everything runs on as before")
    store.enqueue([job("note", "old code")])
    wait_for(lambda: ledger(app) == ["old code"], supervised.log)
    assert [row["name"] for row in supervised.rows("Worker")] == [worker["name"]]


def test_a_reload_runs_new_code_and_ends_the_old_fork_server(app: Settings, store: Store, supervise: Supervise) -> None:
    supervised = supervise(app)
    [worker] = supervised.wait_for_rows("Worker", 1)
    assert app.app is not None
    path = Path(app.app.path, "sample.py")
    path.write_text(path.read_text().replace("ledger.write(text +", 'ledger.write("new " + text +'))
    supervised.signal(signal.SIGHUP)
    supervised.wait_for_log("Reloaded: every actor")
    store.enqueue([job("note", "code")])
    wait_for(lambda: ledger(app) == ["new code"], supervised.log)
    assert [row["name"] for row in supervised.rows("Worker")] != [worker["name"]]
    first = int(re.findall(r"Loaded the application \(pid: (\d+)", supervised.log())[0])
    wait_for(lambda: process_start_time(first) is None, "the end of the old fork server")


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_a_reload_has_jobs_of_a_queue_deleted_with_their_end_and_those_of_others_not(
    app: Settings, store: Store, supervise: Supervise, mode: str
) -> None:
    after = replace(app, mode=mode, retention=RetentionSettings(delete_finished=("clicks*",)))
    supervised = supervise(app, mode=mode, reload=lambda: after)
    supervised.wait_for_rows("Worker", 1)

    def state(job_id: int) -> str | None:
        with store.reading() as session:
            found = session.one("insights.state", id=job_id)
        return None if found is None else found["state"]

    (before,) = store.enqueue([replace(job("note", "before"), queue="clicks")])
    wait_for(lambda: state(before) == "finished", supervised.log)
    supervised.signal(signal.SIGHUP)
    supervised.wait_for_log("Reloaded: every actor")
    deleted, kept, failed = store.enqueue(
        [
            replace(job("note", "deleted"), queue="clicks_of_today"),
            replace(job("note", "kept"), queue="mail"),
            replace(job("note"), queue="clicks"),
        ]
    )
    wait_for(lambda: (state(deleted), state(kept), state(failed)) == (None, "finished", "failed"), supervised.log)
    assert sorted(ledger(app)) == ["before", "deleted", "kept"]
    assert '"delete_finished": "clicks*"' in supervised.rows("Worker")[-1]["metadata"]
    assert state(before) == "finished"


def test_a_killed_fork_server_is_replaced_and_the_worker_asks_the_new_one(
    app: Settings, store: Store, supervise: Supervise
) -> None:
    supervised = supervise(app)
    supervised.wait_for_log("Loaded the application")
    [worker] = supervised.wait_for_rows("Worker", 1)
    os.kill(int(re.findall(r"Loaded the application \(pid: (\d+)", supervised.log())[0]), signal.SIGKILL)
    supervised.wait_for_log("Loaded the application", count=2)
    store.enqueue([job("note", "after")])
    wait_for(lambda: ledger(app) == ["after"], supervised.log)
    assert [row["name"] for row in supervised.rows("Worker")] == [worker["name"]]


@pytest.mark.parametrize("blamed", [True, False])
def test_a_killed_workers_running_job_is_known_its_runner_ended_and_the_job_run_again(
    app: Settings, store: Store, supervise: Supervise, blamed: bool
) -> None:
    store.enqueue([job("last", "running", 600)])
    store.close()
    supervised = supervise(app)
    [line] = wait_for(lambda: ledger(app), supervised.log)
    runner = int(line.split()[1])
    if blamed:
        [worker] = supervised.wait_for_rows("Worker", 1)
        os.kill(worker["pid"], signal.SIGKILL)
        supervised.wait_for_log("1 job was running, runs again: 1")
        wait_for(lambda: process_start_time(runner) is None, "the end of the runner")
        wait_for(lambda: len(ledger(app)) == 2, supervised.log)
    supervised.signal(signal.SIGQUIT)
    assert supervised.wait() == 1
    wait_for(lambda: process_start_time(runner) is None, "the end of the runner")
    with store.reading() as session:
        attempts = session.all("insights.attempts", id=1)
    assert len(attempts) == (1 if blamed else 0)
    assert supervised.rows() == []


@pytest.mark.parametrize("deleted", [(), ("*",)], ids=["finished jobs are kept", "nothing is kept of those that ended"])
def test_with_killed_workers_no_job_is_lost_and_none_that_ended_runs_again(
    app: Settings, store: Store, supervise: Supervise, deleted: tuple[str, ...]
) -> None:
    kills = 3
    supervised = supervise(replace(app, retention=RetentionSettings(delete_finished=deleted)))
    names = {str(n) for n in range(1500)}
    for kill in range(kills):
        own = [name for name in names if int(name) % kills == kill]
        store.enqueue([job("note", name) for name in own])
        [worker] = supervised.wait_for_rows("Worker", 1)
        wait_for(lambda own=own: len(set(own) & set(ledger(app))) > 20, supervised.log)
        os.kill(worker["pid"], signal.SIGKILL)
        wait_for(
            lambda worker=worker: [row["name"] for row in supervised.rows("Worker")] not in ([], [worker["name"]]),
            supervised.log,
        )

    def left() -> list[Any]:
        with store.reading() as session:
            return [*ready.lanes(session), *session.all("insights.claimed_by_process", cap=10_000)]

    wait_for(lambda: not left(), supervised.log)
    told = ledger(app)
    assert set(told) == names
    # Each kill may cut off what ran at that moment, and nothing else.
    assert len(told) <= len(names) + kills * sum(worker.threads for worker in app.workers)


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_a_job_cut_off_by_a_stop_is_ready_again(app: Settings, store: Store, supervise: Supervise, mode: str) -> None:
    store.enqueue([job("last", "running", 600)])
    store.close()
    supervised = supervise(replace(app, shutdown_timeout=0.3), mode=mode)
    wait_for(lambda: ledger(app), supervised.log)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert " ready again" in supervised.log()
    again = supervise(replace(app, shutdown_timeout=0.3), mode=mode)
    wait_for(lambda: len(ledger(app)) == 2, again.log)
    again.signal(signal.SIGTERM)
    assert again.wait() == 0


def test_jobs_of_a_killed_supervisor_and_workers_are_settled_by_the_next_one(
    app: Settings, store: Store, supervise: Supervise
) -> None:
    store.enqueue([job("last", "running", 600)])
    store.close()
    first = supervise(app, mode="async")
    wait_for(lambda: ledger(app), first.log)
    first.signal(signal.SIGKILL)
    first.wait()
    second = supervise(app, mode="async")
    wait_for(lambda: len(ledger(app)) == 2, second.log)
    second.wait_for_log("is gone: 1 job was running, runs again: 1")
