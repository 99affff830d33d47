"""A host without an application: it runs the programs of `shell:` tasks, and leaves every other job to those who can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import queued
from acceptance.service import named
from fixtures.daemon import Daemon, DaemonFactory

TASKS = """
test:
  good: {shell: "pwd; echo library-${LD_LIBRARY_PATH:-none}; echo secret-${QUEUED_DATABASE_URL:-none}", schedule: every day}
  bad: {shell: [sh, -c, "echo it broke >&2; exit 3"], schedule: every day}
  slow: {shell: "sleep 777", schedule: every day, timeout: 1 second}
  limited: {shell: echo limited, schedule: every day, queue: elsewhere}
  python: {command: "print('never here')", schedule: every day}
"""


def started(daemon: DaemonFactory, url: str, mode: str) -> Daemon:
    made = daemon(url, mode=mode, start=False)
    (made.directory / "recurring.yml").write_text(TASKS.replace("${", "$${"))
    return made.start()


def outcome(one: Daemon, key: str, *wanted: str) -> Any:
    def newest() -> Any:
        return next(task for task in one.json("recurring", "list")["tasks"] if task["key"] == key)["last_run"]

    one.wait_until(lambda: (run := newest()) and run["outcome"] in wanted, f"{key} to be {wanted}")
    return newest()


def test_programs_run_with_output_status_and_time_out_and_other_jobs_stay_ready(
    database_url: str, mode: str, daemon: DaemonFactory
) -> None:
    one = started(daemon, database_url, mode)
    one.wait_for_log(
        "No application is configured: the workers run the programs of shell: tasks and leave all other jobs"
    )
    queued.configure(database_url)
    # Foreign jobs stand before and behind the programs in the same lane.
    before = queued.enqueue_many([named("shop.work").bind() for _ in range(300)])
    assert one.queuectl("recurring", "run", "good", "bad", "slow", "limited", "python").returncode == 0
    after = queued.enqueue_many([named("shop.more").bind() for _ in range(300)])
    good = outcome(one, "good", "finished")
    one.wait_for_log(rf"job={good['job']} stdout: /\n")
    one.wait_for_log(rf"job={good['job']} stdout: secret-none")
    bad = outcome(one, "bad", "failed")
    assert one.json("jobs", "show", str(bad["job"]))["error"]["message"] == "the program exited with status 3: it broke"
    slow = outcome(one, "slow", "failed")
    assert one.json("jobs", "show", str(slow["job"]))["error"]["class"].endswith("JobTimedOut")
    outcome(one, "limited", "finished")
    # Without it nobody could tell what these are: they wait for a worker that has the application.
    outcome(one, "python", "ready")
    states = {job["state"] for job in one.json("jobs", "list", "--class", "shop.work", "--limit", "500")["jobs"]}
    assert states == {"ready"}
    assert len(before) == len(after) == 300
    assert one.queuectl("jobs", "retry", str(bad["job"])).returncode == 0
    one.wait_until(lambda: one.json("jobs", "show", str(bad["job"]))["attempt"] == 2, "a second attempt")
    workers = [process for process in one.json("processes")["processes"] if process["kind"].lower() == "worker"]
    assert [worker["metadata"]["runs"] for worker in workers] == ["programs only"]
    assert one.stop() == 0


def test_a_worker_with_the_application_runs_what_the_other_host_has_left(
    database_url: str, mode: str, daemon: DaemonFactory
) -> None:
    one = started(daemon, database_url, mode)
    one.wait_for_log("No application is configured")
    assert one.queuectl("recurring", "run", "python", "good").returncode == 0
    outcome(one, "good", "finished")
    other = daemon(database_url, mode=mode, app="import queued\n")
    other.wait_for_log("stdout: never here")
    outcome(one, "python", "finished")
    assert one.stop() == other.stop() == 0


def test_a_frozen_daemon_is_its_own_interpreter(
    sqlite_url: str, mode: str, daemon: DaemonFactory, tmp_path: Path
) -> None:
    """What PyInstaller makes has no python beside it: the program starts itself, under a word of its own."""
    program = tmp_path / "queued"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "from queued.cli.main import queued\n"
        "sys.frozen, sys.executable = True, __file__\n"
        "sys.exit(queued())\n"
    )
    program.chmod(0o755)
    one = daemon(sqlite_url, mode=mode, start=False)
    (one.directory / "recurring.yml").write_text(TASKS.replace("${", "$${"))
    with one.log_path.open("ab") as log:
        one.process = subprocess.Popen(
            [str(program), "start"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=one.directory,
            env={**one.environment, "LD_LIBRARY_PATH": "/opt/frozen", "_MEIPASS2": "/opt/frozen"},
            start_new_session=True,
        )
    one.wait_until_ready()
    assert one.queuectl("recurring", "run", "good").returncode == 0
    good = outcome(one, "good", "finished")
    one.wait_for_log(rf"job={good['job']} stdout: library-none")
    children = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in one.processes()]
    assert any(str(program).encode() in words and b"_programs" in words for words in children)
    assert one.stop() == 0
