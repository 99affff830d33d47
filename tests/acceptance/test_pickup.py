"""How soon a job is noticed: by a wake, by polling when there is no wake, and at what cost when there is nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from acceptance.conftest import COMBINATIONS, Serve
from acceptance.service import Service

SOON = 0.5


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
    # Ready at once.
    delays = []
    for pause in (0.0, 0.1, 0.4, 0.0):
        time.sleep(pause)
        began = time.monotonic()
        [job] = service.enqueue(work.note.bind())
        delays.append(service.ledger.wait_for("start", 1, job)[0]["at"] - began)
    assert max(delays) < SOON, delays
    # Enqueued by a job: its own worker has rung the bell, and does not hear it.
    [parent] = service.enqueue(work.parent.bind(2))
    [told] = service.ledger.wait_for("enqueued", 1, parent)
    for child in told["children"]:
        assert service.ledger.wait_for("start", 1, child)[0]["at"] - told["at"] < SOON
    [parent] = service.enqueue(work.parent_at_finish.bind(False))
    end = service.ledger.wait_for("end", 1, parent)[0]["at"]
    [child] = service.until(
        lambda: [entry for entry in service.ledger.starts() if entry.get("label") == f"after {parent}"], "the child"
    )
    assert child["at"] - end < SOON
    # Delayed, and tried again: the dispatcher is told.
    began = time.monotonic()
    [job] = service.enqueue(work.note.set(wait=0.4).bind())
    assert 0.4 <= service.ledger.wait_for("start", 1, job)[0]["at"] - began < 0.4 + SOON
    [job] = service.enqueue(work.fail_until.bind(3))
    starts = service.ledger.wait_for("start", 3, job)
    assert starts[2]["at"] - starts[0]["at"] < 2 * SOON
    # Given back by an operator.
    [job] = service.enqueue(work.fail.bind())
    service.wait(job, "failed")
    assert service.daemon.queuectl("jobs", "retry", str(job)).returncode == 0
    retried = time.monotonic()
    assert service.ledger.wait_for("start", 2, job)[1]["at"] < retried + SOON


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
    for _ in range(4):
        began = time.monotonic()
        [job] = service.enqueue(work.note.bind())
        assert service.ledger.wait_for("start", 1, job)[0]["at"] - began < 0.2 + SOON
    began = time.monotonic()
    [job] = service.enqueue(work.note.set(wait=0.3).bind())
    assert 0.3 <= service.ledger.wait_for("start", 1, job)[0]["at"] - began < 0.3 + 2 * 0.2 + SOON


def test_an_idle_daemon_asks_next_to_nothing(serve: Serve, work: ModuleType, postgresql_url: str) -> None:
    service = serve(postgresql_url, mode="fork", workers=[{"threads": 3, "polling_interval": 0.1}], dispatchers=[{}])
    [job] = service.enqueue(work.note.bind())
    service.wait(job)
    service.close()
    # Backends tell their numbers late and in one go (idle ones after ten seconds), so a short look sees nothing or too much.
    service.until(lambda: transactions_a_second(postgresql_url, 2.5) < 3, "the daemon to come to rest", timeout=20)
    used, began = processor_seconds(service), time.monotonic()
    assert transactions_a_second(postgresql_url, 12.0) < 3
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
