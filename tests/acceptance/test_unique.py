"""Unique jobs, jobs that must start in time, and jobs that take turns, through the real daemon."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType

import pytest

import queued
from acceptance.service import Service

SETTINGS = {
    "workers": [{"threads": 3, "polling_interval": 0.1}],
    "dispatchers": [{"polling_interval": 0.1}],
}


def test_a_unique_job_is_there_once_until_it_has_ended(service: Service, work: ModuleType, label: str) -> None:
    queued.configure(service.daemon.url)
    first = work.once.enqueue(label, 1.0)
    again = work.once.enqueue(label)
    assert (again.existing, again.id) == (True, first.id)
    assert service.started(first.id)
    assert work.once.enqueue(label).existing
    service.wait(first.id)
    fresh = work.once.enqueue(label)
    assert not fresh.existing
    service.wait(fresh.id)


def test_until_start_a_job_may_enqueue_itself_anew(service: Service, work: ModuleType, label: str) -> None:
    queued.configure(service.daemon.url)
    first = work.once_waiting.enqueue(label)
    service.wait(first.id)
    [entry] = [entry for entry in service.ledger.entries("told") if entry["job"] == first.id]
    assert entry["existing"] is False
    with pytest.raises(queued.NotUnique) as raised:
        work.once_waiting.enqueue(label)
    assert raised.value.job_id != first.id
    one, other = queued.enqueue_many([work.once_waiting.bind(label), work.note.bind(label)])
    assert isinstance(one.error, queued.NotUnique)
    assert one.id is None
    service.wait(other.id)


def test_a_key_held_while_waiting_is_free_while_the_job_runs_and_held_again_for_its_retry(
    service: Service, work: ModuleType, tmp_path: Path
) -> None:
    queued.configure(service.daemon.url)
    go = tmp_path / "go"
    first = work.once_at_rest.enqueue(str(go))
    assert first.id is not None
    service.started(first.id)
    running = work.once_at_rest.set(wait=3600).enqueue(str(go))
    assert not running.existing
    assert service.daemon.queuectl("jobs", "cancel", str(running.id)).returncode == 0
    go.touch()
    service.until(lambda: service.job(first.id).state == "scheduled", "the wait for its retry")
    again = work.once_at_rest.enqueue(str(go))
    assert (again.existing, again.id) == (True, first.id)
    assert service.daemon.queuectl("jobs", "cancel", str(first.id)).returncode == 0


def test_a_job_that_could_not_start_in_time_is_discarded_and_says_why(
    service: Service, work: ModuleType, label: str
) -> None:
    [intime] = service.enqueue(work.in_good_time.bind(label))
    service.wait(intime)
    assert service.daemon.queuectl("queues", "pause", "default").returncode == 0
    [late] = service.enqueue(work.in_time.bind(label))
    time.sleep(0.6)
    assert service.daemon.queuectl("queues", "resume", "default").returncode == 0
    found = service.wait(late, "discarded")
    assert found.failure is not None
    assert found.failure.error_class == "queued.JobExpired"
    assert late not in service.ledger.jobs("start")


def test_no_more_start_in_a_period_than_the_rate_says(service: Service, work: ModuleType, label: str) -> None:
    began = time.monotonic()
    jobs = service.enqueue(*[work.fetch.bind(label) for _ in range(6)])
    service.wait_all(jobs)
    starts = sorted(entry["at"] - began for entry in service.ledger.entries("start") if entry["job"] in jobs)
    # A turn is when a job becomes ready. How long its start takes from there differs, but none starts before its turn: two
    # in the first second, two in the next. A hundredth for the database's clock, which is another one.
    assert all(at > number // 2 - 0.01 for number, at in enumerate(starts)), starts
