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
            assert time.monotonic() - back < 8, "the daemon took long to go on"
        enqueued = producer.stop()
    service.close()
    ids = [*long, *(one.id for one in enqueued if one.id is not None)]
    assert len(ids) > 60
    service.wait_all(ids, timeout=30)
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
