"""What a worker makes of claims and rests around an outage, without a runner: the database and its own books."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures.supervised import make_settings
from queued.domain.errors import DatabaseMisconfigured, DatabaseUnavailable
from queued.domain.jobs import Arrival, ClaimedJob, Failure, NewJob
from queued.domain.pace import MOST, WEIGHT
from queued.domain.settings import AppSettings, DispatcherSettings, Settings, WorkerSettings
from queued.domain.unique import Unique
from queued.processes import recovery, station
from queued.processes.dispatcher import Dispatcher
from queued.processes.outbox import Ended
from queued.processes.role import Liveness
from queued.processes.runner_process import RunnerProcess
from queued.processes.station import Delivery
from queued.processes.wakeup import Wakeup
from queued.processes.worker import Worker
from queued.storage import claimed, processes, queues, scheduled
from queued.storage.store import Store, open_store
from queued.telemetry import subscribe


@pytest.fixture
def worker(settings: Settings, store: Store, tmp_path: Path) -> Iterator[Worker]:
    """A registered worker whose application is never loaded."""
    settings = replace(settings, app=AppSettings(str(tmp_path), "python3", ("jobs",)))
    worker = Worker("worker-1", settings, WorkerSettings(), str(tmp_path / "no-application"))
    read, write = os.pipe()
    worker.wakeup, worker.liveness = Wakeup(), Liveness(write)
    worker.store = open_store(settings.database)
    worker._register()
    yield worker
    worker.close()
    worker.store.close()
    worker.wakeup.close()
    os.close(read)
    os.close(write)


def state(store: Store, job: int) -> str:
    with store.reading() as session:
        row = session.one("insights.state", id=job)
    assert row is not None
    return str(row["state"])


def test_a_claim_that_the_worker_never_heard_of_goes_back_after_an_outage(worker: Worker, store: Store) -> None:
    known, unknown = store.enqueue([NewJob("a"), NewJob("b")])
    worker._search(time.monotonic())
    [first] = worker._take_ready(1)
    assert first.id == known
    worker._take_ready(1)  # its answer is lost
    worker._outbox.add(Ended(first, "done", time.monotonic()))
    assert {state(store, known), state(store, unknown)} == {"running"}
    worker._return_unknown()
    assert state(store, known) == "running"
    assert state(store, unknown) == "ready"


def test_after_an_outage_the_worker_compares_its_books_with_the_database(worker: Worker, store: Store) -> None:
    [job] = store.enqueue([NewJob("a")])
    worker._search(time.monotonic())
    worker._take_ready(1)
    worker.poll()
    assert state(store, job) == "running"
    worker._doubt_until = time.monotonic() + 10
    worker.poll()
    assert state(store, job) == "ready"


def test_a_refusal_of_the_database_changes_no_outcome(worker: Worker, store: Store) -> None:
    [job] = store.enqueue([NewJob("a")])
    worker._search(time.monotonic())
    [taken] = worker._take_ready(1)
    worker._outbox.add(Ended(taken, "done", time.monotonic() - 1))
    table = "queued_finished" if store.dialect == "sqlite" else "queued.finished"
    rename(store, table, "finished_away")
    worker.poll()
    assert worker.outage.going_on
    rename(
        store, "finished_away" if store.dialect == "sqlite" else "queued.finished_away", table.removeprefix("queued.")
    )
    worker._retry_at = 0.0
    worker.poll()
    assert state(store, job) == "finished"
    assert not worker.outage.going_on


def claimed_jobs(worker: Worker, store: Store, count: int) -> list[ClaimedJob]:
    store.enqueue([NewJob("a") for _ in range(count)])
    worker._search(time.monotonic())
    return worker._take_ready(count)


@pytest.mark.parametrize("failure", [None, Failure("app.Error", "no")])
def test_what_is_done_while_ends_are_stored_is_done_once(worker: Worker, store: Store, failure: Failure | None) -> None:
    first, second = claimed_jobs(worker, store, 2)
    done: list[str] = []
    worker._outbox.add(Ended(first, "done", time.monotonic()))
    worker._outbox.add(Ended(second, "discarded", time.monotonic(), failure=failure))
    worker._outbox.flush(lambda: done.append("meanwhile"))
    assert done == ["meanwhile"]
    assert {state(store, first.id), state(store, second.id)} == {"finished", "discarded"}
    worker._outbox.flush(lambda: done.append("with nothing to store"))
    assert done == ["meanwhile", "with nothing to store"]


def test_jobs_that_were_claimed_are_handed_out_although_the_ends_before_them_cannot_be_stored(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = claimed_jobs(worker, store, 1)
    [second] = store.enqueue([NewJob("a")])
    handed_out: list[int] = []
    monkeypatch.setattr(worker, "_main", SimpleNamespace(idle=True, deliveries={}, close=lambda: None))
    monkeypatch.setattr(worker, "_hand_out", lambda found: handed_out.extend(job.id for job in found))
    worker._pace.observe(0.001)
    worker._outbox.add(Ended(first, "done", time.monotonic()))
    table = "queued_finished" if store.dialect == "sqlite" else "queued.finished"
    rename(store, table, "finished_away")
    with pytest.raises(DatabaseMisconfigured):
        worker._tell_and_claim(time.monotonic())
    assert handed_out == [second]
    away = "finished_away" if store.dialect == "sqlite" else "queued.finished_away"
    rename(store, away, table.removeprefix("queued."))
    worker._tell_and_claim(time.monotonic())
    assert (state(store, first.id), state(store, second), handed_out) == ("finished", "running", [second])


def test_what_has_ended_is_stored_although_no_claim_succeeds(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = claimed_jobs(worker, store, 1)

    def refuse(now: float) -> list[ClaimedJob]:
        raise DatabaseUnavailable("somebody holds the table")

    monkeypatch.setattr(worker, "_main", SimpleNamespace(idle=True, deliveries={}, close=lambda: None))
    monkeypatch.setattr(worker, "_claim", refuse)
    worker._outbox.add(Ended(first, "done", time.monotonic()))
    with pytest.raises(DatabaseUnavailable):
        worker._tell_and_claim(time.monotonic())
    assert state(store, first.id) == "finished"


def rename(store: Store, table: str, name: str) -> None:
    with store.transaction():
        store.backend.script(f"ALTER TABLE {table} RENAME TO {name};")


def test_due_jobs_that_another_dispatcher_holds_are_no_reason_for_a_busy_loop(
    postgresql_url: str, tmp_path: Path
) -> None:
    settings = make_settings(postgresql_url, tmp_path)
    store, other = open_store(postgresql_url), open_store(postgresql_url)
    store.migrate()
    store.enqueue([NewJob("a", wait=0.01)])
    time.sleep(0.02)
    dispatcher = Dispatcher("dispatcher-1", settings, DispatcherSettings())
    dispatcher.store = store
    dispatcher._sweep_at = dispatcher._prune_at = time.monotonic() + 60
    with other.transaction() as session:
        assert len(scheduled.dispatch(session, 10)) == 1
        assert dispatcher.poll() > 0
    store.close()
    other.close()


def test_a_queue_that_was_only_announced_is_in_the_registry_once_its_job_is_claimed(
    worker: Worker, store: Store
) -> None:
    worker._search(time.monotonic())
    store.enqueue([NewJob("a", queue="mail")])
    worker._lanes.arrived(Arrival("mail", 0, 0))
    worker._hungry = False
    [_] = worker._take_ready(1)
    worker._tell_and_claim(time.monotonic())
    with store.reading() as session:
        assert queues.names(session) == ["mail"]
    assert (worker._noted, worker._unnoted) == ({"mail"}, set())


def test_what_a_worker_could_not_tell_is_stored_by_whoever_settles_its_claims(worker: Worker, store: Store) -> None:
    done, retried, crashed, untouched = store.enqueue([NewJob("a"), NewJob("b"), NewJob("c"), NewJob("d")])
    worker._search(time.monotonic())
    jobs = {job.id: job for job in worker._take_ready(4)}
    os.makedirs(worker.settings.runtime_directory)
    child = (NewJob("child", run_at=datetime(2100, 1, 1, tzinfo=timezone.utc)),)
    failure = Failure("app.Error", "not now", ("line 1", "line 2"))
    now = time.monotonic()
    worker._outbox.add(Ended(jobs[done], "done", now, 0.5, enqueue=child))
    worker._outbox.add(Ended(jobs[retried], "retry", now, 0.5, failure, 60.0, "app.Error"))
    worker._crashed.append((Delivery(jobs[crashed], now, None), "its process died"))
    worker.close()
    with store.reading() as session:
        row = processes.find(session, worker.name)
    assert row is not None
    recovered = recovery.recover(store, row, "it stopped while the database was away", crash_limit=3)
    assert (recovered.crashed, recovered.released) == ([crashed], [untouched])
    assert state(store, done) == "finished"
    assert state(store, retried) == "scheduled"
    with store.reading() as session:
        assert sum(row["n"] for row in session.all("insights.scheduled_by_queue", cap=10)) == 2
        [attempt] = session.all("insights.attempts", id=retried)
    assert (attempt["message"], attempt["backtrace"], attempt["policy"]) == ("not now", "line 1\nline 2", "app.Error")
    assert not os.path.exists(worker._untold)


def test_a_worker_that_has_told_everything_leaves_no_file(worker: Worker, store: Store) -> None:
    os.makedirs(worker.settings.runtime_directory)
    worker.close()
    assert os.listdir(worker.settings.runtime_directory) == []


def test_a_fork_server_that_hangs_is_waited_for_once_a_turn(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "START_PATIENCE", 1.0)
    worker.store.enqueue([NewJob("a"), NewJob("b"), NewJob("c")])
    worker._search(time.monotonic())
    now = time.monotonic()
    worker._waiting_alone.extend((job, now) for job in worker._take_ready(3))
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory() as directory:
        listener.bind(f"{directory}/socket")
        listener.listen(8)
        os.symlink(f"{directory}/socket", tmp_path / "no-application")
        ours, theirs = socket.socketpair()
        server, _ = socket.socketpair()
        worker._main = station.Station(RunnerProcess(ours, server, str(tmp_path / "slots"), "main"), 1, alone=False)
        worker._open_stations(now)
        theirs.close()
    assert time.monotonic() - now < 2.0
    assert worker._open_at > time.monotonic()
    assert len(worker._waiting_alone) == 3


def test_a_job_that_expires_and_is_unique_until_its_end_keeps_its_key_when_it_starts(
    worker: Worker, store: Store
) -> None:
    kept = NewJob("app.work", unique=Unique("kept", "finish", None, "keep"), expires=60.0)
    freed = NewJob("app.work", unique=Unique("freed", "start", None, "keep"), expires=60.0)
    ids = store.enqueue([kept, freed])
    worker._search(time.monotonic())
    found = worker._take_ready(10)
    assert sorted(one.id for one in worker._admit(found, time.monotonic())) == ids
    again = store.submit([kept, freed])
    assert again.ids[0] == ids[0]
    assert dict(again.notes) == {0: "existing"}
    assert again.ids[1] not in ids


def test_large_jobs_amid_small_ones_are_claimed_as_far_as_there_is_room_and_others_are_told_of_the_rest(
    worker: Worker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = store.enqueue([NewJob("a") for _ in range(200)])
    large = store.enqueue([NewJob("b", "x" * (WEIGHT // 8)) for _ in range(100)])
    told: list[Arrival] = []
    monkeypatch.setattr(worker.store, "ring", told.extend)
    worker._pace.claimed(MOST, MOST, MOST)
    for _ in range(MOST):
        worker._pace.observe(0.000_01)
    assert worker._pace.allowance(worker.capacity) == MOST
    worker._search(time.monotonic())
    found = worker._take_ready(MOST)
    assert [job.id for job in found] == [*small, *large[:7]]
    assert sum(job.weight for job in found) <= WEIGHT
    assert [state(store, job_id) for job_id in large] == ["running"] * 7 + ["ready"] * 93
    assert worker._hungry
    assert [(arrival.queue, arrival.priority) for arrival in told] == [("default", 0)]
    # The measure has seen them: what comes next is asked for in such numbers that it fits.
    assert worker._pace.allowance(worker.capacity) < MOST


def test_a_job_that_ended_under_an_old_lease_and_under_a_new_one_has_ended_once(worker: Worker, store: Store) -> None:
    [old] = claimed_jobs(worker, store, 1)
    [other] = claimed_jobs(worker, store, 1)
    with store.transaction() as session:
        claimed.release(session, [(old.id, old.lease)], [])
    worker._search(time.monotonic())
    [new] = worker._take_ready(1)
    assert new.id == old.id
    for job in (old, other, new):
        worker._outbox.add(Ended(job, "done", time.monotonic()))
    told: list[tuple[str, int]] = []
    end = subscribe(lambda name, data: told.append((name, data["job_id"])) if "job_id" in data else None)
    worker._outbox.flush()
    end()
    assert state(store, old.id) == state(store, other.id) == "finished"
    assert sorted(told) == sorted([("job_done", other.id), ("job_done", new.id), ("stale_outcome", old.id)])
