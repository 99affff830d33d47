"""What the other tests stand on holds."""

from __future__ import annotations

import psycopg
import pytest

from fixtures.daemon import DaemonFactory
from fixtures.guest import ledger as guest
from fixtures.ledger import Ledger
from fixtures.postgresql import GUARDED_PASSWORD, GUARDED_ROLE, PostgreSQLServer


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
