"""The dispatcher on both databases."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from queued.domain import upkeep
from queued.domain.audit import Actor
from queued.domain.jobs import NewJob
from queued.domain.settings import DispatcherSettings, RetentionSettings, Settings
from queued.processes import dispatcher as dispatching
from queued.processes import role
from queued.processes.dispatcher import Dispatcher
from queued.processes.role import Liveness
from queued.processes.wakeup import Wakeup
from queued.storage import scheduled
from queued.storage.audit import Record
from queued.storage.store import Store, open_store

Make = Callable[..., Dispatcher]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


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
    one._prune_at = float("inf")  # else its first look for old jobs, at any moment of a minute, may end the rest
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
    one._prune_at = float("inf")
    assert one.poll() == 1.0
    store.enqueue([NewJob("test.job", wait=30.0)])
    assert not one.wait(0.1)


def ended(store: Store, count: int) -> None:
    """Jobs that have ended just now."""
    ids = store.enqueue([NewJob("test.job", wait=3600.0) for _ in range(count)])
    with store.transaction() as session:
        assert len(session.all("operators.end_scheduled", ids=ids, state="finished")) == count


def finished(store: Store) -> int:
    with store.reading() as session:
        return sum(row["n"] for row in session.all("insights.count_ends_since", since=EPOCH, cap=1000))


def test_it_forgets_old_jobs_once_a_minute_while_there_are_few(
    settings: Settings, store: Store, dispatcher: Make
) -> None:
    one = dispatcher(replace(settings, retention=RetentionSettings(finished=0.0)))
    assert 0.0 <= one._prune_at - time.monotonic() <= 60.0
    ended(store, 3)
    one._prune_at = 0.0
    one.poll()
    assert finished(store) == 0
    assert 40.0 <= one._prune_at - time.monotonic() <= 80.0


def test_a_backlog_of_old_jobs_is_worked_off_in_rounds_and_due_jobs_go_on_between_them(
    settings: Settings, store: Store, dispatcher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, int]] = []
    monkeypatch.setattr(dispatching, "emit", lambda name, **data: told.append(data["deleted"]))
    one = dispatcher(replace(settings, retention=RetentionSettings(finished=0.0, batch_size=2)))
    ended(store, 6 * dispatching.ROUND)
    one._prune_at = 0.0
    left = []
    while finished(store):
        assert one.poll() < 1.0, "it rests for no longer than a few times the round"
        left.append(finished(store))
        one._prune_at = 0.0
    assert left[:3] == [4 * dispatching.ROUND, 2 * dispatching.ROUND, 0]
    assert told == [], "it goes on, and is told when a minute is over or nothing is left"
    assert one._prune_at < time.monotonic() + 2 * upkeep.SOON, "more of them may come as fast"
    one._sweep_at = 0.0
    one.poll()
    assert told == [{"finished": 6 * dispatching.ROUND}]


def test_it_shows_that_it_lives_between_the_batches_of_what_it_forgets(
    settings: Settings, store: Store, dispatcher: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.transaction() as session:
        for _ in range(12):
            Record(Actor("operator", 0, "here", "cli"), "pause", "mail").note(session, 1)
    monkeypatch.setattr(role, "PULSE", 0.0)
    one = dispatcher(replace(settings, retention=RetentionSettings(audit=0.0, batch_size=1)))
    one._prune_at = 0.0
    heard, told = os.pipe()
    one.liveness = Liveness(told)
    one.poll()
    os.close(told)
    with open(heard, "rb") as pipe:
        assert len(pipe.read()) > dispatching.ROUND


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
