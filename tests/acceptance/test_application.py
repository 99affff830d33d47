"""The application as the daemon sees it: it loads or does not, it changes, and it has an interpreter of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import ModuleType

import pytest
import yaml

from acceptance.conftest import Serve
from acceptance.service import Service, named
from fixtures.daemon import ENVIRONMENT, DaemonFactory
from fixtures.ledger import Ledger
from runner.interpreters import interpreters

SOURCE = """\
import ledger
import queued

@queued.job()
def tell():
    ledger.note("told", queued.current_job().id, value={value})
"""

SLOW = """
@queued.job()
def slow():
    import time

    with ledger.attempt(queued.current_job().id):
        time.sleep(1)
"""


class Changing:
    """A daemon whose application's one module can be written anew."""

    def __init__(self, factory: DaemonFactory, ledger: Ledger, url: str, mode: str, source: str, ready: bool) -> None:
        settings = {"start_retries": 1}
        self.service = Service(factory(url, mode=mode, app=source, settings=settings, ready=ready), ledger)
        self.module = self.service.daemon.directory / "app" / "jobs.py"
        self.tell = named("jobs.tell")

    def value(self) -> object:
        """What the application's code says now."""
        [job] = self.service.enqueue(self.tell.bind())
        told = self.service.ledger.wait_for("told", 1, job)
        self.service.wait(job)
        return told[0]["value"]

    def reload(self, answer: str) -> None:
        """HUP, and wait for what the log says to it."""
        before = self.service.daemon.log().count(answer)
        self.service.daemon.signal(signal.SIGHUP)
        self.service.until(lambda: self.service.daemon.log().count(answer) > before, f"another {answer!r}")

    def configure(self, text: str) -> None:
        """Write the configuration file anew."""
        self.service.daemon.config.write_text(text)


@pytest.fixture(params=["sqlite-fork", "sqlite-async", "postgresql-fork"])
def combination(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A database's URL and a mode."""
    database, _, mode = request.param.partition("-")
    return request.getfixturevalue(f"{database}_url"), mode


@pytest.fixture
def changing(daemon: DaemonFactory, ledger: Ledger, combination: tuple[str, str]) -> Iterator[Changing]:
    """An application that loads."""
    found = Changing(daemon, ledger, *combination, SOURCE.format(value=1), ready=True)
    yield found
    assert "Traceback" not in found.service.daemon.log()
    found.service.close()


def test_a_reload_brings_new_code_and_interrupts_nothing(changing: Changing) -> None:
    assert changing.value() == 1
    changing.module.write_text(SOURCE.format(value=2) + SLOW)
    changing.reload("Reloaded")
    assert changing.value() == 2
    [job] = changing.service.enqueue(named("jobs.slow").bind())
    changing.service.started(job)
    changing.module.write_text(SOURCE.format(value=3))
    changing.reload("Reloaded")
    assert changing.value() == 3
    found = changing.service.wait(job)
    assert (found.attempt, found.attempts) == (1, ())
    assert changing.service.ledger.jobs("start")[job] == 1


def test_a_reload_with_broken_code_leaves_everything_as_it_was(changing: Changing) -> None:
    changing.module.write_text("import ledger\n\ndef broken(:\n")
    changing.reload("Not reloaded")
    changing.service.daemon.wait_for_log(r"jobs\.py:3")
    assert changing.value() == 1


def test_a_reload_brings_a_changed_configuration_and_keeps_the_old_when_the_new_is_broken(changing: Changing) -> None:
    settings = {**changing.service.daemon.settings, "workers": [{"threads": 1, "processes": 2}]}
    changing.configure(yaml.safe_dump({ENVIRONMENT: settings}))
    changing.reload("Reloaded")
    changing.service.until(lambda: len(changing.service.processes()) == 2, "two workers")
    assert changing.value() == 1
    changing.configure(yaml.safe_dump({ENVIRONMENT: {**settings, "wrokers": []}}))
    changing.reload("Not reloaded")
    changing.service.daemon.wait_for_log("wrokers")
    assert len(changing.service.processes()) == 2
    assert changing.value() == 1


def test_an_application_that_does_not_load_is_fatal_its_jobs_wait_and_a_repair_helps(
    daemon: DaemonFactory, ledger: Ledger, combination: tuple[str, str]
) -> None:
    broken = Changing(daemon, ledger, *combination, "import queued\n\nraise OSError('no such printer')\n", ready=False)
    service = broken.service
    place = f"{broken.module}:3: OSError: no such printer"
    service.daemon.wait_for_log(f"(?s){place}.*; starting it again in 1 s")
    service.daemon.wait_for_log(f"application-1 is FATAL: {place}")
    assert service.daemon.process is not None
    assert service.daemon.process.poll() is None
    [job] = service.enqueue(broken.tell.bind())
    assert service.job(job).state == "ready"
    assert service.processes() == {}
    status = service.daemon.queuectl("status")
    assert status.returncode == 3, status.stdout
    assert "FATAL" in status.stdout
    assert "no such printer" in status.stdout
    broken.module.write_text(SOURCE.format(value=5))
    service.daemon.signal(signal.SIGHUP)
    service.wait(job)
    assert service.ledger.entries("told", job)[0]["value"] == 5
    assert service.daemon.stop() == 0
    assert "Traceback" not in service.daemon.log()
    service.close()


@pytest.mark.parametrize("version", list(interpreters()))
def test_the_application_has_an_interpreter_of_its_own(
    serve: Serve, sqlite_url: str, work: ModuleType, version: str
) -> None:
    service = serve(sqlite_url, python=interpreters()[version])
    which, coroutine, parent, failed = service.enqueue(
        work.which.bind(), work.anote.bind(), work.parent.bind(2), work.fail.bind()
    )
    service.wait_all([which, coroutine, parent])
    assert service.ledger.entries("python", which)[0]["version"] == version
    service.wait_all(service.ledger.entries("enqueued", parent)[0]["children"])
    assert service.wait(failed, "failed").failure is not None
    assert f"Python {version}." in service.daemon.log()
    assert service.daemon.stop() == 0
