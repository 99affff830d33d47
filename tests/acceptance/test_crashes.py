"""The crash table of docs/design.md, each row by a real death."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from types import ModuleType

import pytest

from acceptance.conftest import COMBINATIONS, Serve
from acceptance.service import Service, is_alive, kill
from fixtures.daemon import registered
from queued.processes.supervisor import ONE_REQUEST

SETTINGS = {"settings": {"interrupt_grace": 0.3}}
#: Seconds. Less than what has to be waited for where a promise is broken: a job of a minute, or the 25 s after which a
#: silent process is taken for dead; more than a machine with much else to do may lose meanwhile.
AT_ONCE = 20.0
ALONE = [{"threads": 1, "polling_interval": 0.1}]


def test_a_job_that_ends_its_process_is_tried_again_and_then_failed(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.leave.bind(7))
    found = service.wait(job, "failed")
    assert found.failure is not None
    assert found.failure.error_class == "queued.JobCrashed"
    assert "exit status 7" in found.failure.message
    assert [entry["attempt"] for entry in service.ledger.starts(job)] == [1, 2, 3]
    assert [attempt.error_class for attempt in found.attempts] == ["queued.JobCrashed"] * 3
    assert all(attempt.started_at is None or attempt.started_at <= attempt.ended_at for attempt in found.attempts)
    assert after(service, work)


def test_a_job_that_crashes_once_succeeds_the_second_time(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.leave_once.bind())
    found = service.wait(job)
    assert [entry["attempt"] for entry in service.ledger.starts(job)] == [1, 2]
    assert [attempt.error_class for attempt in found.attempts] == ["queued.JobCrashed"]


def test_a_segmentation_fault_is_the_jobs_own_and_named(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.segfault.bind())
    found = service.wait(job, "failed")
    assert found.failure is not None
    assert "SIGSEGV" in found.failure.message
    assert service.ledger.jobs("start")[job] == 3
    assert after(service, work)


def test_a_killed_runner_costs_the_running_job_one_attempt(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.stubborn_at_first.bind())
    kill(service.started(job))
    found = service.wait(job)
    assert found.attempt == 2
    assert [attempt.error_class for attempt in found.attempts] == ["queued.JobCrashed"]
    assert "SIGKILL" in found.attempts[0].message
    assert service.ledger.jobs("start")[job] == 2
    assert service.ledger.jobs("end")[job] == 1


def test_the_poison_job_is_failed_and_its_neighbours_succeed(service: Service, work: ModuleType) -> None:
    poison, *innocent = service.enqueue(
        work.leave.bind(9), *[work.note.bind(seconds=0.3) for _ in range(5)], *[work.note.bind() for _ in range(20)]
    )
    service.wait(poison, "failed")
    service.wait_all(innocent)
    assert service.ledger.jobs("start")[poison] == 3
    ran = service.ledger.jobs("start")
    # Only what ran beside it at its first, shared attempt can have been started twice; alone it takes nobody with it.
    assert sum(ran[job] - 1 for job in innocent) <= 2
    assert all(service.ledger.jobs("end")[job] == 1 for job in innocent)


def test_a_job_that_never_ends_is_stopped_by_its_timeout(service: Service, work: ModuleType) -> None:
    jobs = service.enqueue(work.endless.bind(), work.aendless.bind())
    for job in jobs:
        found = service.wait(job, "failed")
        assert found.failure is not None
        assert found.failure.error_class == "queued.JobTimedOut"
        [started], [broken] = service.ledger.starts(job), service.ledger.entries("broken", job)
        assert 0.45 <= broken["at"] - started["at"] < 5.0


def test_a_job_that_hangs_in_c_is_killed_and_its_neighbours_go_back_without_blame(
    service: Service, work: ModuleType
) -> None:
    hanging, neighbour = service.enqueue(work.stuck_in_c.bind(), work.stubborn_at_first.bind())
    runner = service.started(neighbour)
    assert service.started(hanging) == runner
    found = service.wait(hanging, "failed")
    assert found.failure is not None
    assert found.failure.error_class == "queued.JobTimedOut"
    assert "0.5 s" in found.failure.message
    found = service.wait(neighbour)
    assert (found.attempt, found.attempts) == (1, ())
    assert found.interruptions is not None
    assert (found.interruptions.times, found.interruptions.attempt) == (1, 1)
    assert found.interruptions.reason == f"its runner was killed because job {hanging} did not end when told to"
    service.daemon.wait_for_log(re.escape(f"told to (1 job: {hanging}); cut short beside it: {neighbour}"))
    said = [line for line in service.daemon.log().splitlines() if f" job={neighbour} " in line]
    assert any(
        re.search(r"attempt 1 was cut short after \d+\.\d s, ready again: its runner was killed", line) for line in said
    )
    assert not is_alive(runner)
    assert service.ledger.jobs("start")[hanging] == 1
    assert service.ledger.jobs("start")[neighbour] == 2
    assert service.ledger.jobs("end")[neighbour] == 1


def test_a_job_that_was_cut_short_for_others_three_times_runs_alone(
    service: Service, work: ModuleType, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    [neighbour] = service.enqueue(work.wait_for.bind(str(go)))
    for n in range(1, 4):
        runner = service.started(neighbour, n)
        [hanging] = service.enqueue(work.stuck_in_c.bind())
        assert service.started(hanging) == runner
        service.wait(hanging, "failed")
    runner = service.started(neighbour, 4)
    [hanging] = service.enqueue(work.stuck_in_c.bind())
    assert service.started(hanging) != runner
    service.wait(hanging, "failed")
    go.touch()
    found = service.wait(neighbour)
    assert found.interruptions is not None
    assert found.interruptions.times == 3
    assert (found.attempt, found.attempts) == (1, ())
    assert service.ledger.jobs("start")[neighbour] == 4


def test_a_running_job_that_heeds_is_cancelled_by_an_operator(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.heedful.bind())
    runner = service.started(job)
    done = service.daemon.queuectl("jobs", "cancel", str(job))
    assert done.returncode == 0, done.stderr
    service.wait(job, "cancelled")
    assert [entry["error"] for entry in service.ledger.entries("broken", job)] == ["JobCancelled"]
    assert is_alive(runner)


def test_a_running_job_that_does_not_heed_is_cancelled_with_its_process(service: Service, work: ModuleType) -> None:
    job, neighbour = service.enqueue(work.stubborn.bind(), work.stubborn_at_first.bind())
    runner = service.started(job)
    assert service.started(neighbour) == runner
    assert service.daemon.queuectl("jobs", "cancel", str(job)).returncode == 0
    service.wait(job, "cancelled")
    assert not is_alive(runner)
    found = service.wait(neighbour)
    assert (found.attempt, found.attempts) == (1, ())
    assert service.ledger.jobs("start")[job] == 1


def test_a_killed_fork_server_is_replaced_and_no_job_is_lost(service: Service, work: ModuleType) -> None:
    running, *waiting = service.enqueue(work.note.bind(seconds=1.0), *[work.note.bind() for _ in range(5)])
    runner = service.started(running)
    loaded = service.daemon.log().count("Loaded the application")
    kill(fork_server(service))
    service.until(
        lambda: service.daemon.log().count("Loaded the application") > loaded, "the application to be loaded again"
    )
    service.wait_all([running, *waiting])
    assert service.ledger.jobs("start")[running] <= 2
    assert after(service, work)
    service.until(lambda: not is_alive(runner) or runner in service.daemon.processes(), "no runner astray")


@pytest.mark.parametrize("combination", ["sqlite-fork", "postgresql-fork"])
def test_a_killed_worker_is_replaced_at_once_and_only_what_ran_is_blamed(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str
) -> None:
    service = serve(url_of(request, combination), mode="fork", workers=ALONE)
    service.wait_all(service.enqueue(*[work.note.bind() for _ in range(30)]))  # so that it takes some in advance
    running, *waiting = service.enqueue(work.stubborn_at_first.bind(), *[work.note.bind() for _ in range(8)])
    runner = service.started(running)
    [worker] = service.processes()
    kill(service.processes()[worker])
    killed = time.monotonic()
    service.wait_all([running, *waiting])
    assert time.monotonic() - killed < AT_ONCE
    found = service.job(running)
    assert [attempt.error_class for attempt in found.attempts] == ["queued.JobCrashed"]
    assert found.attempts[0].process_name == worker
    for job in waiting:
        assert (service.job(job).attempt, service.job(job).attempts) == (1, ())
        assert service.ledger.jobs("start")[job] == 1
    assert not is_alive(runner)
    assert worker not in service.processes()
    assert service.ledger.jobs("start")[running] == 2


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_after_the_death_of_the_supervisor_the_next_one_recovers_at_once(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str
) -> None:
    mode = combination.partition("-")[2]
    settings = {"shutdown_timeout": 0.5, "interrupt_grace": 0.3}
    service = serve(url_of(request, combination), mode=mode, workers=ALONE, settings=settings)
    service.wait_all(service.enqueue(*[work.note.bind() for _ in range(30)]))
    running, *waiting = service.enqueue(work.stubborn_at_first.bind(), *[work.note.bind() for _ in range(8)])
    service.started(running)
    orphans = service.daemon.processes()
    service.daemon.kill()
    service.daemon.start()
    service.wait_all([running, *waiting])
    # In fork mode the workers outlive their supervisor for a moment, and stop in order: then nothing has crashed.
    found = service.job(running)
    assert {attempt.error_class for attempt in found.attempts} <= {"queued.JobCrashed"}
    assert service.ledger.jobs("start")[running] == 2
    for job in waiting:
        assert (service.job(job).attempt, service.job(job).attempts) == (1, ())
        assert service.ledger.jobs("start")[job] == 1
    service.until(lambda: not any(is_alive(pid) for pid in orphans), "no process of the first daemon to be left")
    names = [name for name, *_ in registered(service.daemon.url)]
    assert len(names) == 4, f"rows of the dead were left: {names}"


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_term_lets_running_jobs_finish_and_gives_the_rest_back(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str
) -> None:
    service = serve(url_of(request, combination), mode=combination.partition("-")[2], workers=ALONE)
    service.wait_all(service.enqueue(*[work.note.bind() for _ in range(30)]))
    running, *waiting = service.enqueue(work.note.bind(seconds=1.0), *[work.note.bind() for _ in range(8)])
    service.started(running)
    assert service.daemon.stop() == 0
    assert service.job(running).state == "finished"
    for job in waiting:
        assert (service.job(job).state, service.job(job).attempt, service.job(job).attempts) == ("ready", 1, ())
        assert service.ledger.starts(job) == []
    assert registered(service.daemon.url) == []
    assert service.daemon.processes() == []


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_job_that_ignores_term_goes_back_to_ready_without_blame_and_runs_again(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str
) -> None:
    service = serve(
        url_of(request, combination),
        mode=combination.partition("-")[2],
        settings={"shutdown_timeout": 0.5, "interrupt_grace": 0.3},
    )
    job, heedful = service.enqueue(work.stubborn_at_first.bind(), work.heedful.bind())
    service.started(job)
    service.started(heedful)
    began = time.monotonic()
    service.daemon.stop()
    assert time.monotonic() - began < AT_ONCE
    for each in (job, heedful):
        found = service.job(each)
        assert (found.state, found.attempt, found.attempts) == ("ready", 1, ())
    assert service.daemon.processes() == []
    service.daemon.start()
    service.wait(job)
    assert service.ledger.jobs("start")[job] == 2
    assert service.job(job).attempt == 1


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("how", ["QUIT", "TERM twice"])
def test_an_immediate_stop_waits_for_nobody_and_loses_nothing(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str, how: str
) -> None:
    service = serve(url_of(request, combination), mode=combination.partition("-")[2], settings={"shutdown_timeout": 30})
    ids = service.enqueue(*[work.stubborn.bind() for _ in range(3)], *[work.note.bind() for _ in range(3)])
    for job in ids[:3]:
        service.started(job)
    began = time.monotonic()
    if how == "QUIT":
        service.daemon.signal(signal.SIGQUIT)
    else:
        service.daemon.signal(signal.SIGTERM)
        service.daemon.wait_for_log("Stopping")
        time.sleep(ONE_REQUEST)  # nearer to each other two TERM are one
        service.daemon.signal(signal.SIGTERM)
    service.daemon.wait()
    assert time.monotonic() - began < AT_ONCE
    assert service.daemon.processes() == []
    for job in ids:
        found = service.job(job)
        assert (found.state, found.attempt, found.attempts) == ("ready", 1, ()), service.report()


def after(service: Service, work: ModuleType) -> bool:
    """Whether the same daemon goes on."""
    [job] = service.enqueue(work.note.bind())
    return service.wait(job).state == "finished"


def fork_server(service: Service) -> int:
    """The pid of the loaded application."""
    said = [line for line in service.daemon.log().splitlines() if "Loaded the application (pid: " in line]
    return int(said[-1].partition("(pid: ")[2].partition(",")[0])


def url_of(request: pytest.FixtureRequest, combination: str) -> str:
    """A fresh database of that combination."""
    url: str = request.getfixturevalue(f"{combination.partition('-')[0]}_url")
    return url
