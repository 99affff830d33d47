"""The dispatcher on both databases."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from queued.domain.audit import Actor
from queued.domain.jobs import NewJob
from queued.domain.settings import DispatcherSettings, RetentionSettings, Settings
from queued.processes import role
from queued.processes.dispatcher import Dispatcher
from queued.processes.role import Liveness
from queued.processes.wakeup import Wakeup
from queued.storage import scheduled
from queued.storage.audit import Record
from queued.storage.store import Store, open_store

Make = Callable[..., Dispatcher]


@pytest.fixture
def dispatcher(settings: Settings, store: Store) -> Iterator[Make]:
    """Make a dispatcher that is turned by hand."""
    made: list[Dispatcher] = []
    heard, told = os.pipe()

    def make(chosen: Settings = settings, **values: float | int) -> Dispatcher:
        dispatcher = Dispatcher(f"dispatcher-{len(made)}", chosen, replace(DispatcherSettings(), **values))  # type: ignore[arg-type]
        dispatcher.store = open_store(chosen.database)
        dispatcher.wakeup = Wakeup()
        dispatcher.liveness = Liveness(told)
        dispatcher.ready()
        made.append(dispatcher)
        return dispatcher

    yield make
    for dispatcher in made:
        dispatcher.store.close()
        dispatcher.wakeup.close()
    os.close(heard)
    os.close(told)


def due(store: Store, count: int) -> None:
    store.enqueue([NewJob("test.job", wait=0.01) for _ in range(count)])
    time.sleep(0.02)


def test_a_full_batch_is_followed_by_the_next_at_once_and_then_it_rests(store: Store, dispatcher: Make) -> None:
    one = dispatcher(batch_size=5)
    due(store, 12)
    assert one.poll() == 0.0
    assert one.poll() == 0.0
    assert one.poll() > 0.0
    with store.reading() as session:
        assert scheduled.next_due(session) is None


def test_two_dispatchers_move_each_job_once(store: Store, dispatcher: Make) -> None:
    one, other = dispatcher(batch_size=4), dispatcher(batch_size=4)
    due(store, 15)
    for _ in range(3):
        one.poll()
        other.poll()
    with store.transaction() as session:
        assert scheduled.next_due(session) is None


def test_it_rests_until_the_next_job_is_due(store: Store, dispatcher: Make) -> None:
    one = dispatcher(polling_interval=60.0)
    store.enqueue([NewJob("test.job", wait=40.0)])
    assert 10.0 < one.poll() <= 40.0


def test_a_job_scheduled_meanwhile_ends_its_rest(store: Store, dispatcher: Make) -> None:
    one = dispatcher(polling_interval=60.0)
    one.poll()
    store.enqueue([NewJob("test.job", wait=30.0)])
    started = time.monotonic()
    assert one.wait(20.0)
    assert time.monotonic() - started < 10.0
    assert one.poll() <= 30.0


def test_with_waking_switched_off_it_polls(settings: Settings, store: Store, dispatcher: Make) -> None:
    silent = replace(settings, database=replace(settings.database, wake=False))
    one = dispatcher(silent)
    assert one.poll() == 1.0
    store.enqueue([NewJob("test.job", wait=30.0)])
    assert not one.wait(0.1)


def test_it_forgets_old_jobs_once_a_minute(settings: Settings, store: Store, dispatcher: Make) -> None:
    one = dispatcher(replace(settings, retention=RetentionSettings(finished=0.0)))
    assert 0.0 <= one._retention_at - time.monotonic() <= 60.0
    one._retention_at = 0.0
    one.poll()
    assert 40.0 <= one._retention_at - time.monotonic() <= 80.0


def test_it_shows_that_it_lives_between_the_batches_of_what_it_forgets(
    settings: Settings, store: Store, dispatcher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.transaction() as session:
        for _ in range(12):
            Record(Actor("operator", 0, "here", "cli"), "pause", "mail").note(session, 1)
    monkeypatch.setattr(role, "PULSE", 0.0)
    one = dispatcher(replace(settings, retention=RetentionSettings(audit=0.0, batch_size=1)))
    one._retention_at = 0.0
    heard, told = os.pipe()
    one.liveness = Liveness(told)
    one.poll()
    os.close(told)
    with open(heard, "rb") as pipe:
        assert len(pipe.read()) > 12


def test_the_wait_for_a_beat_and_that_for_the_next_poll_are_two_silences(
    dispatcher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role, "PULSE", 0.0)
    one = dispatcher()
    heard, told = os.pipe()
    one.liveness = Liveness(told)
    one._register()
    one.heartbeat.registered(time.monotonic() - 2 * one.heartbeat.interval)
    one.tend()
    os.close(told)
    with open(heard, "rb") as pipe:
        assert pipe.read() == b".R..", "one before the beat, one after it"
