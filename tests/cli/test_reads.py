"""What operators read stays cheap: no statement walks a table of jobs, also before anybody has analysed it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from cli.conftest import Hand, Program, job
from queued.domain.query import parse
from queued.storage import insights, search
from queued.storage.sql import statements
from queued.storage.store import Store, open_store

MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
PARAMETERS: dict[str, object] = {"id": 7, "before": 1000, "page": 50, "cap": 100, "queue": "q1", "priority": 1}
PARAMETERS |= {"since": MOMENT, "lanes": 10}
#: Reads of one job, and lists by id: each must go straight to its rows.
DIRECT = (
    *("job", "state", "attempts", "process", "ready_in_lane", "lanes", "count_ready_in", "count_failed_since"),
    *("count_ends_since", "longest_due"),
)


@pytest.fixture
def reader(store: Store, database_url: str) -> Iterator[Store]:
    """A store as queuectl opens it, on some thousand jobs that nobody has analysed."""
    store.enqueue([job(queue=f"q{n % 9}", priority=n % 3) for n in range(3000)])
    store.enqueue([job(queue=f"q{n % 9}", wait=500.0) for n in range(500)])
    reading = open_store(database_url, create=False, joins=True)
    yield reading
    reading.close()


@pytest.mark.parametrize("name", DIRECT)
def test_a_read_goes_straight_to_its_rows(reader: Store, name: str) -> None:
    (text,) = statements(reader.dialect)[f"insights.{name}"]
    if reader.dialect == "sqlite":
        from queued.storage.sqlite import adapt

        values = {key: adapt(value) for key, value in PARAMETERS.items()}
        with reader.reading():
            rows = reader.backend.connection().execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
        scans = [row[-1] for row in rows if row[-1].startswith("SCAN") and "INDEX" not in row[-1]]
        # What was cut out before may be read whole: subqueries by their alias, and the steps of the recursion.
        cut = ("j", "s", "c", "f", "e", "lanes", "counted", "(subquery-1)")
        assert [scan for scan in scans if scan.split()[1] not in cut] == []
        return
    with reader.reading():
        rows = reader.backend.connection().execute(f"EXPLAIN {text}", PARAMETERS).fetchall()  # type: ignore[arg-type]
    plan = "\n".join(next(iter(row.values())) if isinstance(row, dict) else row[0] for row in rows)
    assert "Seq Scan" not in plan, plan


def test_counts_stop_at_their_cap(reader: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "COUNT_CAP", 100)
    monkeypatch.setattr(insights.Count, "of", classmethod(lambda cls, n: cls(min(n, 100), n > 100)))
    with reader.reading() as session:
        overview = insights.overview(session)
    assert str(overview.ready) == "100+"
    assert str(overview.scheduled) == "100+"
    assert {str(queue.ready) for queue in overview.queues} == {"100+"}
    assert all(queue.scheduled.capped for queue in overview.queues)


def test_a_search_for_something_rare_stops_and_says_where(reader: Store) -> None:
    with reader.reading() as session:
        page = search.search(session, parse("class:app.rare"), 10, budget=0)
        assert (page.jobs, page.searched_to, page.following) == ((), 2501, "2501")
        page = search.search(session, parse("class:app.rare"), 10, "500", budget=0)
        assert (page.jobs, page.searched_to, page.following) == ((), None, None)


def test_the_oldest_of_each_queue_is_found_over_all_its_priorities(ctl: Program, store: Store, worker: Hand) -> None:
    first, _, third = (store.enqueue([job(queue=queue, priority=n)])[0] for queue, n in (("a", 9), ("a", 1), ("b", 5)))
    told = {queue["name"]: queue["oldest_ready_at"] for queue in ctl("queues", "list", "--json").json["queues"]}
    assert told["a"] == ctl("jobs", "show", first, "--json").json["ready_at"]
    assert told["b"] == ctl("jobs", "show", third, "--json").json["ready_at"]
