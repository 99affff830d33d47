"""A worker that stands still for so long that it is taken for dead, and then wakes."""

from __future__ import annotations

import re
import signal
from types import ModuleType

import pytest

from acceptance.conftest import Serve
from acceptance.service import Service, is_alive, kill

SHORT = {"heartbeat_interval": 0.3, "alive_threshold": 4.0, "shutdown_timeout": 2}


def test_the_late_word_of_a_worker_that_was_given_up_is_refused_and_the_worker_replaced(
    serve: Serve, work: ModuleType, database_url: str
) -> None:
    service = serve(
        database_url, mode="fork", settings=SHORT, workers=[{"threads": 1, "processes": 2, "polling_interval": 0.1}]
    )
    [job] = service.enqueue(work.note.bind(seconds=1.0))
    runner = service.started(job)
    frozen, pid = worker_of(service, runner)
    # The worker stands still, its runner does not: the job ends, and nobody hears of it.
    kill(pid, signal.SIGSTOP)
    service.ledger.wait_for("end", 1, job)
    others = service.enqueue(*[work.note.bind() for _ in range(10)])
    service.wait(job)
    service.wait_all(others)
    assert frozen not in service.processes()
    assert not is_alive(runner)
    kill(pid, signal.SIGCONT)
    service.until(lambda: not is_alive(pid), "the frozen worker to stop itself")
    service.until(lambda: len(service.processes()) == 2, "another in its place")
    assert "Declared dead by another process" in service.daemon.log()
    [after] = service.enqueue(work.note.bind())
    service.wait(after)
    assert service.ledger.jobs("start")[job] == 1, (
        "its end stands in the runner's slot file, though its worker never told"
    )
    service.daemon.wait_for_log(
        rf"{frozen} job={job} ended here as done, but its lease \d+ had been given to another: refused"
    )
    assert all(service.ledger.jobs("start")[other] == 1 for other in others)


def test_a_worker_frozen_with_its_runner_costs_one_attempt_and_its_result_is_refused(
    serve: Serve, work: ModuleType, database_url: str
) -> None:
    service = serve(
        database_url, mode="fork", settings=SHORT, workers=[{"threads": 1, "processes": 2, "polling_interval": 0.1}]
    )
    [job] = service.enqueue(work.note.bind(seconds=1.0))
    runner = service.started(job)
    frozen, pid = worker_of(service, runner)
    for each in (pid, runner):
        kill(each, signal.SIGSTOP)
    found = service.wait(job)
    assert [attempt.error_class for attempt in found.attempts] == ["queued.JobCrashed"]
    assert found.attempts[0].process_name == frozen
    for each in (runner, pid):
        kill(each, signal.SIGCONT)
    service.until(lambda: not is_alive(pid), "the frozen worker to stop itself")
    service.until(lambda: len(service.processes()) == 2, "another in its place")
    assert service.ledger.jobs("start")[job] == 2
    assert service.job(job).state == "finished"
    assert service.job(job).attempt == 2


@pytest.mark.parametrize("database", ["postgresql"])
def test_a_host_that_was_given_up_by_another_host_has_its_results_refused(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, database: str
) -> None:
    """The other host cannot kill the frozen runner: the job runs there too, and only one of the two ends counts."""
    url = request.getfixturevalue(f"{database}_url")
    here = serve(url, mode="fork", settings=SHORT, workers=[{"threads": 1, "polling_interval": 0.1}])
    [job] = here.enqueue(work.note.bind(seconds=3.0))
    runner = here.started(job)
    _, pid = worker_of(here, runner)
    here.until(lambda: here.job(job).started_at, "the start of a job that lasts to be told")
    move_to_another_host(here)
    for each in (here.daemon.pid, pid):
        kill(each, signal.SIGSTOP)
    there = serve(url, mode="fork", settings=SHORT, workers=[{"threads": 1, "polling_interval": 0.1}], ready=False)
    there.started(job, 2)
    kill(pid, signal.SIGCONT)
    here.daemon.wait_for_log(rf"job={job} ended here as done, but its lease \d+ had been given to another: refused")
    kill(here.daemon.pid, signal.SIGCONT)
    found = there.wait(job)
    assert found.attempt == 2
    assert here.ledger.jobs("start")[job] == here.ledger.jobs("end")[job] == 2
    here.until(lambda: not is_alive(pid), "the frozen worker to stop itself")
    assert "Declared dead by another process" in here.daemon.log()
    [after] = here.enqueue(work.note.bind())
    there.wait(after)


def worker_of(service: Service, runner: int) -> tuple[str, int]:
    """The name and the pid of the worker whose runner this is."""
    for name, pid in service.processes().items():
        command = re.search(rf"{name}-\d\.slots", files_of(runner))
        if command is not None:
            return name, pid
    raise AssertionError(f"nobody owns the runner {runner}")


def files_of(pid: int) -> str:
    """The files that a process has mapped."""
    with open(f"/proc/{pid}/maps") as maps:
        return maps.read()


def move_to_another_host(service: Service) -> None:
    """Let the registered processes look as if they ran elsewhere: nobody here can tell whether they live."""
    with service.store() as store, store.transaction() as session:
        session.all("processes.registered")
        connection = store.backend.connection()  # type: ignore[union-attr]
        connection.execute("UPDATE queued.processes SET identity = '{\"boot\": \"another\"}', hostname = 'elsewhere'")
