"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queued import testing

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = Path(sys.executable).parent


def block(language: str, heading: str) -> str:
    """The first code block of a language below a heading."""
    return blocks(language, heading)[0]


def blocks(language: str, heading: str) -> list[str]:
    """The code blocks of a language below a heading."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, f"no {language} block below {heading!r}"
    return found


def test_the_first_job_has_ten_lines_at_most() -> None:
    lines = [
        line for language in ("python", "yaml", "sh") for line in block(language, "A first job").splitlines() if line
    ]
    assert len(lines) <= 10


@pytest.mark.skipif(not (COMMANDS / "queued").exists(), reason="the package is not installed in this environment")
def test_the_first_job_runs_as_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(block("python", "A first job"))
    (tmp_path / "queue.yml").write_text(block("yaml", "A first job"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUEUED_")}
    environment = {**inherited, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(tmp_path)}
    log = tmp_path / "log"

    def queuectl(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["queuectl", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    with log.open("wb") as file:
        # The shell waits for the daemon that it put into the background, so it ends with it.
        script = f"{block('sh', 'A first job')}\nwait\n"
        shell = subprocess.Popen(
            ["sh", "-eu", "-c", script], cwd=tmp_path, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while "Hello, world!" not in log.read_text():
            assert shell.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        [line] = [line for line in log.read_text().splitlines() if "Hello, world!" in line]
        while not (jobs := json.loads(queuectl("jobs", "list", "--json", "--state", "finished").stdout)["jobs"]):
            assert time.monotonic() < deadline, queuectl("status").stdout
        assert [job["class"] for job in jobs] == ["jobs.greet"]
        assert str(jobs[0]["id"]) in line
        assert "jobs.greet" in queuectl("jobs", "show", str(jobs[0]["id"])).stdout
        assert "healthy" in queuectl("status").stdout
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        try:
            shell.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait(60)
            raise


def test_the_recurring_tasks_are_right_and_their_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from queued.client import route
    from queued.configuration import load
    from queued.storage import recurring
    from queued.storage.store import open_store

    url = f"sqlite:///{tmp_path}/queued.sqlite3"
    (tmp_path / "queue.yml").write_text(f"database: {url}\n")
    (tmp_path / "recurring.yml").write_text(block("yaml", "Recurring tasks"))
    settings = load(str(tmp_path / "queue.yml"), environ={}).settings
    assert [task.key for task in settings.recurring] == ["nightly_report", "disk_space", "heartbeat"]
    store = open_store(url)
    store.migrate()
    monkeypatch.setattr(route, "_configured", settings.database)
    monkeypatch.setattr(route, "_generation", -1)
    exec(block("python", "Recurring tasks"), {})
    with store.reading() as session:
        (listed,) = recurring.listed(session)
    assert listed.task.settings.schedule == "0 9 * * mon"
    assert listed.task.paused_at is not None
    store.close()


class Shown:
    """A section of the README in a directory of its own: its jobs, its commands, and then the daemon."""

    def __init__(self, directory: Path, heading: str) -> None:
        self.directory = directory
        self.log = directory / "log"
        self._heading = heading
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUEUED_")}
        path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**inherited, "PATH": path, "XDG_RUNTIME_DIR": str(directory)}
        (directory / "jobs.py").write_text(block("python", heading))
        (directory / "queue.yml").write_text(block("yaml", "A first job"))
        self.run("queued", "migrate")

    def run(self, *command: str) -> str:
        """What a command prints; it must succeed."""
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def commands(self) -> str:
        """What the commands of the section print."""
        return self.run("sh", "-eu", "-c", block("sh", self._heading))

    def daemon_until(self, done: Callable[[str], bool]) -> str:
        """Run the daemon until its log is as it should be; the log."""
        with self.log.open("wb") as file:
            daemon = subprocess.Popen(
                ["queued", "start"], cwd=self.directory, env=self.environment, stdout=file, stderr=file
            )
        try:
            deadline = time.monotonic() + 60
            while not done(self.log.read_text()):
                assert daemon.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
        finally:
            daemon.terminate()
            daemon.wait(60)
        return self.log.read_text()


@pytest.fixture
def section(tmp_path: Path) -> Callable[[str], Shown]:
    """Sets a section of the README up."""
    if not (COMMANDS / "queued").exists():
        pytest.skip("the package is not installed in this environment")
    return lambda heading: Shown(tmp_path, heading)


def test_the_limits_work_as_the_readme_says(section: Callable[[str], Shown]) -> None:
    shown = section("Not too many at once, not twice, not too late")
    told = shown.commands()
    assert "the same report: True True" in told
    assert told.count("jobs.book") >= 2
    assert "jobs.book/ada" in told
    log = shown.daemon_until(lambda log: log.count("booked") >= 4)
    assert re.findall(r"booked (\d+) for ada", log) == ["10", "20", "30"]


def test_a_batch_works_as_the_readme_says(section: Callable[[str], Shown]) -> None:
    heading = "Many jobs, and one after all of them"
    shown = section(heading)
    told = shown.commands()
    assert "batch 1\n" in told
    assert "0/3" in told
    nested = blocks("python", heading)[1]
    (shown.directory / "nested.py").write_text(f"import queued\nfrom jobs import invoice, report\n{nested}")
    shown.environment["QUEUED_CONFIG"] = "queue.yml"
    shown.environment["PYTHONPATH"] = str(shown.directory)
    shown.run(sys.executable, "nested.py")
    assert re.search(r"└ 3 +open +0/1 .* {2}May\n", shown.run("queuectl", "batches", "list"))
    shown.daemon_until(
        lambda log: "May: 2 of 3 invoices, 1 failed" in log and "All months: 2 of 2 invoices, 0 failed" in log
    )


def test_the_job_that_is_resumed_does_nothing_twice() -> None:
    stored: list[str] = []
    sent: list[str] = []

    def store(row: str) -> None:
        if row == "c" and stored == ["a", "b"] and not broken:
            broken.append(row)
            raise OSError("the disk was away")
        stored.append(row)

    def send(text: str) -> None:
        sent.append(text)
        if len(sent) == 1:
            raise OSError("the mail server was away")

    broken: list[str] = []
    names: dict[str, Any] = {"__name__": "reports", "read": lambda year: list("abcd"), "store": store, "send": send}
    exec(block("python", "A job that is resumed where it was"), names)
    with testing.collect() as jobs:
        names["report"].enqueue(2026)
        [job] = jobs.drain()
    assert (job.state, job.attempt) == ("done", 3)
    assert stored == ["a", "b", "c", "d"]
    assert sent == ["the report of 2026 is there"] * 2


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)
    assert {"run", "test", "help"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_files_that_the_readme_links_to_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
