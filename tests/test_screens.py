"""The screens in the README are what the programs print: a scene is made, they are run, and figures apart all is the same.

When a screen has changed on purpose: SCREENS=write pytest tests/test_screens.py puts the new ones into the README.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, program  # noqa: F401
from queued.domain.jobs import NewJob
from queued.storage import processes
from queued.storage.store import Store, open_store

PAGE = Path(__file__).resolve().parents[1] / "README.md"
#: Where the README's database is.
PLACE = "/var/lib/queued/queue.sqlite3"
TRACE = ('  File "/srv/shop/mail.py", line 31, in deliver', "    client.send(letter)")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, str]]:
    """A shop at night: mails fail, reports have no worker, one worker has gone silent. The store and its path."""
    path = str(tmp_path / "queue.sqlite3")
    monkeypatch.chdir(tmp_path)
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    with store.transaction() as session:
        for name, kind in (("supervisor-1", "Supervisor(fork)"), ("dispatcher-1", "Dispatcher")):
            processes.register(
                session, name=name, kind=kind, supervisor=None, pid=811, hostname="app1", identity={}, metadata={}
            )
    worker = Hand(store, "worker-1", queues=["mail", "images"], supervisor="supervisor-1")
    Hand(store, "worker-2", queues=["mail", "images"], supervisor="supervisor-1")
    store.enqueue([NewJob("shop.mail.send", queue="mail") for _ in range(8)])
    for number, claimed in enumerate(worker.claim()):
        worker.end(claimed, "failed" if number < 3 else "done", message="server disconnected", backtrace=TRACE)
    store.enqueue([NewJob("shop.images.resize", queue="images") for _ in range(2)])
    worker.claim()
    store.enqueue([NewJob("shop.mail.send", queue="mail") for _ in range(12)])
    store.enqueue([NewJob("shop.reports.daily", queue="reports"), NewJob("shop.mail.send", queue="mail", wait=600.0)])
    with store.transaction():
        store.backend.connection().execute(
            "UPDATE queued_processes SET last_heartbeat_at = last_heartbeat_at - 45000000 WHERE name = 'worker-2'"
        )
    yield store, path
    store.close()


def shown(text: str, command: str) -> re.Match[str]:
    """What the README shows of a command."""
    found = re.search(rf"^\$ {re.escape(command)}\n(.*?)(?=^\$ |^```)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README does not show $ {command}"
    return found


#: What depends on the machine and not on the scene.
ELSEWHERE = (
    "database.space",
    "database.clock",
    "database.writer",
    "database.reachable",
    "→ a claim and",
    "→ make room",
    "in order",
)


def shape(text: str) -> list[str]:
    """The text without its figures, without the blanks that depend on how wide those are, and without what the machine decides."""
    text = "\n".join(line for line in text.splitlines() if not any(word in line for word in ELSEWHERE))
    plain = re.sub(r"\b\d{4}_\w+", "MIGRATION", text)
    plain = re.sub(r"\d+(?:\.\d+)?", "0", plain)
    plain = re.sub(r"0 (?:ms|s|min|h|d)\b(?: 0 (?:s|min|h))?", "0 s", plain)
    plain = re.sub(r"0 (?:bytes|kB|MB|GB|TB)", "0 GB", plain)
    return [re.sub(r" +", " ", line).strip() for line in plain.strip().splitlines()]


@pytest.mark.parametrize("command", ["queuectl status", "queuectl top --once", "queuectl doctor", "queuectl errors"])
def test_a_screen_is_what_the_program_prints(
    scene: tuple[Store, str],
    program: Program,  # noqa: F811
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, path = scene
    name, *words = command.split()
    monkeypatch.setenv("QUEUED_DATABASE_URL", f"sqlite:///{path}")  # an option would be repeated in what is advised
    told = program(name, *words)
    assert told.status in {0, 3}
    printed = told.out.replace(path, PLACE) + (f"{told.err}\n" if told.err else "\n")
    text = PAGE.read_text(encoding="utf-8")
    block = shown(text, command)
    if os.environ.get("SCREENS") == "write":
        PAGE.write_text(f"{text[: block.start(1)]}{printed}{text[block.end(1) :]}", encoding="utf-8")
        return
    assert shape(block[1]) == shape(printed)
