"""Hosts for the tests of this folder, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from system import repository as repositories
from system.host import Host
from system.lab import Lab
from system.network import Network
from system.repository import Repository
from system.requirements import obtain
from system.tree import Tree

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
        pytest.skip(reason)
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


@pytest.fixture(scope="module")
def new_host(lab: Lab, network: Network, repository: Repository) -> Iterator[NewHost]:
    """Makes hosts, not booted yet, that know the repository; they live as long as the module's tests."""
    hosts: list[Host] = []

    def make(tree: Tree, name: str, address: str) -> Host:
        host = Host(lab, network, tree, name, address)
        hosts.append(host)
        repository.offer(host)
        return host

    yield make
    for host in hosts:
        host.destroy()
