"""Hosts for the tests of this folder, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from system import repository as repositories
from system.host import Host
from system.lab import Lab
from system.network import Network
from system.repository import Repository
from system.requirements import obtain
from system.shop import APPLICATION, DATABASE, Shop
from system.tree import Tree
from system.wheels import build

#: Seconds for one test, without what its fixtures need: trees are made at the first use.
TIMEOUT = 240

NewHost = Callable[[Tree, str, str], Host]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "system" in item.path.parts:
            item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The namespaces of this run."""
    if (reason := obtain()) is not None:
        pytest.skip(f"no hosts can be booted: {reason}")
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def network(lab: Lab) -> Network:
    """The private network, without hosts."""
    return Network(lab)


@pytest.fixture(scope="session")
def repository() -> Repository:
    """The packages of this checkout."""
    return repositories.made()


@pytest.fixture(scope="session")
def new_host(lab: Lab, network: Network, repository: Repository) -> Iterator[NewHost]:
    """Makes hosts, not booted yet, that know the repository; they live as long as the run."""
    hosts: list[Host] = []

    def make(tree: Tree, name: str, address: str) -> Host:
        host = Host(lab, network, tree, name, address)
        hosts.append(host)
        repository.offer(host)
        return host

    yield make
    for host in hosts:
        host.destroy()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client library of this checkout, for virtual environments."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def shop(new_host: NewHost, wheel: Path) -> Shop:
    """Three hosts that were set up as the documentation says. A test leaves them with all jobs done and all services up."""
    db = new_host(DATABASE, "db", "10.0.0.3")
    worker = new_host(APPLICATION, "worker", "10.0.0.2")
    web = new_host(APPLICATION, "web", "10.0.0.1")
    return Shop(web, worker, db).build(wheel)


@pytest.fixture(scope="session")
def newer_repository(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Packages of a later version."""
    return repositories.made_newer(tmp_path_factory.mktemp("newer"))
