"""What a run of a schedule stores is what the application's own enqueue would store; and how long the application may take."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from fixtures.daemon import Daemon, DaemonFactory

APP = """
import os, time
import ledger, queued

@queued.job(
    queue=lambda shop, **_: f"shop-{shop}",
    priority=lambda shop, **_: shop * 10,
    timeout=20,
    expires=3600,
    limits=queued.limits_concurrency(to=1, key=lambda shop, **_: shop),
    unique=queued.unique(lambda shop, **_: shop),
    rate=queued.rate_limit(5, per=60, key=lambda shop, **_: shop),
)
def everything(shop, seconds=0):
    ledger.note("ran", queued.current_job().id)
    time.sleep(seconds)

@queued.job(unique=queued.unique(on_conflict="raise"))
def raises(seconds=0):
    time.sleep(seconds)

@queued.job(limits=queued.limits_concurrency(to=1, on_conflict="discard"))
def discards(seconds=0):
    time.sleep(seconds)

@queued.job
def traced(word):
    ledger.note("ran", queued.current_job().id, word=word, context=dict(queued.current_context()))

@traced.before_enqueue
def before(unsent):
    ledger.note("before", 0, args=list(unsent.args))
    print("before the enqueue of", unsent.args[0])
    if unsent.args[0] == "no":
        raise queued.Abort("not today")
    if unsent.args[0] == "broken":
        raise KeyError("the callback is broken")
    if unsent.args[0] == "crash":
        os._exit(9)
    if unsent.args[0] == "late-error":
        pass

@traced.around_enqueue
def around(unsent):
    with queued.context(trace="t-1"):
        handle = yield
    ledger.note("around", handle.id, queue=handle.queue)

@traced.after_enqueue
def after(handle):
    ledger.note("after", handle.id)
    plain.enqueue(handle.id)
    if handle.args[0] == "late-error":
        raise ValueError("too late to matter")

@queued.job
def plain(of):
    ledger.note("ran-after", of)

@queued.job(queue=lambda: "slow")
def hangs():
    ledger.note("hung-job", 0)

@hangs.before_enqueue
def hang(unsent):
    ledger.note("hanging", 0)
    while os.path.exists(os.environ["HANG"]):
        time.sleep(0.05)

@queued.job(limits=queued.limits_concurrency(to=2))
def limited():
    ledger.note("ran", queued.current_job().id)

@queued.job
def quick():
    ledger.note("quick", queued.current_job().id)
"""

TASKS = """
test:
  everything: {class: jobs.everything, args: [3, {seconds: 0}], schedule: every day at 5am}
  held: {class: jobs.everything, args: [4, {seconds: 60}], schedule: every day at 5am}
  placed: {class: jobs.everything, args: [5], queue: here, priority: 7, timeout: 9, schedule: every day at 5am}
  raises: {class: jobs.raises, args: [{seconds: 60}], schedule: every day at 5am}
  discards: {class: jobs.discards, args: [{seconds: 60}], schedule: every day at 5am}
  traced: {class: jobs.traced, args: hello, schedule: every day at 5am}
  declined: {class: jobs.traced, args: ["no"], schedule: every day at 5am}
  broken: {class: jobs.traced, args: broken, schedule: every day at 5am}
  misfit: {class: jobs.traced, args: [1, 2, 3], schedule: every day at 5am}
  late-error: {class: jobs.traced, args: late-error, schedule: every day at 5am}
  crash: {class: jobs.traced, args: crash, schedule: every day at 5am}
  unknown: {class: jobs.trased, schedule: every day at 5am}
