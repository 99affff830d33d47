"""What a worker tells the database, when the answer to a commit is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from queued.domain.batches import NewBatch
from queued.domain.errors import DatabaseUnavailable
from queued.domain.jobs import Failure, NewJob
from queued.domain.unique import Unique
from queued.processes.outbox import Ended, Outbox, Request
from queued.processes.postponed import Postponed
from queued.storage import adopt
from queued.storage.claimed import Worker
from queued.storage.session import Session
from queued.storage.store import Store, open_store
from queued.telemetry import subscribe
from storage.conftest import Claimer
from storage.limits import rows


class Forgetful(Store):
    """A store whose connection is lost at one commit: before it reached the server, or after."""

    lose: str | None = None

    @contextmanager
    def transaction(self, durable: bool = True, lock_wait: float | None = None) -> Iterator[Session]:  # type: ignore[override]
        lose, self.lose = self.lose, None
        with super().transaction(durable, lock_wait) as session:
            yield session
            if lose == "the request":
                raise DatabaseUnavailable("the connection was lost before the commit")
        if lose == "the answer":
            self.close()
            raise DatabaseUnavailable("the connection was lost after the commit")


class Asker:
    """The end of a runner that hears the answers."""

    def __init__(self) -> None:
        self.runner = self
        self.heard: list[dict[str, Any]] = []

    def send(self, frame: dict[str, Any]) -> None:
        self.heard.append(frame)


@pytest.mark.parametrize("lost", ["the request", "the answer"])
def test_a_job_that_enqueues_does_so_once_though_the_connection_is_lost_at_the_commit(
    postgresql_url: str, lost: str
) -> None:
    plain = open_store(postgresql_url)
    plain.migrate()
    store = Forgetful(plain.backend, plain.settings)
    outbox, asker = Outbox(store, Worker("here", "worker-1"), store.ring), Asker()
    outbox.request(Request(1, (NewJob("app.a"), NewJob("app.b")), asker))
    outbox.request(Request(2, (NewJob("app.c"),), asker))
    store.lose = lost
    with pytest.raises(DatabaseUnavailable):
        outbox.flush()
    assert asker.heard == []
    outbox.flush()
    with store.reading() as session:
        stored = session.one("insights.count_ready", cap=100)
    assert stored is not None
    assert stored["n"] == 3
    assert [(frame["t"], frame["r"], len(frame["ids"])) for frame in asker.heard] == [
        ("stored", 1, 2),
        ("stored", 2, 1),
    ]
    assert len(outbox) == 0
    store.close()


@pytest.fixture
def telling() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What is told of meanwhile."""
    heard: list[tuple[str, dict[str, Any]]] = []
    end = subscribe(lambda name, data: heard.append((name, dict(data))))
    yield heard
    end()


def finished(store: Store) -> list[int]:
    return sorted(row["job_id"] for row in rows(store, "finished"))


