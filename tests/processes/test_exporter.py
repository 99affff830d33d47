"""The exporter on both databases."""

from __future__ import annotations

import os
import time

import pytest

from queued.domain.jobs import NewJob
from queued.domain.settings import Settings
from queued.processes import role
from queued.processes.exporter import Exporter
from queued.processes.role import Liveness
from queued.storage.store import Store


def test_it_shows_that_it_lives_between_the_statements_of_a_reading(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.enqueue([NewJob("test.job", queue=f"q{n}") for n in range(20)])
    monkeypatch.setattr(role, "PULSE", 0.0)
    exporter = Exporter("exporter-1", settings, {})
    exporter.store = store
    heard, told = os.pipe()
    exporter.liveness = Liveness(told)
    exporter._read(time.monotonic())
    os.close(told)
    with open(heard, "rb") as pipe:
        assert len(pipe.read()) > 30, "some twelve statements, and one for each queue"
