"""PostgreSQL goes away and comes back under load: nothing that was acknowledged is lost, nobody has to help."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from acceptance.conftest import Serve
from acceptance.load import Producer
from acceptance.service import Service
from acceptance.wire import Line
from fixtures.postgresql import PostgreSQLServer


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_restart_of_the_database_under_load_loses_nothing(
    serve: Serve,
    work: ModuleType,
    postgresql_server: PostgreSQLServer,
    postgresql_url: str,
    mode: str,
    how: str,
    tmp_path: Path,
) -> None:
    service = serve(postgresql_url, mode=mode, workers=[{"threads": 3, "processes": 2, "polling_interval": 0.1}])
    before = set(service.daemon.processes())
    with Producer(postgresql_url, tmp_path / "enqueued") as producer:
        service.ledger.wait_for("end", 30)
        long = service.enqueue(*[work.note.bind(seconds=1.5) for _ in range(2)])
        service.started(long[0])
        for pause in (0.0, 1.0):  # back at once, and back when everybody has noticed
            ended = len(service.ledger.ends())
            postgresql_server.restart(how, pause)
            back = time.monotonic()
            service.ledger.wait_for("end", ended + 30)
            assert time.monotonic() - back < 20, "the daemon took long to go on"
        enqueued = producer.stop()
    service.close()
    ids = [*long, *(one.id for one in enqueued if one.id is not None)]
    assert len(ids) > 60
    service.wait_all(ids)
    starts, ends = service.ledger.jobs("start"), service.ledger.jobs("end")
    assert all(ends[job] >= 1 for job in ids)
    # A crash of the server may undo a claim that was not yet on disk: such a job runs again. An orderly restart undoes nothing.
    twice = [job for job in ids if starts[job] > 1]
    assert len(twice) <= (0 if how == "fast" else 40), f"{twice}\n{service.report()}"
    assert one_end_each(postgresql_url, ids)
    log = service.daemon.log()
    assert "The database cannot be reached, trying again" in log
    assert "The database is back" in log
    assert "Traceback" not in log
    assert set(service.processes().values()) <= before, "a worker was replaced, and need not have been"
    assert service.daemon.stop() == 0
    assert service.daemon.processes() == []


def test_a_stop_while_the_database_is_away_ends_in_time_and_loses_no_end(
    serve: Serve, work: ModuleType, postgresql_server: PostgreSQLServer, postgresql_url: str, mode: str
) -> None:
    service = serve(
        postgresql_url, mode=mode, workers=[{"threads": 1, "polling_interval": 0.1}], settings={"shutdown_timeout": 1}
    )
    job, waiting = service.enqueue(work.note.bind(seconds=0.7), work.note.bind())
    service.started(job)
    service.close()
    postgresql_server.stop()
    try:
        service.ledger.wait_for("end", 1, job)
        began = time.monotonic()
        service.daemon.stop()
        assert time.monotonic() - began < 20
        assert service.daemon.processes() == []
    finally:
        postgresql_server.start()
    service.daemon.start()
    service.wait_all([job, waiting])
    # How the job had ended was written down beside the database, and the next daemon found it.
    assert service.ledger.jobs("start") == {job: 1, waiting: 1}
    assert "Traceback" not in service.daemon.log()


@pytest.mark.parametrize("what", ["a claim", "an end"])
def test_an_answer_of_the_database_that_is_lost_on_its_way_loses_no_job(
    serve: Serve, work: ModuleType, postgresql_server: PostgreSQLServer, postgresql_url: str, mode: str, what: str
) -> None:
    with Line(postgresql_server.port) as line:
        service = serve(
            postgresql_url.replace(f":{postgresql_server.port}/", f":{line.port}/"),
            mode=mode,
            workers=[{"threads": 1, "polling_interval": 0.1}],
            database={"wake": False},
        )
        direct = Service(service.daemon, service.ledger, url=postgresql_url)
        if what == "a claim":
            line.lose_the_answer_to(b"INSERT INTO queued.claimed")
            [job] = direct.enqueue(work.note.bind())
            direct.until(lambda: direct.job(job).state == "running", "the claim to be stored")
            time.sleep(0.1)
            assert service.ledger.starts(job) == [], "the answer was not lost"
        else:
            line.lose_the_answer_to(b"INSERT INTO queued.finished")
            [job] = direct.enqueue(work.note.bind())
            direct.wait(job)
        line.cut()
        direct.wait(job)
        [after] = direct.enqueue(work.note.bind())
        direct.wait(after)
        assert service.ledger.jobs("start")[job] == 1
        assert direct.job(job).attempt == 1
        assert service.daemon.stop() == 0
        direct.close()


def test_what_a_job_enqueues_is_stored_once_also_when_the_answer_to_the_commit_is_lost(
    serve: Serve, work: ModuleType, postgresql_server: PostgreSQLServer, postgresql_url: str
) -> None:
    with Line(postgresql_server.port) as line:
        url = postgresql_url.replace(f":{postgresql_server.port}/", f":{line.port}/")
        service = serve(url, mode="fork", database={"wake": False})
        direct = Service(service.daemon, service.ledger, url=postgresql_url)
        line.lose_the_answer_to(b"INSERT INTO queued.jobs", b"COMMIT")
        [job] = direct.enqueue(work.parent.bind(1))
        direct.until(lambda: len(direct.jobs()) == 2, "the new job to be stored")
        time.sleep(0.1)
        assert service.ledger.entries("enqueued", job) == [], "the answer was not lost"
        line.cut()
        direct.wait(job)
        [told] = service.ledger.entries("enqueued", job)
        direct.wait_all(told["children"])
        assert sorted(direct.jobs()) == sorted([job, *told["children"]])
        assert service.daemon.stop() == 0
        direct.close()


def one_end_each(url: str, ids: list[int]) -> bool:
    """Whether each job has exactly one row that says how it ended, and no row anywhere else."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT job_id FROM queued.finished UNION ALL SELECT job_id FROM queued.failed "
            "UNION ALL SELECT job_id FROM queued.ready UNION ALL SELECT job_id FROM queued.claimed "
            "UNION ALL SELECT job_id FROM queued.scheduled"
        ).fetchall()
    ended = [job for (job,) in rows]
    return len(ended) == len(set(ended)) and set(ids) <= set(ended)
