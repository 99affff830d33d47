"""What becomes of jobs: each kind of end, once for every database and mode."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from acceptance.service import Service, named

SETTINGS = {
    "workers": [
        {"queues": ["first", "second", "default"], "threads": 1, "polling_interval": 0.1},
        {"queues": ["parallel"], "threads": 3, "polling_interval": 0.1},
        {"queues": ["tasks"], "tasks": 5, "polling_interval": 0.1},
    ]
}


def test_a_job_runs_once_and_is_finished(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.note.bind("hello"))
    found = service.wait(job)
    assert service.ledger.jobs("start")[job] == service.ledger.jobs("end")[job] == 1
    assert found.attempt == 1
    assert found.attempts == ()
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.enqueued_at <= found.finished_at


def test_a_job_that_lasts_is_seen_to_run_and_since_when(service: Service, work: ModuleType) -> None:
    end = service.ledger.path.with_name(f"{uuid.uuid4().hex}.end")
    [job] = service.enqueue(work.wait_for.bind(str(end)))
    service.until(lambda: service.job(job).started_at, "the start to be stored")
    found = service.job(job)
    assert found.state == "running"
    assert found.claimed_at is not None
    assert found.started_at is not None
    assert abs((found.started_at - found.claimed_at).total_seconds()) < 5.0
    assert found.process is not None
    assert found.process.name in service.processes()
    end.touch()
    service.wait(job)


def test_a_job_that_raises_is_failed_with_its_error_and_where(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.fail.bind())
    found = service.wait(job, "failed")
    assert found.failure is not None
    assert (found.failure.error_class, found.failure.message) == ("work.NoLuckError", "nothing went well")
    assert any("work.py" in line and "in fail" in line for line in found.failure.backtrace)
    assert service.ledger.jobs("start")[job] == 1
    [attempt] = found.attempts
    assert attempt.hostname
    assert attempt.process_name in service.processes()
    assert attempt.started_at is not None
    assert attempt.started_at <= attempt.ended_at


def test_a_retried_job_keeps_its_id_and_what_went_wrong_before(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.fail_until.bind(3))
    found = service.wait(job)
    assert [entry["attempt"] for entry in service.ledger.starts(job)] == [1, 2, 3]
    assert found.attempt == 3
    assert [(attempt.attempt, attempt.message) for attempt in found.attempts] == [
        (1, "attempt 1 of 3"),
        (2, "attempt 2 of 3"),
    ]
    for attempt in found.attempts:
        assert attempt.hostname
        assert attempt.started_at is not None
        assert attempt.started_at <= attempt.ended_at
    assert found.attempts[0].ended_at < found.attempts[1].ended_at


def test_an_operators_retry_gives_a_failed_job_all_its_attempts_again(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.fail_until.bind(5))
    assert service.wait(job, "failed").attempt == 3
    done = service.daemon.queuectl("jobs", "retry", str(job))
    assert done.returncode == 0, done.stderr
    found = service.wait(job)
    # Attempts go on being counted; what retry_on allows is counted anew.
    assert [entry["attempt"] for entry in service.ledger.starts(job)] == [1, 2, 3, 4, 5]
    assert [attempt.counted for attempt in found.attempts] == [False, False, False, True]


def test_a_discarded_job_ends_quietly_and_keeps_its_error(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.unwanted.bind())
    found = service.wait(job, "discarded")
    assert found.failure is not None
    assert found.failure.error_class == "work.NotWantedError"
    assert service.ledger.jobs("start")[job] == 1


def test_scheduled_jobs_run_in_the_order_of_their_times_and_not_before(service: Service, work: ModuleType) -> None:
    began = time.monotonic()
    late, early = service.enqueue(work.note.set(wait=0.9).bind("late"), work.note.set(wait=0.4).bind("early"))
    assert service.job(late).state == "scheduled"
    service.wait_all([late, early])
    starts = {entry["job"]: entry["at"] - began for entry in service.ledger.starts()}
    assert 0.4 <= starts[early] < starts[late]
    assert starts[late] >= 0.9


def test_smaller_priorities_run_first(service: Service, work: ModuleType, label: str) -> None:
    with held(service, work):
        jobs = [work.note.set(priority=priority).bind([label, priority]) for priority in (5, -3, 0, 10)]
        ids = service.enqueue(*jobs)
    service.wait_all(ids)
    assert order(service, label) == [-3, 0, 5, 10]


def test_queues_are_served_in_the_order_in_which_a_worker_lists_them(
    service: Service, work: ModuleType, label: str
) -> None:
    with held(service, work):
        ids = service.enqueue(
            *[work.note.set(queue=queue, priority=-1).bind([label, queue]) for queue in ("default", "second")],
            work.note.set(queue="first", priority=9).bind([label, "first"]),
        )
    service.wait_all(ids)
    assert order(service, label) == ["first", "second", "default"]


def test_a_paused_queue_starts_nothing_until_it_is_resumed(service: Service, work: ModuleType) -> None:
    assert service.daemon.queuectl("queues", "pause", "second").returncode == 0
    waiting, other = service.enqueue(work.note.set(queue="second").bind(), work.note.set(queue="default").bind())
    service.wait(other)
    [other] = service.enqueue(work.note.bind())
    service.wait(other)
    assert service.job(waiting).state == "ready"
    assert service.ledger.starts(waiting) == []
    assert service.daemon.queuectl("queues", "resume", "second").returncode == 0
    resumed = time.monotonic()
    service.wait(waiting)
    # Less than the 5 s that an idle worker rests on PostgreSQL: it was woken.
    assert service.ledger.starts(waiting)[0]["at"] - resumed < 4


def test_priorities_hold_while_another_queue_is_paused(service: Service, work: ModuleType, label: str) -> None:
    assert service.daemon.queuectl("queues", "pause", "second").returncode == 0
    with held(service, work):
        paused = service.enqueue(work.note.set(queue="second", priority=-9).bind([label, "paused"]))
        ids = service.enqueue(*[work.note.set(priority=priority).bind([label, priority]) for priority in (2, 1)])
    service.wait_all(ids)
    assert order(service, label) == [1, 2]
    assert service.daemon.queuectl("queues", "resume", "second").returncode == 0
    service.wait_all(paused)


def test_jobs_run_side_by_side_in_threads(service: Service, work: ModuleType) -> None:
    ids = service.enqueue(*[work.note.set(queue="parallel").bind(seconds=0.5) for _ in range(3)])
    service.wait_all(ids)
    assert overlap(service, ids) == 3


def test_coroutines_run_side_by_side_as_tasks_of_one_thread(service: Service, work: ModuleType) -> None:
    ids = service.enqueue(*[work.anote.set(queue="tasks").bind(seconds=0.5) for _ in range(5)])
    service.wait_all(ids)
    assert overlap(service, ids) == 5
    assert len({entry["pid"] for entry in service.ledger.starts() if entry["job"] in ids}) == 1


def test_a_coroutine_runs_in_a_worker_with_threads(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.anote.set(queue="parallel").bind(seconds=0.05))
    service.wait(job)
    assert service.ledger.jobs("end")[job] == 1


def test_a_plain_function_runs_in_a_worker_with_tasks_and_holds_up_no_task(service: Service, work: ModuleType) -> None:
    slow, quick = service.enqueue(work.note.set(queue="tasks").bind(seconds=0.6), work.anote.set(queue="tasks").bind())
    service.wait_all([slow, quick])
    assert service.ledger.ends(quick)[0]["at"] < service.ledger.ends(slow)[0]["at"]


def test_a_job_enqueues_others_without_a_database_in_its_process(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.parent.bind(3))
    service.wait(job)
    [told] = service.ledger.entries("enqueued", job)
    assert told["url"] is None
    assert told["drivers"] == []
    assert len(set(told["children"])) == 3
    service.wait_all(told["children"])


def test_what_is_enqueued_at_finish_is_stored_with_the_end(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.parent_at_finish.bind(False))
    service.wait(job)
    # In the same transaction: whoever sees the end sees the new job too.
    children = [child for child in service.jobs().values() if child.id > job and child.class_name == "work.note"]
    assert len(children) == 1
    service.wait(children[0].id)
    assert service.ledger.starts(children[0].id)[0]["label"] == f"after {job}"


def test_what_is_enqueued_at_finish_is_not_stored_when_the_job_fails(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.parent_at_finish.bind(True))
    service.wait(job, "failed")
    [after] = service.enqueue(work.note.bind())
    service.wait(after)
    assert [child for child in service.jobs() if job < child < after] == []


def test_all_that_a_job_says_is_in_the_log_with_its_id(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.talk.bind())
    service.wait(job)
    for said in (
        "stdout: said on stdout",
        "stderr: said on stderr",
        "the.application: said by logging",
        "stdout: said by C code",
        "stdout: said by a child process",
    ):
        service.daemon.wait_for_log(rf"job={job} {said}\n")


def test_a_job_nobody_knows_fails_with_near_names_and_the_worker_goes_on(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(named("work.nota").bind())
    found = service.wait(job, "failed")
    assert found.failure is not None
    assert found.failure.error_class == "queued.UnknownJob"
    assert "'work.nota'" in found.failure.message
    assert "work.note" in found.failure.message
    [after] = service.enqueue(work.note.bind())
    service.wait(after)


@contextmanager
def held(service: Service, work: ModuleType) -> Iterator[None]:
    """The one thread of the first worker is busy while the body enqueues, so that all of it is there when it chooses.

    Afterwards it stays so until nothing is claimed but what holds it: a worker gives back what it took in advance.
    """
    end = service.ledger.path.with_name(f"{uuid.uuid4().hex}.end")
    [blocker] = service.enqueue(work.wait_for.bind(str(end)))
    service.started(blocker)
    yield
    service.until(lambda: running(service) == [blocker], "the worker to give back what it took in advance")
    end.touch()


def running(service: Service) -> list[int]:
    """The jobs that a worker has, whether it runs them or not yet."""
    return [job.id for job in service.jobs().values() if job.state == "running"]


def order(service: Service, label: str) -> list[Any]:
    """The second words of the labels of this test's jobs, as they began."""
    return [said[1] for said in service.labels() if isinstance(said, list) and said[0] == label]


def overlap(service: Service, ids: list[int]) -> int:
    """How many of the jobs ran at one moment."""
    starts = [entry["at"] for entry in service.ledger.starts() if entry["job"] in ids]
    ends = [entry["at"] for entry in service.ledger.ends() if entry["job"] in ids]
    return max(sum(1 for at in starts if at <= moment) - sum(1 for at in ends if at < moment) for moment in starts)
