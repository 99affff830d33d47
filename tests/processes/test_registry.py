"""Whom a supervisor may call dead."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from queued.domain.settings import Settings
from queued.processes.identity import hostname, identity
from queued.processes.registry import Registry
from queued.storage import processes
from queued.storage.store import Store


@pytest.fixture
def worker(store: Store) -> int:
    """A worker's registration; the process is ours, and lives."""
    with store.transaction() as session:
        return processes.register(
            session,
            name="worker-1",
            kind="Worker",
            supervisor=None,
            pid=os.getpid(),
            hostname=hostname(),
            identity=identity(),
            metadata={},
        )


def tick_for(registry: Registry, seconds: float, meanwhile: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        registry.tick()
        meanwhile()
        time.sleep(0.05)


def test_a_supervisor_that_was_frozen_calls_nobody_dead_who_was_frozen_with_it(
    settings: Settings, store: Store, worker: int
) -> None:
    def beat() -> None:
        with store.transaction() as session:
            assert processes.beat(session, worker)

    settings = replace(settings, alive_threshold=1.5)
    registry = Registry("supervisor-1", "Supervisor(fork)", settings)
    registry.enter()
    tick_for(registry, settings.alive_threshold + 0.5, beat)
    time.sleep(settings.alive_threshold + 0.5)  # nobody here runs
    tick_for(registry, 0.5, lambda: None)
    beat()
    # One who is silent for long while the supervisor looks on is dead all the same.
    tick_for(registry, 2 * settings.alive_threshold + 0.5, lambda: None)
    with store.reading() as session:
        assert processes.find(session, "worker-1") is None
    assert registry.leave()
