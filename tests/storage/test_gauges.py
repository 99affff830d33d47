"""What monitoring reads, on both databases: the right numbers, and never a whole table."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from queued.domain.gauges import COUNT_BUDGET
from queued.domain.jobs import NewJob, Outcome
from queued.domain.limits import Limit
from queued.domain.recurring import define
from queued.storage import claimed, gauges, insights, processes, queues, ready, recurring
from queued.storage.session import Paced
from queued.storage.sql import statements
from queued.storage.store import Store, open_store
from storage.conftest import Claimer

WORKER = claimed.Worker("here", "worker-1")


def read(store: Store, **options: Any) -> gauges.Sample:
    with store.reading() as session:
        return gauges.read(session, **options)


def queue(sample: gauges.Sample, name: str) -> insights.QueueInfo:
    return next(queue for queue in sample.overview.queues if queue.name == name)


def test_an_empty_database_has_nothing_to_tell(store: Store) -> None:
    sample = read(store)
    assert (sample.scheduled_lag, sample.blocked_oldest, sample.orphaned, sample.enqueued) == (0.0, 0.0, 0, 0)
    assert (sample.overview.queues, sample.tasks, dict(sample.longest_running)) == ((), (), {})


def test_jobs_are_told_by_queue_and_state(store: Store, claimer: Claimer) -> None:
    store.enqueue([NewJob("app.a", queue="mail") for _ in range(5)])
    got = claimer.claim(2)
    with store.transaction() as session:
        claimed.finish(session, [Outcome(got[0].id, got[0].lease, "failed")], WORKER)
    store.enqueue([NewJob("app.b", queue="later", wait=3600), NewJob("app.b", queue="mail")])
    store.enqueue([NewJob("app.c", queue="one", limits=(Limit("k", 1),)) for _ in range(3)])
    with store.transaction() as session:
        queues.pause(session, "later")
    sample = read(store)
    mail = queue(sample, "mail")
    assert (mail.ready.value, mail.running, mail.failed.value, mail.workers) == (4, 1, 1, 1)
    assert (queue(sample, "later").scheduled.value, queue(sample, "later").paused_at is not None) == (1, True)
    assert (queue(sample, "one").ready.value, queue(sample, "one").blocked.value) == (1, 2)
    assert sample.enqueued == 10
    assert set(sample.longest_running) == {"mail"}
    assert sample.capped == frozenset()
    assert sample.blocked_oldest >= 0.0


def test_who_reads_hears_of_each_statement_that_has_been_answered(store: Store) -> None:
    store.enqueue([NewJob("app.a", queue=f"q{n}") for n in range(20)])
    turns: list[bool] = []

    def beat() -> None:
        with store.transaction(durable=False) as session:
            turns.append(processes.beat(session, 1))

    with store.reading() as session:
        sample = gauges.read(Paced(session, beat))
        gauges.sizes(Paced(session, beat))
    assert len(sample.overview.queues) == 20
    assert len(turns) > 30, "some twelve statements, and one for each queue"


def test_ages_are_those_of_the_oldest(store: Store, claimer: Claimer) -> None:
    store.enqueue([NewJob("app.a"), NewJob("app.due", wait=0.05), NewJob("app.b")])
    claimer.claim(1)
    time.sleep(0.3)
    sample = read(store)
    latency = queue(sample, "default").latency
    assert latency is not None
    for age in (latency, sample.longest_running["default"], sample.scheduled_lag):
        assert 0.2 < age < 60.0


def test_claims_whose_process_is_gone_are_orphans(store: Store, claimer: Claimer) -> None:
    store.enqueue([NewJob("app.a") for _ in range(3)])
    claimer.claim(2)
    assert read(store).orphaned == 0
    with store.transaction() as session:
        session.run("processes.delete", process_id=claimer.id)
    assert read(store).orphaned == 2


def test_numbers_given_to_jobs_go_on_when_the_jobs_are_gone(store: Store, claimer: Claimer) -> None:
    store.enqueue([NewJob("app.a") for _ in range(3)])
    ends = [Outcome(job.id, job.lease, "done") for job in claimer.claim()]
    with store.transaction() as session:
        claimed.finish(session, ends, WORKER)
    with store.transaction():
        connection: Any = store.backend.connection()
        connection.execute("DELETE FROM queued.jobs" if store.dialect == "postgresql" else "DELETE FROM queued_jobs")
    assert read(store).enqueued == 3


def test_a_task_tells_its_last_start_and_its_last_success(store: Store) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    with store.transaction() as session:
        for key in ("ping", "idle"):
            recurring.save(session, define(key, class_name="app.ping", schedule="every hour"))
        for hours, outcome in ((3, "finished"), (2, "failed"), (1, "skipped")):
            recurring.record(session, "ping", now - timedelta(hours=hours), outcome="running")
            recurring.end(session, "ping", now - timedelta(hours=hours), outcome)
        recurring.pause(session, "idle")
    idle, ping = read(store).tasks
    assert (idle.key, idle.enabled, idle.enqueued_at, idle.succeeded_at) == ("idle", False, None, None)
    assert ping.enabled
    assert ping.enqueued_at is not None
    assert ping.succeeded_at is not None


def test_sizes_are_told_by_table_where_the_database_tells(store: Store) -> None:
    store.enqueue([NewJob("app.a", arguments="x" * 100) for _ in range(1000)])
    with store.reading() as session:
        sizes = gauges.sizes(session)
    assert sizes.total > 100_000
    if store.dialect == "postgresql":
        assert set(sizes.tables) == set(gauges.TABLES)
        assert sizes.tables["jobs"][0] > 100_000


def test_counts_stop_at_their_caps_and_say_so(store: Store) -> None:
    store.enqueue([NewJob("app.a", queue=f"q{n % 2}") for n in range(300)])
    store.enqueue([NewJob("app.b", wait=3600) for _ in range(300)])
    sample = read(store, cap=100)
    assert sample.capped == {"ready", "scheduled"}
    assert str(queue(sample, "q0").ready) == "100+"
    assert queue(sample, "q0").latency is not None


def test_many_full_queues_share_what_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.enqueue([NewJob("app.a", queue=f"q{n % 10}") for n in range(500)])
    monkeypatch.setattr(insights, "FAIR_SHARE", 20)
    monkeypatch.setattr(gauges, "COUNT_BUDGET", 300)
    assert {str(queue.ready) for queue in read(store).overview.queues} == {"30+"}
    assert COUNT_BUDGET >= 50_000


LANES = 20


@pytest.fixture
def deep(sqlite_url: str) -> Store:
    """A SQLite file with few lanes and many jobs in each."""
    store = open_store(sqlite_url)
    store.migrate()
    store.enqueue([NewJob("app.a", queue=f"q{n % LANES}", priority=n % 2) for n in range(LANES * 1000)])
    return store


@pytest.mark.parametrize("name", ["ready.lanes", "insights.lanes"])
def test_sqlite_finds_the_lanes_without_walking_them(deep: Store, name: str) -> None:
    connection: Any = deep.backend.connection()
    steps = [0]

    def step() -> None:
        steps[0] += 1

    connection.set_progress_handler(step, 100)
    with deep.reading() as session:
        found = ready.lanes(session) if name == "ready.lanes" else session.all(name, lanes=1000)
    connection.set_progress_handler(None, 0)
    assert len(found) == LANES
    assert steps[0] < LANES * 4, "some hundred steps of the machine for each lane, however many jobs are in it"
    deep.close()


def test_no_part_of_it_walks_a_large_table_on_postgresql(postgresql_url: str) -> None:
    store = open_store(postgresql_url)
    store.migrate()
    connection: Any = store.backend.connection()
    for start in range(0, 30_000, 5000):
        store.enqueue([NewJob("app.a", queue=f"q{n % 5}") for n in range(start, start + 5000)])
    connection.execute(
        "INSERT INTO queued.recurring_runs (task_key, outcome, run_at) "
        "SELECT 'k', 'finished', now() - n * interval '1 second' FROM generate_series(1, 20000) n"
    )
    with store.transaction() as session:
        recurring.save(session, define("k", class_name="app.k", schedule="every second"))
    connection.execute("ANALYZE")
    with store.transaction() as session:
        cursor = session._cursor  # type: ignore[attr-defined]
        for name, params in (
            ("gauges.tasks", {"cap": 1000}),
            ("gauges.running_since", {"cap": 20_000}),
            ("gauges.oldest_blocked", {}),
            ("gauges.enqueued", {}),
            ("insights.count_ready_in", {"queue": "q1", "cap": 1000}),
            ("insights.lanes", {"lanes": 1000}),
        ):
            (text,) = statements("postgresql")[name]
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text, params)
            plan = cursor.fetchone()["QUERY PLAN"][0]["Plan"]
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200, name
    store.close()
