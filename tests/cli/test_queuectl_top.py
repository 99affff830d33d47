"""queuectl top on a real terminal: it shows what is, listens to keys, follows the size, and leaves the terminal as it was."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, job
from queued.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """A terminal with queuectl top on it. `shown` is all that was written so far, `screen` what the last painting shows."""

    def __init__(self, url: str, *words: str) -> None:
        self.ours, self.theirs = os.openpty()
        self.size(24, 100)
        self.before = termios.tcgetattr(self.theirs)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUED_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "queued", "top", "--interval", "0.2", "--database", url, *words],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={**kept, "PYTHONPATH": str(ROOT / "daemon"), "TERM": "xterm", "NO_COLOR": "1"},
            start_new_session=True,
        )
        self.shown = ""

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    @property
    def screen(self) -> list[str]:
        paintings = [each for each in self.shown.split("\x1b[H") if each.endswith("\x1b[J")]
        text = re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", paintings[-1]) if paintings else ""
        return text.split("\r\n")

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}; shown: {self.screen}"
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.ours, 65536).decode("utf-8", "replace")
                except OSError:
                    return

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(store: Store, worker: Hand, database_url: str) -> Iterator[Terminal]:
    """One with a running job and some that wait."""
    store.enqueue([job("app.runs", queue="mail")])
    worker.claim()
    store.enqueue([job("app.waits", queue="reports") for _ in range(3)])
    made = Terminal(database_url)
    yield made
    made.close()


def test_it_shows_what_is_and_what_changes(terminal: Terminal, store: Store) -> None:
    terminal.wait(lambda: "app.runs" in "\n".join(terminal.screen), "the running job")
    assert "\x1b[?1049h" in terminal.shown
    text = "\n".join(terminal.screen)
    assert "Jobs: 3 ready, 0 scheduled, 0 blocked, 1 running, 0 failed" in text
    assert "reports" in text
    assert terminal.screen[-1].startswith("q leave")
    store.enqueue([job(queue="new") for _ in range(4)])
    terminal.wait(lambda: "Jobs: 7 ready" in "\n".join(terminal.screen), "the new jobs")
    terminal.press("q")
    terminal.wait(lambda: "\x1b[?1049l" in terminal.shown, "the way back")
    assert terminal.process.wait(30) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


def test_it_is_held_and_goes_on(terminal: Terminal, store: Store) -> None:
    terminal.wait(lambda: "app.runs" in "\n".join(terminal.screen), "the first screen")
    terminal.press(" ")
    terminal.wait(lambda: "held" in terminal.screen[-1], "the hold")
    store.enqueue([job()])
    terminal.press("-")
    terminal.wait(lambda: "every 0.5 s" in terminal.screen[-1], "the slower pace")
    assert "Jobs: 3 ready" in "\n".join(terminal.screen)
    terminal.press(" ")
    terminal.wait(lambda: "Jobs: 4 ready" in "\n".join(terminal.screen), "what came meanwhile")


def test_it_follows_the_size_of_the_terminal_and_ctrl_c_is_a_way_out(terminal: Terminal) -> None:
    terminal.wait(lambda: len(terminal.screen) == 24, "a full screen")
    terminal.size(10, 50)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.wait(lambda: len(terminal.screen) == 10, "the smaller screen")
    assert max(map(len, terminal.screen)) <= 50
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait(lambda: "\x1b[?1049l" in terminal.shown, "the way back")
    assert terminal.process.wait(30) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


def test_without_a_terminal_it_says_what_to_use(ctl: Program, store: Store, worker: Hand) -> None:
    told = ctl("top")
    assert (told.status, told.out) == (2, "")
    assert "queuectl status --watch" in told.err
    store.enqueue([job("app.runs")])
    worker.claim()
    once = ctl("top", "--once")
    assert once.status == 0
    assert "app.runs" in once.out
    assert "\x1b" not in once.out


def test_a_small_terminal_gets_the_head_of_the_screen(ctl: Program, store: Store, worker: Hand) -> None:
    from queued.cli.top import look, screen

    store.enqueue([job(f"app.job{number}", queue=f"q{number}") for number in range(30)])
    worker.claim(20)
    with store.reading() as session:
        seen = look(session, 25.0)
    for height in range(1, 60):
        for width in (20, 80, 200):
            lines = screen(seen, width, height)
            assert len(lines) <= height
            assert max(map(len, lines)) <= width
    text = "\n".join(screen(seen, 100, 30))
    assert "QUEUE" in text
    assert "CLASS" in text
