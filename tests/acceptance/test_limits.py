"""Limits of jobs that the application declares, through the real daemon."""

from __future__ import annotations

from types import ModuleType

import queued
from acceptance.conftest import Serve
from acceptance.service import Service, kill

SETTINGS = {
    "workers": [{"threads": 3, "processes": 2, "polling_interval": 0.1}],
    "dispatchers": [{"polling_interval": 0.1}],
}


def overlaps(service: Service, ids: list[int]) -> int:
    """The most of these jobs that ran at the same moment."""
    running, most = 0, 0
    for entry in service.ledger.entries():
        if entry["job"] in ids and entry["event"] in {"start", "end", "broken"}:
            running += 1 if entry["event"] == "start" else -1
            most = max(most, running)
    return most


def test_jobs_of_one_account_run_one_by_one_and_those_of_two_do_not_wait_for_each_other(
    service: Service, work: ModuleType, label: str
) -> None:
    ones = service.enqueue(*[work.settle_account.bind(f"{label}-1", 0.05) for _ in range(6)])
    others = service.enqueue(*[work.settle_account.bind(f"{label}-2", 0.05) for _ in range(6)])
    service.wait_all([*ones, *others])
    assert overlaps(service, ones) == overlaps(service, others) == 1


def test_a_limit_of_two_is_used_to_the_full(service: Service, work: ModuleType) -> None:
    jobs = service.enqueue(*[work.two_at_once.bind(0.1) for _ in range(8)])
    service.wait_all(jobs)
    assert overlaps(service, jobs) == 2


def test_a_job_that_conflicts_may_be_discarded_and_its_handle_says_so(
    service: Service, work: ModuleType, label: str
) -> None:
    queued.configure(service.daemon.url)
    first, second = queued.enqueue_many([work.only_one.bind(label, 0.5), work.only_one.bind(label)])
    assert (first.discarded, second.discarded) == (False, True)
    assert second.id is not None
    told = service.job(second.id)
    assert told.state == "discarded"
    assert told.failure is not None
    assert told.failure.error_class == "queued.LimitReached"
    assert first.id is not None
    service.wait(first.id)
    assert not work.only_one.enqueue(label).discarded


def test_a_job_that_enqueues_limited_jobs_hears_what_became_of_them(
    service: Service, work: ModuleType, label: str
) -> None:
    [job] = service.enqueue(work.enqueue_only_one_twice.bind(label))
    service.wait(job)
    [entry] = [entry for entry in service.ledger.entries("told") if entry.get("job") == job]
    assert entry["discarded"] == [False, True]


def test_limited_retries_and_failures_free_their_slots(service: Service, work: ModuleType, label: str) -> None:
    jobs = service.enqueue(*[work.fail_alone.bind(label) for _ in range(4)])
    service.wait_all(jobs, "failed")
    assert overlaps(service, jobs) == 1
    with service.store() as store, store.reading() as session:
        assert session.all("limits.strays", batch_size=10) == []
        assert session.all("limits.waited_for", batch_size=10) == []


def test_what_a_blocked_job_waits_for_is_shown(service: Service, work: ModuleType, label: str) -> None:
    holder, waiting = service.enqueue(*[work.settle_account.bind(label, 600.0) for _ in range(2)])
    service.started(holder)
    shown = service.daemon.queuectl("jobs", "show", str(waiting)).stdout
    assert "blocked" in shown
    assert f"held by job {holder}" in shown
    assert "next in line" in shown
    assert str(waiting) in service.daemon.queuectl("jobs", "list", "--state", "blocked").stdout
    assert "1 blocked" in service.daemon.queuectl("status").stdout
    assert f"work.settle_account/{label}" in service.daemon.queuectl("locks", "list").stdout
    assert service.daemon.queuectl("jobs", "cancel", str(holder)).returncode == 0
    service.wait(holder, "cancelled")
    service.started(waiting)
    assert service.daemon.queuectl("jobs", "cancel", str(waiting)).returncode == 0
    service.wait(waiting, "cancelled")


def test_a_holder_whose_process_is_killed_keeps_its_slot_until_its_fate_is_known(
    serve: Serve, database_url: str, work: ModuleType
) -> None:
    service = serve(database_url, workers=[{"threads": 2, "processes": 2, "polling_interval": 0.1}])

    first, second = service.enqueue(work.settle_account.bind("one", 1.0), work.settle_account.bind("one"))
    kill(service.started(first))
    service.wait_all([first, second])
    assert service.ledger.jobs("start")[first] == 2
    # The slot went with the job into its second attempt.
    assert [entry["job"] for entry in service.ledger.entries("start")] == [first, first, second]
