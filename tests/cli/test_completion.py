"""Completion: the scripts say what the parser says, and a real shell completes with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import Program, job
from queued.cli.completion import completes, fields
from queued.cli.main import queuectl_parser
from queued.domain.query import FIELDS, parse
from queued.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_and_option_can_be_completed() -> None:
    known = {one.path: one for one in completes(queuectl_parser())}
    assert "jobs" in dict(known[()].words)
    assert {"list", "show", "retry", "discard", "cancel", "enqueue"} <= set(dict(known["jobs",].words))
    listing = known["jobs", "list"]
    assert "--limit" in dict(listing.options)
    assert dict(listing.values)["-o"] == ("table", "wide", "json", "jsonl", "csv", "name")
    assert listing.query
    assert known["queues", "pause"].live == ("queues", "list")
    assert known["recurring", "run"].live == ("recurring", "list")
    assert dict(known["completion",].words) == {"bash": "", "zsh": "", "fish": ""}


def test_the_beginnings_of_terms_are_those_of_the_language() -> None:
    told = fields()
    assert {word.partition(":")[0].rstrip(".") for word in told} == {*FIELDS, "sort"}
    for word in told:
        if not word.endswith((":", ".")) and not word.startswith("sort:"):
            assert parse(word).terms


@pytest.fixture
def scripts(program: Program, tmp_path: Path) -> Path:
    """A directory with the three scripts and a `queuectl` that is this one."""
    for shell in ("bash", "zsh", "fish"):
        told = program("queuectl", "completion", shell)
        assert told.status == 0
        (tmp_path / shell).write_text(told.out)
    (tmp_path / "queuectl").write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT / "daemon"} exec {sys.executable} -m queued "$@"\n'
    )
    (tmp_path / "queuectl").chmod(0o755)
    return tmp_path


def in_bash(scripts: Path, line: str, **environment: str) -> set[str]:
    source = f"""
source {scripts / "bash"}
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
_queuectl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", source], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PATH": path, **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("queuectl jo", {"jobs"}),
        ("queuectl jobs re", {"retry"}),
        ("queuectl --json jobs sho", {"show"}),
        ("queuectl --database x jobs sho", {"show"}),
        ("queuectl jobs list --li", {"--limit"}),
        ("queuectl jobs list -o j", {"json", "jsonl"}),
        ("queuectl jobs list --state fa", {"failed"}),
        ("queuectl stats --by ", {"class", "queue", "host"}),
        ("queuectl completion ", None),
        ("queuectl jobs list qu", {"queue:"}),
        ("queuectl jobs list state:fai", {"failed"}),
        ("queuectl jobs nonsense", set()),
    ],
)
def test_bash_completes(scripts: Path, line: str, expected: set[str] | None) -> None:
    found = in_bash(scripts, line)
    if expected is None:
        assert {"bash", "zsh", "fish"} <= found
    else:
        assert found == expected


def test_bash_asks_for_the_names_of_queues_and_tasks(scripts: Path, ctl: Program, store: Store) -> None:
    store.enqueue([job(queue="mail"), job(queue="mass")])
    ctl("recurring", "schedule", "nightly", "@daily", "--class", "app.a")
    url = store.settings.url
    # A second is the limit there, and starting Python on a busy machine may take longer than that.
    text = (scripts / "bash").read_text()
    (scripts / "bash").write_text(text.replace("timeout 1 ", "timeout 30 "))
    assert in_bash(scripts, "queuectl queues pause ma", QUEUED_DATABASE_URL=url) == {"mail", "mass"}
    assert in_bash(scripts, "queuectl recurring run n", QUEUED_DATABASE_URL=url) == {"nightly"}


def test_bash_completes_files_where_files_are_wanted(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "queue.yml").write_text("")
    assert in_bash(scripts, f"queuectl status --config {tmp_path}/que") >= {f"{tmp_path}/queue.yml"}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_its_script(scripts: Path) -> None:
    source = f"autoload -Uz compinit; compinit -u -d {scripts}/dump; source {scripts}/zsh; whence -w _queuectl"
    done = subprocess.run(["zsh", "-fc", source], capture_output=True, text=True, timeout=60, check=True)
    assert "_queuectl: function" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(scripts: Path) -> None:
    source = f"source {scripts}/fish; complete -C 'queuectl jobs re'; complete -C 'queuectl jobs list -o j'"
    done = subprocess.run(["fish", "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == {"retry", "json", "jsonl"}
