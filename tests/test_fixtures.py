"""What the other tests stand on holds."""

from __future__ import annotations

import psycopg
import pytest

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
