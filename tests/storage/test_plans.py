"""The hot statements on PostgreSQL: no plan may walk a table, whatever the statistics say or do not say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from queued.domain.jobs import NewJob
from queued.domain.limits import Limit
from queued.storage import processes
from queued.storage.sql import statements
from queued.storage.store import Store, open_store

BACKLOG = 20_000


@pytest.fixture(params=["never analysed", "analysed while empty", "analysed while full"])
def crowded(request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[Store]:
    """A PostgreSQL store with a great backlog, and statistics of every kind."""
    store = open_store(postgresql_url)
    store.migrate()
    connection: Any = store.backend.connection()
    for table in ("jobs", "ready", "claimed", "scheduled", "finished", "attempts"):
        connection.execute(f"ALTER TABLE queued.{table} SET (autovacuum_enabled = false)")
        if request.param == "analysed while empty":
            connection.execute(f"ANALYZE queued.{table}")
    for start in range(0, BACKLOG, 5000):
        store.enqueue([NewJob("app.work", queue=f"q{n % 5}", priority=n % 2) for n in range(start, start + 5000)])
    store.enqueue([NewJob("app.later", wait=-0.0 if n % 2 else 3600 + n) for n in range(2000)])
    connection.execute(
        "INSERT INTO queued.claimed (job_id, lease, process_id, queue, priority, attempt) "
        "SELECT n, n, 1, 'q', 0, 1 FROM generate_series(1000000, 1005000) n"
    )
    if request.param == "analysed while full":
        connection.execute("ANALYZE")
    yield store
    store.close()


def plan(store: Store, name: str, **params: Any) -> dict[str, Any]:
    """The plan of a named statement as it really ran, rolled back afterwards."""
    (text,) = statements("postgresql")[name]
    with store.transaction() as session:
        cursor = session._cursor  # type: ignore[attr-defined]
        cursor.execute("SAVEPOINT before")
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text, params)
        found = cursor.fetchone()["QUERY PLAN"]
        cursor.execute("ROLLBACK TO before")
    loaded = json.loads(found) if isinstance(found, str) else found
    top: dict[str, Any] = loaded[0]["Plan"]
    return top


def nodes(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield top
    for child in top.get("Plans", ()):
        yield from nodes(child)


def walks(top: dict[str, Any]) -> list[str]:
    """Nodes that read a whole table or a whole index of one."""
    return [
        f"{node['Node Type']} on {node.get('Relation Name') or node.get('Index Name')}"
        for node in nodes(top)
        if node["Node Type"] == "Seq Scan"
        or (
            node["Node Type"] in {"Index Scan", "Index Only Scan"} and node["Actual Rows"] * node["Actual Loops"] > 3000
        )
    ]


def pages(top: dict[str, Any]) -> int:
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_a_claim_walks_no_table(crowded: Store) -> None:
    with crowded.transaction() as session:
        process_id = processes.register(
            session, name="w", kind="Worker", supervisor=None, pid=1, hostname="h", identity={}, metadata={}
        )
    top = plan(
        crowded,
        "ready.claim",
        queues=[f"q{n}" for n in range(5)] * 2,
        priorities=[0] * 5 + [1] * 5,
        ranks=[0] * 10,
        marks=[0] * 10,
        limit=100,
        process_id=process_id,
        lease=1 << 40,
        light=1000,
    )
    assert walks(top) == []
    assert pages(top) < 4000, "a claim of 100 jobs touches some tens of pages a job at most"


def test_a_claim_of_programs_walks_no_table_however_many_other_jobs_stand_in_their_lanes(crowded: Store) -> None:
    crowded.enqueue([NewJob("queued.shell", queue="q3", priority=1) for _ in range(20)])
    with crowded.transaction() as session:
        process_id = processes.register(
            session, name="w", kind="Worker", supervisor=None, pid=1, hostname="h", identity={}, metadata={}
        )
    top = plan(
        crowded,
        "ready.claim_programs",
        queues=[f"q{n}" for n in range(5)] * 2,
        priorities=[0] * 5 + [1] * 5,
        ranks=[0] * 10,
        limit=100,
        process_id=process_id,
        lease=1 << 40,
        light=1000,
    )
    assert top["Actual Rows"] == 20
    assert [walk for walk in walks(top) if "ready" in walk or "jobs" in walk] == []
    assert pages(top) < 2000


def test_finding_the_lanes_jumps_and_does_not_walk(crowded: Store) -> None:
    top = plan(crowded, "ready.lanes")
    assert walks(top) == []
    assert pages(top) < 200


def test_ending_and_releasing_jobs_walks_no_table(crowded: Store) -> None:
    some = list(range(1000000, 1000100))
    top = plan(
        crowded,
        "claimed.finish",
        ids=some,
        leases=some,
        states=["finished"] * 100,
        durations=[0.1] * 100,
        ended_agos=[0.0] * 100,
    )
    assert walks(top) == []
    ends = {"states": ["finished"] * 100, "durations": [0.1] * 100, "ended_agos": [0.0] * 100}
    assert walks(plan(crowded, "claimed.finish_plain", ids=some, leases=some, count=100, **ends)) == []
    ends["states"] = ["finished", "deleted"] * 50
    assert walks(plan(crowded, "claimed.finish_or_delete", ids=some, leases=some, count=100, **ends)) == []
    assert walks(plan(crowded, "claimed.release", ids=some, leases=some)) == []


@pytest.mark.parametrize("statement", ["claimed.finish", "claimed.finish_plain", "claimed.finish_or_delete"])
def test_an_end_does_not_walk_over_the_claims_that_an_old_transaction_keeps_visible(
    crowded: Store, postgresql_url: str, statement: str
) -> None:
    connection: Any = crowded.backend.connection()
    held = psycopg.connect(postgresql_url)
    held.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    held.execute("SELECT count(*) FROM queued.claimed")
    connection.execute(
        "INSERT INTO queued.claimed (job_id, lease, process_id, queue, priority, attempt) "
        "SELECT n, n, 1, 'q', 0, 1 FROM generate_series(2000000, 2200000) AS n"
    )
    connection.execute("DELETE FROM queued.claimed")
    connection.execute("VACUUM ANALYZE queued.claimed")
    some = list(range(2000000, 2000100))
    ends = {"states": ["finished"] * 100, "durations": [0.1] * 100, "ended_agos": [0.0] * 100}
    top = plan(
        crowded, statement, ids=some, leases=some, **ends, **({} if statement == "claimed.finish" else {"count": 100})
    )
    held.close()
    assert pages(top) < 1000


def test_dispatching_and_looking_for_due_jobs_walks_no_table(crowded: Store) -> None:
    assert walks(plan(crowded, "scheduled.dispatch", batch_size=500)) == []
    assert walks(plan(crowded, "scheduled.next_due")) == []


def test_looking_for_jobs_whose_time_is_over_reads_a_stretch_and_not_the_table(crowded: Store) -> None:
    with crowded.transaction():
        crowded.backend.script(
            "INSERT INTO queued.finished (job_id, state, attempt, finished_at) "
            "SELECT id, 'finished', 1, now() - (CASE WHEN id % 2 = 0 THEN 1 ELSE 3 END) * interval '1 hour' FROM queued.jobs"
        )
    ends = {"finished": 7200.0, "discarded": None, "cancelled": 1.0}
    top = plan(crowded, "retention.ended", after=1000, batch_size=500, **ends)
    assert walks(top) == []
    assert top["Actual Rows"] == 251
    assert pages(top) < 5000


IN_LINE = 50_000


@pytest.fixture(params=["never analysed", "analysed while full"])
def line(request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[Store]:
    """A key with one holder and a very long line, and some hundred further keys."""
    store = open_store(postgresql_url)
    store.migrate()
    connection: Any = store.backend.connection()
    for table in ("blocked", "slots", "job_limits", "limits", "ready", "jobs"):
        connection.execute(f"ALTER TABLE queued.{table} SET (autovacuum_enabled = false)")
    for start in range(0, IN_LINE, 5000):
        store.enqueue([NewJob("app.work", priority=n % 5, limits=(Limit("k", 1),)) for n in range(start, start + 5000)])
    store.enqueue([NewJob("app.work", limits=(Limit(f"k{n}", 1), Limit("far", 1000))) for n in range(500)])
    if request.param == "analysed while full":
        connection.execute("ANALYZE")
    yield store
    store.close()


def test_a_long_line_makes_no_statement_of_limits_walk(line: Store) -> None:
    assert walks(plan(line, "limits.of_jobs", ids=list(range(1, 101)))) == []
    assert walks(plan(line, "limits.lock", keys=["k", "k1", "far"])) == []
    assert walks(plan(line, "limits.free", ids=[1, 2, 3])) == []
    assert walks(plan(line, "limits.room", keys=["k", "k1", "k2"])) == []
    top = plan(line, "limits.heads", keys=["k", "k1"], count=2)
    assert walks(top) == []
    assert pages(top) < 50
    waiting = [row["job_id"] for row in rows_of(line, "SELECT job_id FROM queued.blocked LIMIT 20")]
    assert walks(plan(line, "limits.admit", ids=waiting)) == []
    assert walks(plan(line, "limits.end_blocked", ids=waiting, state="cancelled")) == []
    assert walks(plan(line, "limits.waited_for", batch_size=500)) == []


def test_a_long_line_costs_neither_the_claim_nor_the_end_of_its_holder(line: Store) -> None:
    process = {"kind": "Worker", "supervisor": None, "pid": 1, "hostname": "h", "identity": {}, "metadata": {}}
    with line.transaction() as session:
        process_id = processes.register(session, name="w", **process)  # type: ignore[arg-type]
    top = plan(
        line,
        "ready.claim",
        queues=["default"] * 5,
        priorities=list(range(5)),
        ranks=[0] * 5,
        marks=[0] * 5,
        limit=10,
        process_id=process_id,
        lease=1 << 40,
        light=1000,
    )
    assert walks(top) == []
    assert pages(top) < 400


def rows_of(store: Store, statement: str) -> list[dict[str, Any]]:
    with store.reading() as session:
        cursor = session._cursor  # type: ignore[attr-defined]
        cursor.execute(statement)
        found: list[dict[str, Any]] = cursor.fetchall()
    return found
