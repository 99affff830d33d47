"""What the daemon does itself on a schedule: by its scheduler, once, with its end in the list of runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fixtures.supervised import Supervised, wait_for
from queued.domain.jobs import NewJob, Outcome
from queued.domain.settings import RecurringTaskSettings, RetentionSettings, SchedulerSettings, Settings
from queued.storage import claimed, heartbeats, recurring
from queued.storage.store import Store
from storage.conftest import Claimer


def task(name: str, **told: Any) -> RecurringTaskSettings:
    given: dict[str, Any] = {"key": name, "schedule": "every day at 5am", "class_name": f"queued.{name}", **told}
    return RecurringTaskSettings(**given)


def with_tasks(settings: Settings, *tasks: RecurringTaskSettings) -> Settings:
    return replace(settings, recurring=tasks, scheduler=SchedulerSettings(polling_interval=0.5), source="/etc/q.yml")


def run(store: Store, key: str) -> recurring.Run:
    """Ask for a run and wait for its end."""
    with store.reading() as session:
        before = len(recurring.runs(session, key, 100))
    with store.transaction() as session:
        recurring.ask(session, key)
    store.control(f"recurring {key}")

    def ended() -> recurring.Run | None:
        with store.reading() as session:
            runs = recurring.runs(session, key, 100)
        return runs[0] if len(runs) > before and runs[0].outcome != "running" else None

    found: recurring.Run = wait_for(ended, f"the end of {key}")
    return found


@pytest.fixture
def start(supervise: Callable[..., Supervised], settings: Settings, store: Store) -> Callable[..., Supervised]:
    def start(*tasks: RecurringTaskSettings, mode: str = "fork", **told: Any) -> Supervised:
        one = supervise(with_tasks(replace(settings, **told), *tasks), mode=mode)
        one.wait_for_rows("Scheduler", 1)
        wait_for(lambda: _known(store, tasks), "the tasks")
        return one

    return start


def _known(store: Store, tasks: tuple[RecurringTaskSettings, ...]) -> bool:
    with store.reading() as session:
        return len(recurring.listed(session)) == len(tasks)


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_a_heartbeat_is_a_row_and_a_line_of_the_log(start: Any, store: Store, mode: str) -> None:
    one = start(task("heartbeat", arguments='{"args":["all is well"],"kwargs":{}}'), mode=mode)
    ended = run(store, "heartbeat")
    assert (ended.outcome, ended.job_id) == ("finished", None)
    with store.reading() as session:
        (beat,) = heartbeats.recent(session, 10)
    assert (beat.environment, beat.message) == ("test", "all is well")
    assert beat.age < 60
    one.wait_for_log("[HEARTBEAT]")
    (line,) = [line for line in one.log().splitlines() if "[HEARTBEAT]" in line]
    told = json.loads(line.partition("[HEARTBEAT] ")[2])
    assert sorted(told) == ["environment", "hostname", "message", "timestamp"]
    assert told["hostname"] == beat.hostname
    one.signal(signal.SIGTERM)
    assert one.wait() == 0


def test_finished_jobs_are_cleared_in_batches_by_their_retention(start: Any, store: Store, settings: Settings) -> None:
    ids = store.enqueue([NewJob("app.work") for _ in range(23)])
    claimer = Claimer(store)
    done = [Outcome(job.id, job.lease, "done", ended_ago=100.0) for job in claimer.claim(20)]
    with store.transaction() as session:
        claimed.finish(session, done, claimed.Worker("here", "worker-1"))
        yesterday = "1" if store.dialect == "sqlite" else "now() - interval '1 day'"
        store.backend.script(
            f"UPDATE {'queued_' if store.dialect == 'sqlite' else 'queued.'}jobs SET enqueued_at = {yesterday};"
        )
    start(task("clear_finished_jobs"), retention=RetentionSettings(finished=50.0, batch_size=3))
    assert run(store, "clear_finished_jobs").message == "deleted 20 finished"
    assert run(store, "clear_finished_jobs").message == "deleted nothing"
    with store.reading() as session:
        assert session.one("insights.job", id=ids[-1]) is not None
        assert session.one("insights.job", id=ids[0]) is None


def test_a_database_is_copied_and_the_copy_verified_or_it_is_said_why_not(
    start: Any, store: Store, tmp_path: Path
) -> None:
    call = json.dumps({"args": [], "kwargs": {"directory": str(tmp_path / "copies")}})
    start(task("backup_database", arguments=call), task("verify_backup", arguments=call))
    if store.dialect == "postgresql":
        ended = run(store, "backup_database")
        assert ended.outcome == "skipped"
        assert "pg_dump" in (ended.message or "")
        return
    assert "there is no copy" in (run(store, "verify_backup").message or "")
    assert "copied to" in (run(store, "backup_database").message or "")
    ended = run(store, "verify_backup")
    assert ended.outcome == "finished"
    assert "is whole" in (ended.message or "")
    next((tmp_path / "copies").glob("*.json")).write_text("{}")
    assert run(store, "verify_backup").outcome == "failed"


def test_arguments_that_do_not_fit_are_told(start: Any, store: Store) -> None:
    start(task("heartbeat", arguments='{"args":[],"kwargs":{"massage":"x"}}'))
    ended = run(store, "heartbeat")
    assert ended.outcome == "failed"
    assert "massage" in (ended.message or "")


def test_two_schedulers_do_a_chore_once(supervise: Callable[..., Supervised], settings: Settings, store: Store) -> None:
    chosen = with_tasks(settings, task("heartbeat", schedule="every second"))
    both = [supervise(chosen), supervise(chosen)]
    wait_for(lambda: _beats(store) >= 4, lambda: both[0].log())
    for one in both:
        one.signal(signal.SIGTERM)
    assert [one.wait() for one in both] == [0, 0]
    with store.reading() as session:
        moments = sorted(run.run_at for run in recurring.runs(session, "heartbeat", 100) if run.outcome == "finished")
    assert len(moments) == _beats(store)
    assert moments == [moments[0] + timedelta(seconds=n) for n in range(len(moments))]


def _beats(store: Store) -> int:
    with store.reading() as session:
        return len(heartbeats.recent(session, 1000))


def test_a_chore_whose_scheduler_died_does_not_stay_running_for_ever(store: Store) -> None:
    with store.transaction() as session:
        now = session.one("insights.now")
        assert now is not None
        recurring.record(session, "heartbeat", now["now_at"], outcome="running")
    with store.transaction() as session:
        assert recurring.abandon(session, 3600.0) == 0
        assert recurring.abandon(session, -60.0) == 1
    with store.reading() as session:
        assert [run.outcome for run in recurring.runs(session, "heartbeat", 10)] == ["failed"]
