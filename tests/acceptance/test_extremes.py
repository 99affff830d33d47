"""Jobs with the largest and strangest values that can be stored: they end, and they bring no worker down."""

from __future__ import annotations

import json
import time

import pytest

from fixtures.daemon import Daemon, DaemonFactory
from queued.domain.jobs import NewJob
from queued.storage.store import open_store

APPLICATION = """
import datetime

import queued


@queued.job()
async def take(data):
    pass


@queued.job()
def far():
    last = datetime.datetime.max.replace(tzinfo=datetime.timezone.utc)
    take.set(wait_until=last).enqueue(1)
    take.set(wait_until=last, at_finish=True).enqueue(1)
"""
ENDED = frozenset({"finished", "failed", "discarded", "cancelled"})


def new(name: str, *args: object) -> NewJob:
    return NewJob(f"jobs.{name}", json.dumps({"args": args, "kwargs": {}}))


def run(daemon: Daemon, jobs: list[NewJob], patience: float = 60.0) -> list[str]:
    """Store the jobs in one transaction and wait until they have ended; their states."""
    store = open_store(daemon.url)
    try:
        ids = store.enqueue(jobs)
        deadline = time.monotonic() + patience
        while True:
            with store.reading() as session:
                rows = [session.one("insights.state", id=job) for job in ids]
            states = [row["state"] for row in rows if row is not None]
            if all(state in ENDED for state in states):
                return states
            assert time.monotonic() < deadline, f"{states}\n{daemon.log()}"
            time.sleep(0.05)
    finally:
        store.close()


def test_many_large_jobs_at_once_are_handed_over_in_several_frames(daemon: DaemonFactory, sqlite_url: str) -> None:
    running = daemon(sqlite_url, app=APPLICATION, workers=[{"tasks": 70, "polling_interval": 0.1}])
    assert set(run(running, [new("take", "x" * 1_000_000)] * 70)) == {"finished"}
    assert "Worker ended" not in running.log()


def test_a_job_that_no_frame_can_hold_fails_and_its_neighbours_run(daemon: DaemonFactory, sqlite_url: str) -> None:
    running = daemon(sqlite_url, app=APPLICATION, workers=[{"threads": 3, "polling_interval": 0.1}])
    states = run(running, [new("take", 1), new("take", "x" * (65 * 1024 * 1024)), new("take", 2)])
    assert states == ["finished", "failed", "finished"]
    assert "Worker ended" not in running.log()


def test_a_job_may_schedule_another_at_the_end_of_the_calendar(daemon: DaemonFactory, database_url: str) -> None:
    running = daemon(database_url, app=APPLICATION)
    assert run(running, [new("far")]) == ["finished"]
    store = open_store(database_url)
    with store.reading() as session:
        counted = session.all("insights.scheduled_by_queue", cap=10)
    store.close()
    assert [row["n"] for row in counted] == [2]


@pytest.mark.parametrize("options", ["priority=2**70", "priority='high'", "queue=['mails']", "queue=''"])
def test_a_retry_into_a_lane_that_cannot_be_is_refused_where_it_is_declared(
    daemon: DaemonFactory, sqlite_url: str, options: str
) -> None:
    source = f"import queued\n@queued.job(retry_on=queued.retry_on(ValueError, {options}))\ndef broken():\n    pass\n"
    running = daemon(sqlite_url, app=source, ready=False)
    running.wait_for_log(f"retry_on: {options.partition('=')[0]}=")