"""


def started(daemon: DaemonFactory, url: str, mode: str, tasks: str = TASKS, **told: Any) -> Daemon:
    made = daemon(url, mode=mode, app=APP, start=False, **told)
    (made.directory / "recurring.yml").write_text(tasks)
    made.start()
    made.wait_for_log("Loaded the application")
    return made


def ask(one: Daemon, *keys: str) -> None:
    assert one.queuectl("recurring", "run", *keys).returncode == 0


def newest(one: Daemon, key: str) -> Any:
    runs = one.json("recurring", "show", key)["runs"]
    return runs[0] if runs else None


def run_of(one: Daemon, key: str, *outcomes: str) -> Any:
    """The newest run once its outcome is one of these."""
    one.wait_until(lambda: (run := newest(one, key)) and run["outcome"] in outcomes, f"{key} {outcomes}")
    return newest(one, key)


def job_of(one: Daemon, run: Any) -> Any:
    return one.json("jobs", "show", str(run["job"]))


def test_a_run_carries_all_that_the_job_declares(database_url: str, mode: str, daemon: DaemonFactory) -> None:
    one = started(daemon, database_url, mode)
    ask(one, "everything", "placed")
    job = job_of(one, run_of(one, "everything", "finished"))
    assert (job["queue"], job["priority"], job["options"]) == ("shop-3", 30, {"timeout": 20.0})
    job = job_of(one, run_of(one, "placed", "finished"))
    assert (job["queue"], job["priority"], job["options"]) == ("here", 7, {"timeout": 9.0})

    # The unique key, the limit, the expiry and the rate hold for a run while its job goes on.
    ask(one, "held")
    first = run_of(one, "held", "running")
    facts = job_of(one, first)
    assert "jobs.everything/4" in str(facts), facts
    ask(one, "held")
    again = run_of(one, "held", "skipped")
    assert (again["job"], again["message"]) == (None, f"job {first['job']} has its unique key")

    ask(one, "raises", "discards")
    first = run_of(one, "raises", "running")
    run_of(one, "discards", "running")
    ask(one, "raises", "discards")
    assert run_of(one, "raises", "failed")["message"] == f"NotUnique: job {first['job']} has its unique key"
    assert run_of(one, "discards", "discarded")["job"] is not None
    one.wait_for_log("jobs.discards enqueued for discards .*, and discarded by its limit")
    assert one.stop() == 0


def test_enqueue_callbacks_run_once_for_each_run_with_their_context_and_their_enqueues(
    database_url: str, mode: str, daemon: DaemonFactory
) -> None:
    one = started(daemon, database_url, mode)
    ledger = daemon.ledger
    ask(one, "traced")
    job_id = run_of(one, "traced", "finished")["job"]
    (ran,) = ledger.wait_for("ran")
    assert (ran["job"], ran["word"], ran["context"]) == (job_id, "hello", {"trace": "t-1"})
    assert [entry["args"] for entry in ledger.entries("before")] == [["hello"]]
    assert [(entry["job"], entry["queue"]) for entry in ledger.wait_for("around")] == [(job_id, "default")]
    assert [entry["job"] for entry in ledger.wait_for("after")] == [job_id]
    # A callback may enqueue: it has no database, and the scheduler stores it.
    assert [entry["job"] for entry in ledger.wait_for("ran-after")] == [job_id]
    one.wait_for_log("scheduler-.* stdout: before the enqueue of hello")

    ask(one, "declined", "broken", "misfit", "late-error", "unknown")
    assert run_of(one, "declined", "skipped")["message"] == "an enqueue callback said no"
    assert run_of(one, "broken", "failed")["message"] == "KeyError: 'the callback is broken'"
    assert "TypeError" in run_of(one, "misfit", "failed")["message"]
    run_of(one, "late-error", "finished")
    one.wait_for_log("is stored, and its after_enqueue callback failed")
    one.wait_for_log("ValueError: too late to matter")
    # Another application may know the job; where none does, the job itself says so, with near names.
    failed = job_of(one, run_of(one, "unknown", "failed"))
    assert "jobs.traced" in failed["error"]["message"]
    assert one.stop() == 0


def test_a_process_that_dies_before_its_answer_holds_the_run_back_and_says_so(
    sqlite_url: str, daemon: DaemonFactory
) -> None:
    one = started(daemon, sqlite_url, "async")
    ask(one, "crash")
    one.wait_for_log(
        r"crash of .* is held back, tried again in 1 s: the process that was to answer ended \(exited with status 9\)"
    )
    one.wait_for_log("crash of .* is held back, tried again in 2 s")
    assert newest(one, "crash") is None
    assert (
        one.json("recurring", "show", "crash")["held"] == "the process that was to answer ended (exited with status 9)"
    )
    assert "held back" in one.queuectl("recurring", "list").stdout
    ask(one, "everything")
    run_of(one, "everything", "finished")
    assert one.stop() == 0


HANGING = """
test:
  hangs: {class: jobs.hangs, schedule: every day at 5am}
  quick: {class: jobs.quick, schedule: every second}
  limited: {class: jobs.limited, schedule: every second}
