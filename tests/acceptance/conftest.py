"""The real daemon as a real process: on SQLite and PostgreSQL, with processes and with threads."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from acceptance.service import APPS, Service
from fixtures.daemon import DaemonFactory
from fixtures.guest import ledger as guest_ledger
from fixtures.ledger import Ledger
from fixtures.postgresql import PostgreSQLServer

#: Databases and modes: what holds on one must hold on all.
COMBINATIONS = [f"{database}-{mode}" for database in ("sqlite", "postgresql") for mode in ("fork", "async")]

Serve = Callable[..., Service]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share a daemon in one process of a run by pytest-xdist: each process would start its own."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "service" in callspec.params and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{callspec.params['service']}"))


@pytest.fixture(scope="session")
def work() -> Iterator[ModuleType]:
    """The module of the jobs, under the name that the application has for it, to enqueue from."""
    sys.modules["ledger"] = guest_ledger
    spec = importlib.util.spec_from_file_location("work", APPS / "ordinary" / "work.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["work"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["work"], sys.modules["ledger"]


@pytest.fixture
def serve(daemon: DaemonFactory, ledger: Ledger, work: ModuleType) -> Iterator[Serve]:
    """Start a daemon with the jobs of `work`: `serve(url, mode=…, workers=[…])`, as `daemon` takes it."""
    services: list[Service] = []

    def start(url: str, **options: Any) -> Service:
        services.append(Service(daemon(url, **{"app": APPS / "ordinary", "imports": ["work"], **options}), ledger))
        return services[-1]

    yield start
    for service in services:
        service.close()


@pytest.fixture(scope="module", params=COMBINATIONS)
def service(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgresql_server: PostgreSQLServer,
    work: ModuleType,
) -> Iterator[Service]:
    """One daemon for the tests of a file, once for each combination: for tests that leave it as they found it."""
    database, _, mode = request.param.partition("-")
    directory = tmp_path_factory.mktemp(request.param)
    name = None
    if database == "postgresql":
        name = postgresql_server.create_database()
        url = postgresql_server.url(name)
    else:
        url = f"sqlite:///{directory / 'queued.sqlite3'}"
    ledger = Ledger(directory / "ledger.jsonl")
    daemons = DaemonFactory(directory, ledger)
    settings = getattr(request.module, "SETTINGS", {})
    try:
        found = Service(daemons(url, mode=mode, app=APPS / "ordinary", imports=["work"], **settings), ledger)
        yield found
        found.close()
    finally:
        daemons.destroy()
        if name is not None:
            postgresql_server.drop_database(name)


@pytest.fixture
def label(request: pytest.FixtureRequest, counter: Iterator[int]) -> str:
    """A word that no other test of the run uses."""
    return f"{request.node.name}-{next(counter)}"


@pytest.fixture(scope="session")
def counter() -> Iterator[int]:
    """Numbers that are used once."""
    return itertools.count(1)
