"""What the other tests stand on holds."""

from __future__ import annotations

import psycopg
import pytest

from fixtures.daemon import DaemonFactory
from fixtures.guest import ledger as guest
from fixtures.ledger import Ledger
from fixtures.postgresql import GUARDED_PASSWORD, GUARDED_ROLE, PostgreSQLServer
from queued.domain.jobs import NewJob
from queued.storage.store import open_store


def test_every_test_gets_an_empty_database_of_its_own(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql://"))


def test_the_server_keeps_its_data_and_its_port_over_a_crash(
    postgresql_server: PostgreSQLServer, postgresql_url: str
) -> None:
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    postgresql_server.restart("immediate")
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_the_server_is_durable(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as connection:
        settings = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
    assert settings == [("on",), ("on",)]


def test_a_wrong_password_is_refused(postgresql_server: PostgreSQLServer) -> None:
    psycopg.connect(postgresql_server.url("postgres", GUARDED_ROLE, GUARDED_PASSWORD)).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgresql_server.url("postgres", GUARDED_ROLE, "wrong"))


def test_the_ledger_reads_what_a_job_wrote(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guest.VARIABLE, str(ledger.path))
    with guest.attempt(7, note="first"):
        assert [entry["job"] for entry in ledger.starts()] == [7]
    with pytest.raises(OSError, match="full"), guest.attempt(8):
        raise OSError("disk full")
    assert ledger.jobs("start") == {7: 1, 8: 1}
    assert ledger.jobs("end") == {7: 1}
    assert ledger.entries("broken", 8)[0]["error"] == "OSError"


def test_a_daemon_that_cannot_start_says_why_in_the_failure(daemon: DaemonFactory, sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="it exited with"):
        daemon(sqlite_url, arguments=["--no-such-option"])


JOBS = """
import ledger
import queued

@queued.job
def work():
    with ledger.attempt(queued.current_job().id):
        print("working")
"""


def test_a_daemon_is_ready_runs_a_job_that_the_ledger_knows_and_leaves_no_process_behind(
    daemon: DaemonFactory, database_url: str, mode: str, ledger: Ledger
) -> None:
    running = daemon(database_url, mode=mode, app=JOBS, workers=[{"threads": 2, "processes": 2}])
    assert running.actors() == {"supervisor": 1, "worker": 2, "dispatcher": 1}
    store = open_store(database_url)
    [job] = store.enqueue([NewJob("jobs.work")])
    store.close()
    ledger.wait_for("end", job=job)
    assert len(ledger.starts(job)) == 1
    running.wait_for_log(f"job={job} .*working")
    running.wait_until(lambda: running.json("jobs", "show", str(job))["state"] == "finished", "the job's end")
    assert running.pid in running.processes()
    assert running.stop() == 0
    assert running.processes() == []


def test_a_killed_daemon_can_be_started_again_on_the_same_database(
    daemon: DaemonFactory, sqlite_url: str, ledger: Ledger
) -> None:
    running = daemon(sqlite_url, app=JOBS)
    running.kill()
    assert running.wait() == -9
    running.start()
    store = open_store(sqlite_url)
    [job] = store.enqueue([NewJob("jobs.work")])
    store.close()
    ledger.wait_for("end", job=job)
    assert running.stop() == 0
