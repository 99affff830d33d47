"""What every test can ask for: databases, a daemon, a ledger."""

from __future__ import annotations

import pytest

pytest_plugins = ["fixtures.postgresql", "fixtures.sqlite", "fixtures.ledger", "fixtures.daemon"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, empty database, once on SQLite and once on PostgreSQL: the same test must hold on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
