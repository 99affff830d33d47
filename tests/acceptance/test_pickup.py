"""How soon a job is noticed: by a wake, by polling when there is no wake, and at what cost when there is nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from acceptance.conftest import COMBINATIONS, Serve
from acceptance.service import Service

#: Seconds in which a job is noticed, and how often a machine with other things to do may be later than that.
SOON, TRIES = 0.5, 4


def soon(measure: Callable[[], float], limit: float = SOON) -> None:
    """Measure until it was soon enough. What nobody is woken for is late each time: polling comes after half a minute."""
    late = []
    for _ in range(TRIES):
        late.append(measure())
        if late[-1] < limit:
            return
    raise AssertionError(f"late by {late} s, and should be by {limit:g} s at most")


def url_of(request: pytest.FixtureRequest, combination: str) -> str:
    url: str = request.getfixturevalue(f"{combination.partition('-')[0]}_url")
    return url


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_wake_brings_a_job_to_a_worker_that_hardly_polls(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str
) -> None:
    service = serve(
        url_of(request, combination),
        mode=combination.partition("-")[2],
        workers=[{"threads": 2, "polling_interval": 30}],
        dispatchers=[{"polling_interval": 30}],
    )

    def ready() -> float:
        began = time.monotonic()
        [job] = service.enqueue(work.note.bind())
        return service.ledger.wait_for("start", 1, job)[0]["at"] - began

    for pause in (0.0, 0.1, 0.4, 0.0):
        time.sleep(pause)
        soon(ready)

    def by_a_job() -> float:
        """Its own worker has rung the bell, and does not hear it."""
        [parent] = service.enqueue(work.parent.bind(2))
        [told] = service.ledger.wait_for("enqueued", 1, parent)
        return max(service.ledger.wait_for("start", 1, child)[0]["at"] for child in told["children"]) - told["at"]

    def by_a_job_at_its_end() -> float:
        [parent] = service.enqueue(work.parent_at_finish.bind(False))
        end = service.ledger.wait_for("end", 1, parent)[0]["at"]
        [child] = service.until(
            lambda: [entry for entry in service.ledger.starts() if entry.get("label") == f"after {parent}"], "the child"
        )
        return child["at"] - end

    def delayed() -> float:
        """The dispatcher is told."""
        began = time.monotonic()
        [job] = service.enqueue(work.note.set(wait=0.4).bind())
        late = service.ledger.wait_for("start", 1, job)[0]["at"] - began - 0.4
        assert late >= 0
        return late

    def tried_again() -> float:
        """Twice, with a twentieth of a second between."""
        [job] = service.enqueue(work.fail_until.bind(3))
        starts = service.ledger.wait_for("start", 3, job)
        return (starts[2]["at"] - starts[0]["at"]) / 2

    def given_back_by_an_operator() -> float:
        [job] = service.enqueue(work.fail.bind())
        service.wait(job, "failed")
        assert service.daemon.queuectl("jobs", "retry", str(job)).returncode == 0
        retried = time.monotonic()
        return service.ledger.wait_for("start", 2, job)[1]["at"] - retried

    for measure in (by_a_job, by_a_job_at_its_end, delayed, tried_again, given_back_by_an_operator):
        soon(measure)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_polling_alone_finds_jobs_too(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str
) -> None:
    service = serve(
        url_of(request, combination),
        mode=combination.partition("-")[2],
        workers=[{"threads": 2, "polling_interval": 0.2}],
        dispatchers=[{"polling_interval": 0.2}],
        database={"wake": False},
    )

    def started(wait: float) -> float:
        began = time.monotonic()
        [job] = service.enqueue(work.note.set(wait=wait).bind() if wait else work.note.bind())
        late = service.ledger.wait_for("start", 1, job)[0]["at"] - began - wait
        assert late >= 0
        return late

    for _ in range(4):
        soon(lambda: started(0.0), 0.2 + SOON)
    soon(lambda: started(0.3), 2 * 0.2 + SOON)


def test_an_idle_daemon_asks_next_to_nothing(serve: Serve, work: ModuleType, postgresql_url: str) -> None:
    service = serve(postgresql_url, mode="fork", workers=[{"threads": 3, "polling_interval": 0.1}], dispatchers=[{}])
    [job] = service.enqueue(work.note.bind())
    service.wait(job)
    service.close()
    # Backends tell their numbers late and in one go (idle ones after ten seconds), so a short look sees nothing or too much.
    service.until(lambda: transactions_a_second(postgresql_url, 2.5) < 3, "the daemon to come to rest")
    used, began = processor_seconds(service), time.monotonic()
    assert transactions_a_second(postgresql_url, 30.0) < 3
    assert (processor_seconds(service) - used) / (time.monotonic() - began) < 0.02


def transactions_a_second(url: str, seconds: float) -> float:
    """How many transactions the database ended in that time, but for those of the question itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        counts = []
        for pause in (seconds, 0.0):
            row = connection.execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            ).fetchone()
            assert row is not None
            counts.append(row[0])
            time.sleep(pause)
    return (counts[1] - counts[0] - 1) / seconds


def processor_seconds(service: Service) -> float:
    """What all processes of the daemon have used so far."""
    ticks = 0
    for pid in service.daemon.processes():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
