"""What every test can ask for: databases, a daemon, a ledger."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["fixtures.postgresql", "fixtures.sqlite", "fixtures.ledger", "fixtures.daemon", "fixtures.packages"]

# What a shell starts in the background ignores Ctrl-C, and so would all that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis would fail an example that takes a fifth of a second, as any may where other tests run beside it.
settings.register_profile("queued", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("queued")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, empty database, once on SQLite and once on PostgreSQL: the same test must hold on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """How many processes `-n auto` is: half as many again as there are processors, for half of a test's time is waiting.

    With more, the tests that take the time measure each other. `PYTEST_XDIST_AUTO_NUM_WORKERS` overrules it.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return max(2, min(8, len(os.sched_getaffinity(0)) * 3 // 2))