"""


def test_an_application_that_hangs_holds_up_its_own_task_alone(
    database_url: str, mode: str, daemon: DaemonFactory, tmp_path: Any
) -> None:
    flag = tmp_path / "hang"
    flag.touch()
    one = started(daemon, database_url, mode, HANGING, environment={"HANG": str(flag)})
    ledger = daemon.ledger
    ask(one, "hangs")
    ledger.wait_for("hanging")
    before = (len(ledger.entries("quick")), len(ledger.entries("ran")))
    ledger.wait_for("quick", before[0] + 3)
    ledger.wait_for("ran", before[1] + 3)
    one.wait_for_log("hangs of .* is held back, tried again in 1 s: the application did not answer within 10 s")
    flag.unlink()
    one.wait_until(lambda: (run := newest(one, "hangs")) and run["outcome"] == "finished", "the run that was held back")
    assert len(ledger.entries("hung-job")) == 1
    moments = sorted(run["run_at"] for run in one.json("recurring", "show", "quick", "--limit", "1000")["runs"])
    assert len(moments) == len(set(moments)) > 8
    assert one.stop() == 0


CONTENDED = """
test:
  contended: {class: jobs.everything, args: [7], schedule: every day at 5am}
  quick: {class: jobs.quick, schedule: every second}
  limited: {class: jobs.limited, schedule: every second}
"""


def test_a_key_in_an_application_s_open_transaction_holds_up_its_own_task_alone(
    postgresql_url: str, mode: str, daemon: DaemonFactory
) -> None:
    one = started(daemon, postgresql_url, mode, CONTENDED)
    ledger = daemon.ledger
    with psycopg.connect(postgresql_url) as application:
        application.execute("INSERT INTO queued.unique_keys (key, job_id) VALUES ('jobs.everything/7', 0)")
        ask(one, "contended")
        why = "another transaction, which has not ended yet, has a key of its job"
        one.wait_for_log(f"contended of .* is held back, tried again in 1 s: {why}")
        one.wait_for_log(f"contended of .* is held back, tried again in 2 s: {why}")
        assert one.json("recurring", "show", "contended")["held"] == why
        before = (len(ledger.entries("quick")), len(ledger.entries("ran")))
        ledger.wait_for("quick", before[0] + 3)
        ledger.wait_for("ran", before[1] + 3)
        application.rollback()
    run_of(one, "contended", "finished")
    for key in ("quick", "limited"):
        runs = one.json("recurring", "show", key, "--limit", "1000")["runs"]
        begun = sorted(datetime.fromisoformat(run["started_at"].replace("Z", "+00:00")) for run in runs)
        assert max(after - before for before, after in pairwise(begun)) < timedelta(seconds=5), runs
    assert "The database cannot be reached" not in one.log()
    assert one.stop() == 0


BUSY = """
test:
""" + "".join(
    f"  tick-{n}: {{class: jobs.traced, args: tick-{n}, schedule: every second, missed: all}}\n" for n in range(3)
)


def test_two_daemons_run_callbacks_once_for_each_moment_also_when_a_scheduler_is_killed(
    database_url: str, mode: str, daemon: DaemonFactory
) -> None:
    both = [started(daemon, database_url, mode, BUSY) for _ in range(2)]
    one, other = both
    daemon.ledger.wait_for("after", 6)
    if mode == "fork":
        schedulers = [
            process["pid"] for process in one.json("processes")["processes"] if process["kind"].lower() == "scheduler"
        ]
        for pid in schedulers:
            os.kill(pid, signal.SIGKILL)
    else:
        one.kill()
    daemon.ledger.wait_for("after", len(daemon.ledger.entries("after")) + 9, timeout=60)
    # Whoever was killed in the middle of a question has reserved a task for 30 s; all of its moments are made up for after that.
    for survivor in both if mode == "fork" else [other]:
        assert survivor.stop() == 0
    again = started(daemon, database_url, mode, BUSY)
    time.sleep(2)
    for n in range(3):
        runs = again.json("recurring", "show", f"tick-{n}", "--limit", "1000")["runs"]
        moments = [run["run_at"] for run in runs]
        assert len(moments) == len(set(moments))
        assert all(run["job"] is not None for run in runs)
    assert again.stop() == 0
    started_jobs = [entry["job"] for entry in daemon.ledger.entries("around")]
    assert len(started_jobs) == len(set(started_jobs))


@pytest.mark.parametrize("signal_number", [signal.SIGHUP])
def test_after_a_reload_the_new_code_decides(
    sqlite_url: str, daemon: DaemonFactory, mode: str, signal_number: int
) -> None:
    one = started(daemon, sqlite_url, mode)
    ask(one, "everything")
    assert job_of(one, run_of(one, "everything", "finished"))["queue"] == "shop-3"
    code = one.directory / "app" / "jobs.py"
    code.write_text(APP.replace('f"shop-{shop}"', 'f"store-{shop}"'))
    one.signal(signal_number)
    one.wait_for_log("Reloaded")
    before = newest(one, "everything")["run_at"]
    ask(one, "everything")
    one.wait_until(lambda: newest(one, "everything")["run_at"] != before, "another run")
    assert job_of(one, run_of(one, "everything", "finished"))["queue"] == "store-3"
    assert one.stop() == 0
