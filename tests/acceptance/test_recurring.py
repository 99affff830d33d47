"""Recurring tasks from their file to their jobs, with a real daemon and a real application."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fixtures.daemon import Daemon, DaemonFactory
from queued.storage import recurring
from queued.storage.store import open_store

APP = """
import time
import queued

@queued.job(queue="reports", priority=3, timeout=20)
def report(kind, number=0):
    print(f"report {kind} {number}")
"""

TASKS = """
test:
  report:
    class: jobs.report
    args: [daily, {number: 7}]
    schedule: every second
  python:
    command: "import os, jobs; print('command in', os.getcwd(), jobs.report.name)"
    schedule: every day at 5am
  good:
    shell: "echo out; echo err >&2"
    schedule: every day at 5am
  bad:
    shell: [sh, -c, "echo it broke >&2; exit 3"]
    schedule: every day at 5am
  killed:
    shell: "kill -9 $$$$"
    schedule: every day at 5am
  slow:
    shell: "sleep 777 & sleep 778"
    schedule: every day at 5am
    timeout: 1 second
"""


def with_tasks(daemon: DaemonFactory, url: str, mode: str, **told: Any) -> Daemon:
    made = daemon(url, mode=mode, app=APP, start=False, **told)
    (made.directory / "recurring.yml").write_text(TASKS)
    return made.start()


def last_runs(daemon: Daemon) -> dict[str, Any]:
    """The last run of each task, as `queuectl` tells it."""
    return {task["key"]: task["last_run"] for task in daemon.json("recurring", "list")["tasks"]}


def wait_for_outcome(daemon: Daemon, key: str) -> recurring.Run:
    """The first run of the task that has ended. The database is asked, for a `queuectl` at each look costs a processor."""
    store = open_store(daemon.url, label="test")

    def ended() -> list[recurring.Run]:
        with store.reading() as session:
            return [run for run in recurring.runs(session, key, 100) if run.outcome in ("finished", "failed")]

    try:
        daemon.wait_until(ended, f"the end of {key}'s run")
        return ended()[-1]
    finally:
        store.close()


def test_a_class_s_job_runs_each_second_where_it_declares(database_url: str, mode: str, daemon: DaemonFactory) -> None:
    one = with_tasks(daemon, database_url, mode)
    one.wait_for_log("stdout: report daily 7")
    job = one.json("jobs", "show", str(wait_for_outcome(one, "report").job_id))
    assert (job["class"], job["queue"], job["priority"], job["options"]) == (
        "jobs.report",
        "reports",
        3,
        {"timeout": 20.0},
    )
    assert one.stop() == 0


def test_commands_and_programs_with_their_output_their_status_and_their_end(
    database_url: str, mode: str, daemon: DaemonFactory
) -> None:
    one = with_tasks(daemon, database_url, mode)
    keys = ("python", "good", "bad", "killed", "slow")
    assert one.queuectl("recurring", "run", *keys).returncode == 0
    for key in keys:
        wait_for_outcome(one, key)
    outcomes = {key: run for key, run in last_runs(one).items() if key in keys}
    assert {key: run["outcome"] for key, run in outcomes.items()} == {
        "python": "finished",
        "good": "finished",
        "bad": "failed",
        "killed": "failed",
        "slow": "failed",
    }
    errors = {key: one.json("jobs", "show", str(outcomes[key]["job"]))["error"] for key in ("bad", "killed", "slow")}
    assert errors["bad"]["message"] == "the program exited with status 3: it broke"
    assert errors["killed"]["message"] == "the program ended by SIGKILL"
    assert errors["slow"]["class"].endswith("JobTimedOut")
    one.wait_for_log(rf"job={outcomes['python']['job']} stdout: command in .*/app jobs.report")
    one.wait_for_log(rf"job={outcomes['good']['job']} stdout: out")
    one.wait_for_log(rf"job={outcomes['good']['job']} stderr: err")
    one.wait_for_log(rf"job={outcomes['bad']['job']} stderr: it broke")
    one.wait_until(lambda: not sleepers(one), "the end of what the program had started")
    assert one.stop() == 0


def sleepers(daemon: Daemon) -> list[int]:
    """The sleeping programs of the daemon's task `slow` that are still there."""
    found = []
    for pid in daemon.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] in ([b"sleep", b"777"], [b"sleep", b"778"]):
            found.append(pid)
    return found


def test_tasks_of_run_time_are_seen_edited_paused_and_gone_within_seconds(
    database_url: str, mode: str, daemon: DaemonFactory
) -> None:
    one = daemon(database_url, mode=mode, app=APP)
    call = ["recurring", "schedule", "ping", "--class", "jobs.report", "--args"]
    assert one.queuectl(*call, '["first"]', "every second").returncode == 0
    one.wait_for_log("report first 0", timeout=20)
    assert one.queuectl(*call, '["second"]', "every second").returncode == 0
    one.wait_for_log("report second 0", timeout=20)
    assert one.queuectl("recurring", "pause", "ping").returncode == 0
    before = one.json("recurring", "show", "ping")["runs"]
    time.sleep(2.5)
    assert one.json("recurring", "show", "ping")["runs"][0]["run_at"] == before[0]["run_at"]
    assert one.queuectl("recurring", "unschedule", "ping").returncode == 0
    assert one.json("recurring", "list")["tasks"] == []


@pytest.mark.parametrize("how", ["option", "variable"])
def test_recurring_tasks_are_skipped_where_that_is_asked_for(sqlite_url: str, daemon: DaemonFactory, how: str) -> None:
    told: dict[str, Any] = (
        {"arguments": ["--skip-recurring"]} if how == "option" else {"environment": {"QUEUED_SKIP_RECURRING": "1"}}
    )
    one = with_tasks(daemon, sqlite_url, "async", **told)
    assert [process["kind"] for process in one.json("processes")["processes"] if process["kind"] == "scheduler"] == []
    assert json.loads(one.queuectl("recurring", "list", "--json").stdout)["tasks"] == []
    assert one.stop() == 0
