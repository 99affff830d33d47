"""One contract, one suite, both hosts: what carries an actor must not be noticed."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixtures.supervised import wait_for
from queued.domain.settings import Settings
from queued.processes.hosts import Exit, Host
from queued.processes.hosts.fork import ForkHost, in_words
from queued.processes.hosts.thread import ThreadHost
from queued.processes.role import Role, new_name
from queued.storage import processes
from queued.storage.store import Store


class Resting(Role):
    """Does nothing, and would do it for an hour."""

    kind = "Worker"

    def poll(self) -> float:
        return 3600.0


class Failing(Role):
    """Fails at its first turn."""

    kind = "Worker"

    def poll(self) -> float:
        raise RuntimeError("this turn cannot be done")


class Hanging(Role):
    """Does not come back from its turn, and does not hear."""

    kind = "Worker"

    def poll(self) -> float:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(3600)
        return 0.0


class Telling(Role):
    """Leaves in a file how many objects its garbage collector passes by."""

    kind = "Worker"
    path = ""

    def poll(self) -> float:
        Path(self.path).write_text(str(gc.get_freeze_count()))
        return 3600.0


Hosts = Callable[[], Host]


@pytest.fixture(params=["fork", "thread"])
def host(request: pytest.FixtureRequest, store: Store) -> Host:
    store.close()
    return ForkHost(store.forget) if request.param == "fork" else ThreadHost(lambda: None)


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    opened: list[int] = []
    yield opened
    for pipe in opened:
        os.close(pipe)


def hear(pipe: int) -> bytes:
    try:
        return os.read(pipe, 4096)
    except BlockingIOError:
        return b"?"


def ended(host: Host, name: str) -> Exit:
    exits: list[Exit] = wait_for(host.exits, f"the end of {name}")
    assert [exit.name for exit in exits] == [name]
    return exits[0]


def registered(store: Store) -> list[str]:
    with store.reading() as session:
        names = [row["name"] for row in processes.alive(session)]
    store.close()
    return names


def test_an_actor_registers_shows_that_it_lives_stops_when_told_and_leaves_nothing(
    host: Host, settings: Settings, store: Store, pipes: list[int]
) -> None:
    role = Resting(new_name("worker"), settings)
    pipes.append(host.start(role))
    said = wait_for(lambda: (text := hear(pipes[0])) not in (b"", b"?") and b"R" in text and text, "R")
    assert set(said) <= set(b"R.")
    assert registered(store) == [role.name]
    assert host.exits() == []
    wait_for(lambda: hear(pipes[0]) == b".", "a pulse")
    host.stop(role.name)
    started = time.monotonic()
    assert ended(host, role.name).clean
    assert time.monotonic() - started < 5.0
    wait_for(lambda: hear(pipes[0]) == b"", "the end of the pipe")
    assert registered(store) == []


def test_an_actor_that_fails_ends_with_its_reason_and_leaves_its_row_to_the_supervisor(
    host: Host, settings: Settings, store: Store, pipes: list[int]
) -> None:
    role = Failing(new_name("worker"), settings)
    pipes.append(host.start(role))
    exit = ended(host, role.name)
    assert not exit.clean
    assert exit.reason in ("exited with status 1", "RuntimeError: this turn cannot be done")
    assert registered(store) == [role.name]


def test_actors_are_told_apart(host: Host, settings: Settings, pipes: list[int]) -> None:
    first, second = Resting(new_name("worker"), settings), Resting(new_name("worker"), settings)
    pipes += [host.start(first), host.start(second)]
    for pipe in pipes:
        wait_for(lambda pipe=pipe: b"R" in hear(pipe), "R")
    host.stop(second.name)
    assert ended(host, second.name).clean
    host.stop(first.name)
    assert ended(host, first.name).clean


def test_a_child_never_collects_what_it_shares_with_its_parent(
    settings: Settings, store: Store, tmp_path: Path, pipes: list[int]
) -> None:
    store.close()
    host = ForkHost(store.forget)
    role = Telling(new_name("worker"), settings)
    role.path = str(tmp_path / "frozen")
    loaded = len(gc.get_objects())
    try:
        pipes.append(host.start(role))
        wait_for(lambda: os.path.exists(role.path) and Path(role.path).read_text(), "its first turn")
        assert int(Path(role.path).read_text()) > loaded / 2
        host.stop(role.name)
        assert ended(host, role.name).clean
    finally:
        gc.unfreeze()


def test_a_killed_actor_drops_what_it_has(host: Host, settings: Settings, pipes: list[int]) -> None:
    role = Resting(new_name("worker"), settings)
    pipes.append(host.start(role))
    wait_for(lambda: b"R" in hear(pipes[0]), "R")
    host.kill(role.name)
    assert ended(host, role.name).name == role.name


def test_words_to_an_actor_that_has_ended_go_nowhere(host: Host) -> None:
    host.stop("worker-nobody")
    host.kill("worker-nobody")
    assert host.exits() == []


def test_a_child_that_does_not_hear_can_be_killed(settings: Settings, store: Store, pipes: list[int]) -> None:
    store.close()
    host = ForkHost(store.forget)
    role = Hanging(new_name("worker"), settings)
    pipes.append(host.start(role))
    wait_for(lambda: b"R" in hear(pipes[0]), "R")
    host.stop(role.name)
    host.kill(role.name)
    assert ended(host, role.name) == Exit(role.name, False, "killed by SIGKILL")


def test_a_child_does_not_keep_what_is_its_parents(sqlite_settings: Settings, pipes: list[int], tmp_path: Path) -> None:
    ran = tmp_path / "left-behind"
    host = ForkHost(ran.touch)
    role = Failing(new_name("worker"), sqlite_settings)
    pipes.append(host.start(role))
    ended(host, role.name)
    assert ran.exists()


def test_a_child_notices_that_its_parent_has_died_and_stops(sqlite_settings: Settings, tmp_path: Path) -> None:
    role = Resting(new_name("worker"), sqlite_settings)
    from queued.storage.store import open_store

    store = open_store(sqlite_settings.database)
    store.migrate()
    store.close()
    parent = os.fork()
    if parent == 0:
        host = ForkHost(lambda: None)
        host.start(role)
        (tmp_path / "pid").write_text(str(host.pid(role.name)))
        time.sleep(3600)
        os._exit(0)
    try:
        wait_for(lambda: registered(store) == [role.name], "the registration")
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    wait_for(lambda: registered(store) == [], "the orphan's deregistration")
    child = int((tmp_path / "pid").read_text())
    wait_for(lambda: not os.path.exists(f"/proc/{child}"), "the orphan's end")


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exited with status 0"), (256, "exited with status 1"), (9, "killed by SIGKILL"), (139, "killed by SIGSEGV")],
)
def test_a_wait_status_is_told_in_words(status: int, words: str) -> None:
    assert in_words(status) == words
