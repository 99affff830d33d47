"""NOTIFY and the doorbell: who is told of new work, and what happens when nobody can be."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from queued.domain.errors import DatabaseError, DatabaseUnavailable
from queued.domain.jobs import Arrival, NewJob
from queued.domain.settings import DatabaseSettings
from queued.storage.store import Bell, Store, open_store


def hear(bell: Bell, seconds: float = 60.0) -> list[tuple[str, str]]:
    """The messages of the next wake, or none after the time is over."""
    descriptor = bell.fileno()
    assert descriptor is not None
    if not select.select([descriptor], [], [], seconds)[0]:
        return []
    return bell.drain()


def connected(store: Store, *channels: str) -> Bell:
    bell = store.listen(channels)
    with store.reading() as session:
        session.all("queues.names")
    return bell


def test_an_enqueue_wakes_who_listens_and_says_where_the_work_is(
    store: Store, open_another: Callable[[], Store]
) -> None:
    bell = connected(open_another(), "ready")
    store.enqueue([NewJob("app.work", queue="a queue of words", priority=-3)])
    ((channel, text),) = hear(bell)
    arrival = Arrival.decode(text)
    assert channel == "ready"
    assert arrival is not None
    assert (arrival.queue, arrival.priority) == ("a queue of words", -3)
    assert arrival.seq >= 1


def test_a_queue_may_have_any_name_that_an_announcement_must_carry(
    store: Store, open_another: Callable[[], Store]
) -> None:
    bell = connected(open_another(), "ready")
    store.enqueue([NewJob("app.work", queue='back\\slash, "quote", {brace}, é')])
    ((_, text),) = hear(bell)
    arrival = Arrival.decode(text)
    assert arrival is not None
    assert arrival.queue == 'back\\slash, "quote", {brace}, é'


def test_whatever_comes_after_a_wake_up_finds_the_connection_free(
    store: Store, open_another: Callable[[], Store]
) -> None:
    bell = connected(open_another(), "ready", "control")
    own = store.listen(["ready"])
    store.enqueue([NewJob("app.work", queue="q1")])
    store.control("cancel 1")
    with store.transaction() as session:
        assert session.all("queues.names") is not None
    store.enqueue([NewJob("app.work", queue="q2")])
    own = store.listen(["control"])
    store.enqueue([NewJob("app.work", queue="q3"), NewJob("app.work", queue="q4")])
    own.drain()
    with store.transaction() as session:
        store.control("cancel 2")
        session.all("queues.names")
    heard: list[tuple[str, str]] = []
    while len(heard) < 6:
        more = hear(bell)
        assert more
        heard += more
    assert [text for channel, text in heard if channel == "control"] == ["cancel 1", "cancel 2"]
    assert {text.split()[-1] for channel, text in heard if channel == "ready"} == {"q1", "q2", "q3", "q4"}


def test_an_enqueue_after_a_rollback_is_stored_and_told(store: Store, open_another: Callable[[], Store]) -> None:
    bell = connected(open_another(), "ready")
    store.enqueue([NewJob("app.work", queue="q1")])
    assert [text.split()[-1] for _, text in hear(bell)] == ["q1"]
    with pytest.raises(ZeroDivisionError), store.transaction() as session:
        session.all("queues.names")
        raise ZeroDivisionError
    with store.transaction() as session:  # here psycopg lets go of all that was prepared on the connection
        session.all("queues.names")
    assert store.enqueue([NewJob("app.work", queue="q2")]) == [2]
    assert [text.split()[-1] for _, text in hear(bell)] == ["q2"]


@pytest.mark.parametrize("name", ["a lone \ud800", "a nul \0"])
def test_a_job_that_the_database_cannot_hold_leaves_the_connection_free_for_the_next(
    store: Store, open_another: Callable[[], Store], name: str
) -> None:
    bell = connected(open_another(), "ready")
    if store.dialect == "postgresql" or name != "a nul \0":  # which SQLite can hold
        with pytest.raises(DatabaseError):
            store.enqueue([NewJob(name, queue="q1")])
    store.enqueue([NewJob("app.work", queue="q2")])
    with store.transaction() as session:
        session.all("queues.names")
    heard: list[str] = []
    while "q2" not in heard:
        more = hear(bell)
        assert more
        heard += [text.split()[-1] for _, text in more]


def test_who_has_just_rung_hears_the_next_one(store: Store, open_another: Callable[[], Store]) -> None:
    bell = connected(store, "ready")
    store.ring([Arrival("", 0, 0)])
    open_another().enqueue([NewJob("app.work", queue="mail")])
    assert [text.split()[-1] for _, text in hear(bell)] == ["mail"]


def test_a_listener_hears_only_its_channels(store: Store, open_another: Callable[[], Store]) -> None:
    dispatcher, worker = connected(open_another(), "scheduled"), connected(open_another(), "ready", "control")
    store.enqueue([NewJob("app.later", wait=60)])
    assert [channel for channel, _ in hear(dispatcher)] == ["scheduled"]
    store.control("cancel 17")
    assert hear(worker) == [("control", "cancel 17")]
    assert hear(dispatcher, 0.05) == []


def test_on_sqlite_nobody_is_woken_for_what_he_does_not_listen_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.sqlite3"
    stores = [open_store(url) for _ in range(3)]
    stores[0].migrate()
    dispatcher, worker = stores[1].listen(["scheduled"]), stores[2].listen(["ready", "control"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:  # as earlier releases hung them up
        nameless.bind(f"{tmp_path}/queue.sqlite3-bell/17-0badcafe")
        stores[0].enqueue([NewJob("app.work")])
        assert nameless.recv(100).startswith(b"ready ")
    assert [channel for channel, _ in hear(worker)] == ["ready"]
    descriptor = dispatcher.fileno()
    assert descriptor is not None
    assert select.select([descriptor], [], [], 0) == ([], [], [])
    for store in stores:
        store.close()


def test_many_enqueues_at_once_ring_once_for_each_lane(store: Store, open_another: Callable[[], Store]) -> None:
    bell = connected(open_another(), "ready")
    store.ring([Arrival("q", 0, 5), Arrival("q", 0, 6), Arrival("other", 0, 7)])
    heard = hear(bell)
    while more := hear(bell, 0.05):
        heard += more
    assert sorted(text for _, text in heard) == ["0 5 q", "0 7 other"]


def test_without_wake_nothing_listens_and_nothing_rings(database_url: str) -> None:
    quiet = open_store(DatabaseSettings(url=database_url, wake=False))
    quiet.migrate()
    bell = quiet.listen(["ready"])
    assert quiet.enqueue([NewJob("app.work")]) == [1]
    assert bell.fileno() is None
    quiet.close()


def test_the_bell_of_a_listener_that_died_is_taken_down(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/queue.sqlite3")
    store.migrate()
    bells = tmp_path / "queue.sqlite3-bell"
    dead = open_store(f"sqlite:///{tmp_path}/queue.sqlite3")
    dead.listen(["ready"])
    (name,) = os.listdir(bells)
    assert stat.S_ISSOCK((bells / name).stat().st_mode)
    dead.forget()
    store.enqueue([NewJob("app.work")])
    assert os.listdir(bells) == []
    store.close()


def test_a_path_longer_than_a_socket_address_can_hold_has_a_bell_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    listener, store = (open_store(f"sqlite:///{deep}/queue.sqlite3") for _ in range(2))
    store.migrate()
    bell = listener.listen(["ready"])
    store.enqueue([NewJob("app.work")])
    assert [channel for channel, _ in hear(bell)] == ["ready"]
    listener.close()
    store.close()


def test_a_stranger_who_rings_nonsense_wakes_and_does_no_harm() -> None:
    for text in ("", "x", "1", "1 2", "a b c", "0 notanumber q"):
        assert Arrival.decode(text) is None


def test_listening_survives_the_loss_of_the_connection(postgresql_url: str) -> None:
    store, other = open_store(postgresql_url), open_store(postgresql_url)
    store.migrate()
    bell = connected(store, "ready")
    connection: Any = store.backend.connection()
    killer: Any = other.backend.connection()
    killer.execute("SELECT pg_terminate_backend(%s::int)", (connection.info.backend_pid,))
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL"):
        for _ in range(3):  # the server's last words come first, then the end of the stream
            assert select.select([bell.fileno()], [], [], 60)[0]
            bell.drain()
    with store.reading() as session:
        session.all("queues.names")
    other.enqueue([NewJob("app.work")])
    assert [channel for channel, _ in hear(bell)] == ["ready"]
    store.close()
    other.close()


def test_an_idle_connection_that_the_server_closed_costs_no_error(postgresql_url: str) -> None:
    store, other = open_store(postgresql_url), open_store(postgresql_url)
    store.migrate()
    connection: Any = store.backend.connection()
    killer: Any = other.backend.connection()
    killer.execute("SELECT pg_terminate_backend(%s::int)", (connection.info.backend_pid,))
    assert select.select([connection.fileno()], [], [], 60)[0]
    store.backend._used = 0.0  # type: ignore[union-attr]
    assert store.enqueue([NewJob("app.work")]) == [1]
    store.close()
    other.close()


def test_a_connection_that_dies_under_a_wake_up_costs_no_error(postgresql_url: str) -> None:
    store, other = open_store(postgresql_url), open_store(postgresql_url)
    store.migrate()
    connection: Any = store.backend.connection()
    killer: Any = other.backend.connection()
    assert store.enqueue([NewJob("app.work")]) == [1]
    killer.execute("SELECT pg_terminate_backend(%s::int, 60000::int)", (connection.info.backend_pid,))
    store.backend._used = 0.0  # type: ignore[union-attr]
    assert store.enqueue([NewJob("app.work")]) == [2]
    store.close()
    other.close()


def test_a_listening_connection_of_its_own_that_breaks_is_opened_again(postgresql_url: str) -> None:
    store, other = (
        open_store(DatabaseSettings(url=postgresql_url, listen_url=postgresql_url)),
        open_store(postgresql_url),
    )
    store.migrate()
    bell = connected(store, "ready")
    descriptor = bell.fileno()
    assert descriptor is not None
    with socket.socket(fileno=os.dup(descriptor)) as broken:
        broken.shutdown(socket.SHUT_RDWR)
    with pytest.raises(DatabaseUnavailable):
        bell.drain()
    assert bell.fileno() is None
    with store.reading() as session:
        session.all("queues.names")
    other.enqueue([NewJob("app.work")])
    assert [channel for channel, _ in hear(bell)] == ["ready"]
    store.close()
    other.close()


REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.class_name = 'app.refused' THEN RAISE EXCEPTION 'not this one'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON queued.jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def test_a_job_is_stored_when_its_commit_is_made_and_not_before(postgresql_url: str) -> None:
    with closing(open_store(postgresql_url)) as store:
        store.migrate()
        with store.transaction():
            store.backend.script(REFUSING)
        for _ in range(2):
            with pytest.raises(DatabaseError, match="not this one"):
                store.enqueue([NewJob("app.refused")])
            stored = store.enqueue([NewJob("app.work")])[0]
            with store.reading() as session:
                assert session.one("insights.job", id=stored) is not None


class CutShort(BaseException):
    """What a job's time-out or Ctrl-C raises in the midst of anything."""


@pytest.mark.parametrize("moment", range(1, 9))
def test_an_enqueue_that_is_cut_short_leaves_nothing_to_those_after_it(postgresql_url: str, moment: int) -> None:
    with closing(open_store(postgresql_url)) as store, closing(open_store(postgresql_url)) as listener:
        store.migrate()
        connected(listener, "ready")
        store.enqueue([NewJob("app.first", queue="q0")])
        connection: Any = store.backend.connection()
        real, calls = type(connection).wait, 0

        def wait(self: Any, gen: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise CutShort
            return real(self, gen, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(connection), "wait", wait)
            with suppress(CutShort):
                for number in range(1, 9):
                    store.enqueue([NewJob("app.work", queue=f"q{number}")])
        (stored,) = store.enqueue([NewJob("app.last", queue="q9")])
        with store.reading() as session:
            found = session.one("insights.job", id=stored)
        assert found is not None
        assert found["class_name"] == "app.last"
