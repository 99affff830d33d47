"""Hosts for the tests of this folder, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from system.host import Host
from system.lab import Lab
from system.network import Network
from system.requirements import obtain
from system.tree import Tree

#: Seconds for one test, without what its fixtures need: trees are made at the first use.
TIMEOUT = 240


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


@pytest.fixture(scope="module")
def network(lab: Lab) -> Iterator[Network]:
    ...