def held_up(telling: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return sorted(data["what"] for name, data in telling if name == "storing_held")


def flush_until(outbox: Outbox, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(min(0.05, outbox.rest(time.monotonic()) or 0.0))
        outbox.flush()


def test_the_end_of_a_member_of_a_batch_that_an_open_transaction_adds_to_holds_up_no_other_end(
    postgresql_url: str, telling: list[tuple[str, dict[str, Any]]]
) -> None:
    with closing(open_store(postgresql_url)) as store, psycopg.connect(postgresql_url) as application:
        store.migrate()
        outbox = Outbox(store, Worker("here", "worker-1"), store.ring)
        claimer = Claimer(store)
        opened = store.submit([replace(NewJob("app.member"), batch=-1)] * 4, [NewBatch("May")])
        other = store.submit([replace(NewJob("app.other"), batch=-1)], [NewBatch("June")]).ids[0]
        plain = store.enqueue([NewJob("app.plain")])[0]
        adopt.submit(application, [replace(NewJob("app.late"), batch=opened.batches[-1])])
        held = claimer.claim()
        now = time.monotonic()
        for job in sorted(held, key=lambda job: job.id):
            outbox.add(Ended(job, "done", now))
        outbox.flush()
        outbox.flush()
        assert plain in finished(store)
        late = [f"the end of job {job_id} (app.member)" for job_id in opened.ids]
        flush_until(outbox, lambda: held_up(telling) == late and finished(store) == [other, plain])
        assert sorted(ended.job.id for ended in outbox.untold()) == opened.ids, (
            "who leaves a slot file writes them there"
        )
        assert {job_id for job_id, _ in sorted(outbox.keys())} == set(opened.ids)
        application.commit()
        flush_until(outbox, lambda: not len(outbox))
        assert finished(store) == sorted([*opened.ids, other, plain])
        assert len(held_up(telling)) == 4, "each is told of once"


def test_a_job_that_wants_a_key_of_an_open_transaction_waits_and_nobody_else(
    postgresql_url: str, telling: list[tuple[str, dict[str, Any]]]
) -> None:
    with closing(open_store(postgresql_url)) as store, psycopg.connect(postgresql_url) as application:
        store.migrate()
        outbox, asker, leaver = Outbox(store, Worker("here", "worker-1"), store.ring), Asker(), Asker()
        wanted = NewJob("app.unique", unique=Unique("k", "finish", None, "keep"))
        theirs = adopt.submit(application, [wanted]).ids[0]
        done = store.enqueue([NewJob("app.done")])[0]
        (held,) = Claimer(store).claim()
        outbox.add(Ended(held, "done", time.monotonic()))
        outbox.request(Request(1, (wanted,), asker))
        outbox.request(Request(2, (NewJob("app.plain"),), asker))
        outbox.request(Request(1, (wanted,), leaver))
        outbox.flush()
        assert finished(store) == [done]
        assert [(frame["t"], frame["r"]) for frame in asker.heard] == [("stored", 2)]
        outbox.drop_requests(leaver)
        flush_until(outbox, lambda: held_up(telling) == ["what a job enqueues (app.unique)"])
        assert len(outbox) == 1
        application.commit()
        flush_until(outbox, lambda: not len(outbox))
        assert [(frame["t"], frame["r"], frame["notes"]) for frame in asker.heard[1:]] == [
            ("stored", 1, [[0, "existing"]])
        ]
        assert asker.heard[1]["ids"] == [theirs]
        assert leaver.heard == []
        assert held_up(telling) == ["what a job enqueues (app.unique)"]


def test_a_connection_that_is_lost_while_something_is_tried_again_loses_nothing(postgresql_url: str) -> None:
    with closing(open_store(postgresql_url)) as plain, psycopg.connect(postgresql_url) as application:
        plain.migrate()
        store = Forgetful(plain.backend, plain.settings)
        outbox = Outbox(store, Worker("here", "worker-1"), store.ring)
        opened = store.submit([replace(NewJob("app.member"), batch=-1)], [NewBatch("May")])
        adopt.submit(application, [replace(NewJob("app.late"), batch=opened.batches[-1])])
        (held,) = Claimer(store).claim()
        outbox.add(Ended(held, "done", time.monotonic()))
        outbox.flush()
        assert finished(store) == []
        application.commit()
        store.lose = "the request"
        with pytest.raises(DatabaseUnavailable):
            flush_until(outbox, lambda: not len(outbox))
        assert len(outbox) == 1
        flush_until(outbox, lambda: not len(outbox))
        assert finished(store) == opened.ids


def test_what_is_postponed_is_tried_less_often_the_longer_it_lasts() -> None:
    postponed: Postponed[str] = Postponed()
    assert postponed.rest(0.0) is None
    rests = []
    for tries in range(7):
        postponed.put("it", tries, 100.0)
        rests.append(postponed.rest(100.0))
        assert tries == 0 or postponed.take(100.4) is None
        assert postponed.take(106.0) == ("it", tries)
    assert rests == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert len(postponed) == 0


def test_what_goes_back_untouched_is_told_in_one_line_and_what_was_cut_short_each_by_itself(
    sqlite_url: str, telling: list[tuple[str, dict[str, Any]]]
) -> None:
    with closing(open_store(sqlite_url)) as store:
        store.migrate()
        outbox = Outbox(store, Worker("here", "worker-1"), store.ring)
        ids = store.enqueue([NewJob("app.some") for _ in range(4)])
        why = Failure("queued.JobInterrupted", "its worker stopped")
        for held in Claimer(store).claim():
            cut = held.id == ids[0]
            outbox.add(Ended(held, "released", time.monotonic(), 3.1 if cut else 0.0, why if cut else None))
        outbox.flush()
        told = [(event, data.get("job_id", data.get("ids"))) for event, data in telling if "released" in event]
        assert told == [("job_released", ids[0]), ("jobs_released", ids[1:])]
