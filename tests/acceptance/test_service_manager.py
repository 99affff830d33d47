"""A real daemon with an application under a service manager: what it says while it works and while it drains."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from acceptance.conftest import Serve
from acceptance.service import Service
from fixtures.daemon import environ
from fixtures.manager import Manager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path / "notify")
    yield found
    found.close()


def under(manager: Manager) -> dict[str, str]:
    """The environment of a service, as systemd makes it."""
    return {
        "NOTIFY_SOCKET": str(manager.path),
        "WATCHDOG_USEC": "2000000",
        "LISTEN_FDS": "0",
        "CREDENTIALS_DIRECTORY": str(manager.path.parent),
        "JOURNAL_STREAM": "1:1",
        "SHOP": "open",
    }


def wait_for_lines(service: Service, manager: Manager, text: str, count: int = 1) -> None:
    service.until(
        lambda: len([line for line in manager.listen() if text in line]) >= count,
        f"{count} of {text!r}, heard {manager.listen()[-20:]}",
    )


def test_it_says_what_runs_and_what_waits_and_asks_for_time_while_it_drains(
    serve: Serve, work: ModuleType, sqlite_url: str, mode: str, manager: Manager
) -> None:
    service = serve(
        sqlite_url,
        mode=mode,
        environment=under(manager),
        settings={"shutdown_timeout": 30},
        workers=[{"threads": 1, "polling_interval": 0.1}],
    )
    wait_for_lines(service, manager, "READY=1")
    running, *waiting = service.enqueue(work.note.bind(seconds=11), *[work.note.bind() for _ in range(3)])
    runner = service.started(running)
    wait_for_lines(service, manager, "STATUS=1 worker, 1 running, 3 ready, oldest ")
    wait_for_lines(service, manager, "WATCHDOG=1", 3)
    for variable in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"):
        assert f"{variable}=".encode() not in environ(runner)
    assert b"SHOP=open" in environ(runner)
    service.daemon.signal(signal.SIGTERM)
    wait_for_lines(service, manager, "STOPPING=1")
    wait_for_lines(service, manager, "EXTEND_TIMEOUT_USEC=20000000", 2)
    wait_for_lines(service, manager, "STATUS=stopping; 1 worker, 1 running")
    assert service.daemon.wait() == 0
    assert service.job(running).state == "finished"
    assert {service.job(job).state for job in waiting} == {"ready"}


def test_an_application_that_breaks_is_not_loaded_and_the_status_says_so_until_it_is_repaired(
    serve: Serve, sqlite_url: str, mode: str, manager: Manager, tmp_path: Path
) -> None:
    application = tmp_path / "shop"
    application.mkdir()
    module = application / "jobs.py"
    module.write_text("import queued\n@queued.job()\ndef sell(): pass\n")
    service = serve(sqlite_url, mode=mode, environment=under(manager), app=application, imports=["jobs"])
    wait_for_lines(service, manager, "READY=1")
    module.write_text("import queued\nraise ValueError('not today')\n")
    service.daemon.signal(signal.SIGHUP)
    wait_for_lines(service, manager, "RELOADING=1")
    wait_for_lines(service, manager, "not reloaded: ")
    wait_for_lines(service, manager, "READY=1", 2)
    [status] = {line for line in manager.listen() if "not reloaded" in line and line.endswith("0 ready")}
    assert status == f"STATUS=not reloaded: {module}:2: ValueError: not today; 1 worker, 0 running, 0 ready"
    module.write_text("import queued\n@queued.job()\ndef sell(): pass\n")
    service.daemon.signal(signal.SIGHUP)
    wait_for_lines(service, manager, "READY=1", 3)
    assert manager.heard[-1][1][-1] == "STATUS=1 worker, 0 running, 0 ready"


def test_a_role_where_nobody_works_is_ready_and_runs_nothing(
    serve: Serve, work: ModuleType, database_url: str, mode: str, manager: Manager
) -> None:
    service = serve(
        database_url,
        mode=mode,
        environment=under(manager),
        settings={"roles": {"web": {"workers": []}}},
        arguments=["--instance", "web"],
        ready=False,
    )
    wait_for_lines(service, manager, "READY=1")
    [job] = service.enqueue(work.note.bind())
    wait_for_lines(service, manager, "STATUS=role web: no worker here, 1 ready, oldest")
    [process] = service.daemon.json("processes")["processes"]
    assert process["kind"] == "supervisor"
    assert process["metadata"] == {"mode": mode, "role": "web"}
    assert service.job(job).state == "ready"
    assert service.daemon.stop() == 0


def test_as_json_each_line_of_a_job_tells_whose_it_is(
    serve: Serve, work: ModuleType, sqlite_url: str, mode: str
) -> None:
    service = serve(sqlite_url, mode=mode, settings={"log_format": "json"})
    [job] = service.enqueue(work.talk.bind())
    service.wait(job)
    said = service.until(lambda: lines_of(service, job), "what the job has printed, in the log")
    assert [(line["stream"], line["level"], line["line"]) for line in said] == [
        ("stdout", "info", "said on stdout"),
        ("stderr", "warning", "said on stderr"),
    ]
    assert {(line["class_name"], line["queue"], line["attempt"]) for line in said} == {("work.talk", "default", 1)}


def lines_of(service: Service, job: int) -> list[dict[str, Any]]:
    """The two lines that the job prints, once both are there."""
    log = [json.loads(line) for line in service.daemon.log().splitlines()]
    found = [line for line in log if line.get("job_id") == job and line.get("line", "").startswith("said on std")]
    return found if len(found) == 2 else []
