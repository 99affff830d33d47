"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from queued import testing

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = Path(sys.executable).parent


def block(language: str, heading: str) -> str:
    """The first code block of a language below a heading."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no {language} block below {heading!r}"
    return found[1]


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
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    with log.open("wb") as file:
        # The shell waits for the daemon that it put into the background, so it ends with it.
        script = f"{block('sh', 'A first job')}\nwait\n"
        shell = subprocess.Popen(
            ["sh", "-eu", "-c", script], cwd=tmp_path, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 30
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
            shell.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait(20)
            raise


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
