"""queued check: the names of recurring tasks' jobs against the application, and what runs when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acceptance.service import is_alive
from fixtures.supervised import wait_for

PACKAGE = Path(__file__).resolve().parents[2] / "daemon"

JOBS = """
import queued

@queued.job
def report(kind): pass

@queued.job(name="shop.clean")
def clean(): pass
"""

QUEUE = """
test:
  database: sqlite:///queue.sqlite3
  app: {path: app, python: PYTHON, import: jobs}
  workers: [{threads: 1}]
  dispatchers: [{}]
"""

TASKS = """
test:
  report:
    class: jobs.report
    args: daily
    schedule: every weekday at 5am
    timezone: Europe/Rome
  clean:
    class: shop.clean
    schedule: every 90 minutes
  heartbeat: {class: queued.heartbeat, schedule: every 5 minutes}
  off: {class: jobs.report, schedule: "0 4 * * *", enabled: false}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "jobs.py").write_text(JOBS)
    (tmp_path / "app" / "more.py").write_text("import queued\n@queued.job\ndef later(): pass\n")
    (tmp_path / "queue.yml").write_text(QUEUE.replace("PYTHON", sys.executable))
    (tmp_path / "recurring.yml").write_text(TASKS)
    return tmp_path


def check(directory: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "queued", "check", "--env", "test", *words],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_jobs_that_the_application_has_are_found_also_in_modules_that_are_not_listed(directory: Path) -> None:
    with (directory / "recurring.yml").open("a") as file:
        file.write("  later: {class: more.later, schedule: every day}\n")
    assert check(directory) == (0, "configuration is valid\n", "")


def test_a_job_that_the_application_lacks_is_told_with_its_place_and_near_names(directory: Path) -> None:
    text = TASKS.replace("class: jobs.report\n    args", "class: jobs.reprot\n    args").replace(
        "shop.clean", "shop.clear"
    )
    (directory / "recurring.yml").write_text(text)
    status, out, err = check(directory)
    assert (status, out) == (78, "")
    first, second = err.splitlines()
    assert first.startswith(f"queued: {directory}/recurring.yml:4: report.class: no job is named 'jobs.reprot' here.")
    assert "jobs.report" in first
    assert second.startswith(f"queued: {directory}/recurring.yml:9: clean.class: no job is named 'shop.clear' here.")
    assert check(directory, "--no-application")[0] == 0


@pytest.mark.parametrize("broken", ["import nothing_of_the_kind\n", "import time\ntime.sleep(600)\n"])
def test_an_application_that_cannot_be_loaded_is_said_so_in_bounded_time(
    directory: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "app" / "jobs.py").write_text(broken)
    begun = time.monotonic()
    if "sleep" in broken:
        from queued.domain.settings import AppSettings
        from queued.processes.application import ApplicationError
        from queued.processes.knowing import unknown_jobs

        with pytest.raises(ApplicationError, match="longer than 1 s"):
            unknown_jobs(AppSettings(str(directory / "app"), sys.executable, ("jobs",)), ["jobs.report"], 1.0)
        assert time.monotonic() - begun < 10
        return
    status, out, err = check(directory)
    assert (status, out) == (0, "configuration is valid\n")
    assert err.startswith("warning: job names are not compared with the application, which cannot be loaded: ")
    assert "jobs.py:1: ModuleNotFoundError: No module named 'nothing_of_the_kind'" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_ended_while_the_application_hangs_it_leaves_nothing_behind(directory: Path, number: int) -> None:
    pid = directory / "pid"
    code = f"import os, time\nos.symlink(str(os.getpid()), {str(pid)!r})\n"
    (directory / "app" / "jobs.py").write_text(code + "time.sleep(600)\n")
    command = [sys.executable, "-m", "queued", "check", "--env", "test"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    with subprocess.Popen(command, cwd=directory, env=environment, stderr=subprocess.DEVNULL) as checking:
        wait_for(pid.is_symlink, "the import to begin")
        checking.send_signal(number)
        assert checking.wait(60) == 128 + number
    wait_for(lambda: not is_alive(int(os.readlink(pid))), "the application's process to end")


def test_show_prints_what_runs_when_as_comments_of_a_file_that_can_be_read_again(directory: Path) -> None:
    import yaml

    status, out, _ = check(directory, "--show", "--no-application")
    assert status == 0
    assert yaml.safe_load(out)["workers"]
    lines = {line.split()[1]: line for line in out.splitlines() if line.startswith("#   ")}
    assert "0 5 * * 1-5" in lines["report"]
    assert "Europe/Rome" in lines["report"]
    assert " UTC" in lines["report"]
    assert "every 90 minutes" in lines["clean"]
    assert "disabled" in lines["off"]
    assert "queued.heartbeat" in lines["heartbeat"]


def test_a_host_without_an_application_is_told_which_tasks_it_cannot_run(directory: Path) -> None:
    (directory / "queue.yml").write_text(
        "test:\n  database: sqlite:///q.sqlite3\n  workers: [{}]\n  dispatchers: [{}]\n"
    )
    (directory / "recurring.yml").write_text(
        "test:\n"
        "  py: {command: print(1), schedule: every day}\n"
        "  sh: {shell: date, schedule: every day}\n"
        "  alive: {class: queued.heartbeat, schedule: every day}\n"
    )
    status, out, err = check(directory)
    assert (status, out) == (0, "configuration is valid\n")
    warned = [line for line in err.splitlines() if "recurring.yml" in line]
    assert len(warned) == 1
    assert warned[0].startswith(f"warning: {directory}/recurring.yml:2: py.command: needs an application")
    assert "workers run shell: programs alone" in err
