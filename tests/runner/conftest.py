"""A real fork server and real runners, under a chosen interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping

import pytest

from queued.domain.settings import AppSettings
from queued.processes.application import ForkServer
from runner.harness import APPS, Application, Start
from runner.interpreters import interpreters


@pytest.fixture(params=list(interpreters()))
def python(request: pytest.FixtureRequest) -> str:
    """Each interpreter in turn."""
    return interpreters()[request.param]


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts applications and ends them, with all their runners, after the test."""
    started: list[Application] = []

    def begin(
        *modules: str,
        path: str | os.PathLike[str] = APPS / "ordinary",
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> Application:
        runtime = tmp_path_factory.mktemp("run")
        server = ForkServer(AppSettings(str(path), python, modules, environment or {}), str(runtime), len(started) + 1)
        server.start()
        application = Application(server, runtime)
        started.append(application)
        return application

    yield begin
    for application in started:
        for runner in application.runners:
            runner.process.abandon()
        application.server.kill()
