"""What a worker has to tell of how far jobs have come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from queued.domain.errors import DatabaseUnavailable
from queued.domain.insights import Progress
from queued.domain.jobs import Checkpoint, ClaimedJob, NewJob
from queued.domain.lanes import Lanes
from queued.domain.queues import Selector
from queued.processes.checkpoints import Save, checkpoint_of, state_of
from queued.processes.outbox import Ended, Outbox
from queued.processes.recovery import outcome_of
from queued.storage import claimed, insights, processes, ready
from queued.storage.store import Store, open_store
from queued.telemetry import subscribe

FURTHER = '{"finished":[],"step":"a","cursor":2}'


class Listener:
    """A runner as the outbox has it: what it was answered."""

    def __init__(self) -> None:
        self.runner = self
        self.answers: list[dict[str, Any]] = []

    def send(self, frame: dict[str, Any]) -> None:
        """Take an answer."""
        self.answers.append(frame)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store, claimed.Worker("here", "worker-1"), lambda arrivals: None)


def claim(store: Store, count: int = 1) -> list[ClaimedJob]:
    store.enqueue([NewJob("app.work") for _ in range(count)])
    with store.transaction() as session:
        process = processes.register(
            session, name="worker-1", kind="Worker", supervisor=None, pid=1, hostname="here", identity={}, metadata={}
        )
        lanes = Lanes(Selector.parse(("*",)))
        lanes.searched(ready.lanes(session), 0.0, 0.0)
    with store.statement() as session:
        return ready.claim(session, lanes.marks(), 100, process, process << 32).jobs


def progress(store: Store, job_id: int) -> Progress | None:
    with store.reading() as session:
        return insights.job(session, job_id).progress


def moved(job: ClaimedJob, done: float, message: str | None = None) -> Checkpoint:
    return Checkpoint(job.id, job.lease, FURTHER, done, None, message)


def test_only_the_latest_checkpoint_of_a_job_is_stored_and_soon(store: Store, outbox: Outbox) -> None:
    (job,) = claim(store)
    assert outbox.rest(0.0) is None
    for done in range(1000):
        outbox.checkpoints.put(moved(job, done))
    assert len(outbox) == 1
    rest = outbox.rest(outbox.checkpoints._since)
    assert rest is not None
    assert 0 < rest <= 0.1
    outbox.flush()
    assert len(outbox) == 0
    assert progress(store, job.id) == Progress(999.0)


def test_who_waits_is_answered_once_it_is_stored_and_told_when_the_job_is_no_longer_ours(
    store: Store, outbox: Outbox
) -> None:
    job, lost = claim(store, 2)
    with store.transaction() as session:
        claimed.release(session, [(lost.id, lost.lease)], [])
    listener = Listener()
    for number, one in enumerate((job, lost)):
        outbox.checkpoints.put(moved(one, 1.0), Save(number, (one.id, one.lease), listener))
    assert outbox.rest(0.0) == 0.0
    outbox.flush()
    assert listener.answers == [{"t": "stored", "r": 0, "ids": [job.id]}, {"t": "stored", "r": 1, "ids": []}]
    assert progress(store, lost.id) is None


def test_a_checkpoint_that_came_before_the_end_is_stored_with_it(store: Store, outbox: Outbox) -> None:
    job, other = claim(store, 2)
    outbox.checkpoints.put(moved(job, 1.0))
    outbox.checkpoints.put(moved(other, 1.0))
    outbox.add(Ended(job, "released", 0.0))
    outbox.add(Ended(other, "done", 0.0, checkpoint=moved(other, 2.0)))
    assert [ended.checkpoint and ended.checkpoint.done for ended in outbox.untold()] == [1.0, 2.0]
    outbox.flush()
    assert (progress(store, job.id), progress(store, other.id)) == (Progress(1.0), Progress(2.0))


def test_what_is_left_for_others_to_settle_holds_the_checkpoint(store: Store, outbox: Outbox) -> None:
    (job,) = claim(store)
    last = Checkpoint(job.id, job.lease, FURTHER, 1.0, 2.0, "half")
    frame = Ended(job, "released", 0.0, checkpoint=last).frame()
    assert outcome_of(frame).checkpoint == last
    assert checkpoint_of(frame, state_of(Checkpoint(job.id, job.lease, FURTHER))) == Checkpoint(
        job.id, job.lease, FURTHER
    )
    assert checkpoint_of(frame, None) is None


def test_one_that_the_database_cannot_hold_does_not_keep_it_from_the_others(
    store: Store, outbox: Outbox, request: pytest.FixtureRequest
) -> None:
    if store.dialect == "sqlite":
        pytest.skip("SQLite holds every text")
    good, bad = claim(store, 2)
    listener = Listener()
    lost: list[Any] = []
    request.addfinalizer(
        subscribe(lambda name, data: lost.append(data["job_id"]) if name == "checkpoint_lost" else None)
    )
    for number, (one, message) in enumerate(((bad, "a\0b"), (good, "fine"))):
        outbox.checkpoints.put(moved(one, 1.0, message), Save(number, (one.id, one.lease), listener))
    outbox.flush()
    assert [answer["t"] for answer in listener.answers] == ["refused", "stored"]
    assert progress(store, good.id) == Progress(1.0, None, "fine")
    assert lost == [bad.id]


def test_while_the_database_is_away_nothing_is_lost(
    store: Store, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = claim(store)
    listener = Listener()
    outbox.checkpoints.put(moved(job, 1.0), Save(5, (job.id, job.lease), listener))

    def away(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "statement", away)
        with pytest.raises(DatabaseUnavailable):
            outbox.flush()
        outbox.checkpoints.put(moved(job, 2.0))
    assert listener.answers == []
    outbox.flush()
    assert listener.answers == [{"t": "stored", "r": 5, "ids": [job.id]}]
    assert progress(store, job.id) == Progress(2.0)


def test_the_requests_of_a_runner_that_is_gone_are_dropped_and_its_checkpoints_kept(
    store: Store, outbox: Outbox
) -> None:
    (job,) = claim(store)
    listener = Listener()
    outbox.checkpoints.put(moved(job, 1.0), Save(5, (job.id, job.lease), listener))
    outbox.drop_requests(listener)
    outbox.checkpoints.store()
    assert listener.answers == []
    assert progress(store, job.id) == Progress(1.0)
