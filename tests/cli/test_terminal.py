"""On a terminal: colour, lines that fit, and a question before many jobs are changed."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, job, states
from queued.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]


def on_terminal(
    *words: object, answer: str = "", leave_after: str = "", source: str = "", **variables: str
) -> tuple[int, str]:
    """Run a command of queuectl on a terminal of 120 columns; the exit code and what the terminal shows.

    It is left with Ctrl-C as soon as it has shown `leave_after`. `source` is Python that is run in place of the program.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUED_") and name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, *(("-c", source) if source else ("-m", "queued")), *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "PYTHONPATH": str(ROOT / "daemon"), "TERM": "xterm", **variables},
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
        if leave_after and leave_after.encode() in shown:
            process.send_signal(signal.SIGINT)
            leave_after = ""
    os.close(ours)
    return process.wait(60), shown.decode().replace("\r\n", "\n")


def test_colour_is_on_and_can_be_turned_off(store: Store, database_url: str) -> None:
    _, shown = on_terminal("status", "--database", database_url)
    assert "\x1b[1mqueued\x1b[0m" in shown
    _, plain = on_terminal("status", "--database", database_url, NO_COLOR="1")
    assert "\x1b" not in plain


def test_rows_are_cut_to_the_terminal_and_to_nothing_else(
    ctl: Program, store: Store, worker: Hand, database_url: str
) -> None:
    (job_id,) = store.enqueue([job()])
    worker.fail(job_id, message="long " * 50)
    _, shown = on_terminal("jobs", "list", "--database", database_url, NO_COLOR="1")
    assert len(shown.splitlines()[1]) == 120
    assert shown.splitlines()[1].endswith("…")
    assert len(ctl("jobs", "list").out.splitlines()[1]) > 250


@pytest.mark.parametrize(("answer", "expected"), [("y\n", "discarded"), ("n\n", "ready"), ("\n", "ready")])
def test_many_jobs_are_changed_only_after_a_yes(
    ctl: Program, store: Store, database_url: str, answer: str, expected: str
) -> None:
    ids = store.enqueue([job() for _ in range(3)])
    status, shown = on_terminal(
        "jobs", "discard", "--state", "ready", "--database", database_url, answer=answer, NO_COLOR="1"
    )
    assert "discard 3 jobs? [y/N]" in shown
    assert status == (0 if expected == "discarded" else 1)
    assert states(ctl) == dict.fromkeys(ids, expected)
