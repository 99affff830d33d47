"""What a query finds, on both databases, page by page, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from queued.domain.backtraces import fingerprint
from queued.domain.errors import QueryError
from queued.domain.jobs import Failure, Outcome
from queued.domain.limits import Limit
from queued.domain.query import parse
from queued.storage import claimed, search
from queued.storage.session import Composition
from queued.storage.sql import statements
from queued.storage.store import Store, open_store
from storage.conftest import Claimer, job

HERE = claimed.Worker("here", "worker-1")
TRACE = ('  File "/srv/app/jobs.py", line 3, in work', '  File "/lib/python3.11/json/x.py", line 9, in load')


@dataclass(frozen=True)
class Scene:
    """Jobs in every state, by the name of what is special about them."""

    store: Store
    ids: dict[str, int]

    def found(self, query: str, limit: int = 50) -> set[str]:
        names = {job_id: name for name, job_id in self.ids.items()}
        with self.store.reading() as session:
            page = search.search(session, parse(query), limit, budget=10)
            listed = [one.id for one in page.jobs]
            assert sorted(search.matching(session, parse(query))) == sorted(listed)
        assert len(set(listed)) == len(listed)
        return {names[job_id] for job_id in listed}


def arguments(*args: object, **kwargs: object) -> str:
    return json.dumps({"args": args, "kwargs": kwargs})


@pytest.fixture
def scene(store: Store, claimer: Claimer) -> Scene:
    made = {
        "finished": job("app.Import", arguments=arguments(user_id=42)),
        "discarded": job("app.Import", arguments=arguments(user_id=43)),
        "cancelled": job("app.Export", queue="mail"),
        "timeout": job("app.ImportUsers", arguments=arguments("Zoë", user_id=42), queue="mail"),
        "broken": job("app.Import_", queue="mail", priority=5),
        "held": job("app.Export", limits=(Limit("k", 1),)),
    }
    ids = dict(zip(made, store.enqueue(list(made.values())), strict=True))
    kinds = {
        "finished": "done",
        "discarded": "discarded",
        "cancelled": "cancelled",
        "timeout": "failed",
        "broken": "failed",
    }
    errors = {"timeout": Failure("TimeoutError", "took 100% of_its time", TRACE), "broken": Failure("app.Broken", "no")}
    names = {job_id: name for name, job_id in ids.items()}
    outcomes = [
        Outcome(one.id, one.lease, kinds[names[one.id]], failure=errors.get(names[one.id]))  # type: ignore[arg-type]
        for one in claimer.claim()
        if names[one.id] in kinds
    ]
    with store.transaction() as session:
        assert not claimed.finish(session, outcomes, HERE).stale
    later = {
        "blocked": job("app.Export", limits=(Limit("k", 1),)),
        "scheduled": job("app.Import", wait=600.0, arguments=arguments(user_id=7)),
        "ready": job("app.Export", queue="mail", arguments=arguments({"deep": {"key": "value"}})),
        "prior": job("app.Export", queue="mail2", priority=-3),
    }
    ids.update(zip(later, store.enqueue(list(later.values())), strict=True))
    return Scene(store, ids)


ALL = {"finished", "discarded", "cancelled", "timeout", "broken", "held", "blocked", "scheduled", "ready", "prior"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL),
        ("state:failed", {"timeout", "broken"}),
        ("state:running", {"held"}),
        ("state:blocked,scheduled", {"blocked", "scheduled"}),
        ("state:finished,cancelled", {"finished", "cancelled"}),
        ("-state:ready,failed,finished", {"discarded", "cancelled", "held", "blocked", "scheduled"}),
        ("queue:mail", {"cancelled", "timeout", "broken", "ready"}),
        ("queue:mail*", {"cancelled", "timeout", "broken", "ready", "prior"}),
        ("state:ready queue:mail?", {"prior"}),
        ("state:ready -queue:mail", {"prior"}),
        ("-queue:mail*,default", set()),
        ("class:app.Import", {"finished", "discarded", "scheduled"}),
        ("class:*Import*", {"finished", "discarded", "scheduled", "timeout", "broken"}),
        ("class:app.Import?", {"broken"}),
        ("class:APP.*", set()),
        ('class:"app.Import?"', set()),
        ("error:timeout", {"timeout"}),
        ("error:100%", {"timeout"}),
        ("error:f_its", {"timeout"}),
        ("error:fxits", set()),
        ("error:Broken,Timeout", {"timeout", "broken"}),
        ("state:failed -error:Timeout", {"broken"}),
        ("args.user_id:42", {"finished", "timeout"}),
        ("args.user_id:42,7 state:scheduled,finished", {"finished", "scheduled"}),
        ("-args.user_id:42 state:failed,finished", {"broken"}),
        ("args.0.deep.key:val*", {"ready"}),
        ("args.0:Zoë", {"timeout"}),
        ("args:Zoë", {"timeout"}),
        ("Zoë", {"timeout"}),
        ("import", {"finished", "discarded", "scheduled", "timeout", "broken"}),
        ('"took 100%"', {"timeout"}),
        ("priority:>0", {"broken"}),
        ("priority:<0", {"prior"}),
        ("attempt:>1", set()),
        ("since:1h state:failed", {"timeout", "broken"}),
        ("until:1h", set()),
        ("since:1h", ALL),
        ("until:2099-01-01 state:ready", {"ready", "prior"}),
        ("since:2099-01-01", set()),
        ("state:failed sort:-failed_at", {"timeout", "broken"}),
        ("state:scheduled sort:run_at class:app.Import", {"scheduled"}),
        (f"fingerprint:{fingerprint('app.ImportUsers', 'TimeoutError', TRACE)}", {"timeout"}),
        ("state:ready state:failed", set()),
    ],
)
def test_a_query_finds_what_it_says(scene: Scene, query: str, expected: set[str]) -> None:
    assert scene.found(query) == expected


def test_an_id_chooses_one_or_some(scene: Scene) -> None:
    low = min(scene.ids.values())
    assert scene.found(f"id:{low}") == {"finished"}
    assert scene.found(f"id:{low}..{low + 1}") == {"finished", "discarded"}
    assert scene.found(f"-id:>{low}") == {"finished"}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "class:app.n*",
        "state:ready",
        "state:ready class:app.n*",
        "state:ready queue:default",
        "state:scheduled",
        "state:scheduled sort:run_at",
        "state:scheduled sort:run_at class:app.n*",
        "state:failed",
        "state:failed sort:-failed_at",
        "state:failed sort:-failed_at args.n:0,1",
        "state:failed,scheduled,ready",
        "since:1h",
    ],
)
def test_pages_follow_each_other_without_a_gap(store: Store, claimer: Claimer, query: str) -> None:
    ids = store.enqueue([job(f"app.n{n % 3}", priority=n % 3, arguments=arguments(n=n % 2)) for n in range(20)])
    failures = [Outcome(one.id, one.lease, "failed", failure=Failure("E", "no")) for one in claimer.claim()]
    with store.transaction() as session:
        claimed.finish(session, failures, HERE)
    ids += store.enqueue([job(f"app.n{n % 3}", wait=1000.0 - n, priority=n % 3) for n in range(20)])
    ids += store.enqueue([job(f"app.n{n % 3}", priority=n % 3, queue=("default", "other")[n % 2]) for n in range(20)])
    with store.reading() as session:
        whole = [one.id for one in search.search(session, parse(query), 1000, budget=10).jobs]
        seen: list[int] = []
        after = None
        for _ in range(30):
            page = search.search(session, parse(query), 7, after, budget=10)
            seen += [one.id for one in page.jobs]
            after = page.following
            if after is None:
                break
        assert seen == whole
        assert len(whole) >= 10
        if "run_at" in query:
            assert whole == sorted(whole, reverse=True), "the last enqueued are due first here"


def test_what_is_enqueued_meanwhile_does_not_move_the_next_page(store: Store) -> None:
    ids = store.enqueue([job() for _ in range(10)])
    with store.reading() as session:
        page = search.search(session, parse("state:ready"), 5)
    store.enqueue([job() for _ in range(10)])
    with store.reading() as session:
        following = search.search(session, parse("state:ready"), 5, page.following)
    assert [one.id for one in (*page.jobs, *following.jobs)] == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", "x"),
        ("", "12.5x"),
        ("state:failed sort:-failed_at", "12"),
        ("state:failed sort:-failed_at", "9" * 40 + ".1"),
    ],
)
def test_what_is_no_place_in_a_list_is_refused(store: Store, query: str, place: str) -> None:
    with store.reading() as session, pytest.raises(QueryError, match="is no place"):
        search.search(session, parse(query), 5, place)


def test_all_ready_jobs_are_matched_however_many_lanes_they_are_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LONGEST", 10)
    ids = store.enqueue([job(queue=f"q{n % 4}", priority=n % 3) for n in range(130)])
    with store.reading() as session:
        assert sorted(search.matching(session, parse("state:ready"))) == ids
        wanted = [job_id for n, job_id in enumerate(ids) if n % 4 == 1]
        assert sorted(search.matching(session, parse("state:ready queue:q1"))) == wanted


def test_a_search_that_finds_nothing_ends_after_its_budget_and_goes_on_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STRETCH", 20)
    monkeypatch.setattr(search, "LONGEST", 20)
    rare, *_ = store.enqueue([job("app.rare"), *(job() for _ in range(99))])
    looks = 0
    after = None
    with store.reading() as session:
        while True:
            looks += 1
            page = search.search(session, parse("class:app.rare"), 5, after, budget=0)
            after = page.following
            if page.jobs or after is None:
                break
    assert [one.id for one in page.jobs] == [rare]
    assert looks == 5


SOURCES = ("all", "failed", "scheduled", "blocked", "running", "ended", "failed_by_time", "scheduled_by_time", "lane")
GIVEN: dict[str, object] = {"before": 1000, "low": 1, "most": 50, "page": 50, "arguments": 0, "backtrace": 0}
GIVEN |= {"queue": "q1", "priority": 1, "after": 5, "last": 900, "id": 5}


@pytest.fixture
def reader(store: Store, database_url: str) -> Iterator[Store]:
    """A store as queuectl opens it, on some thousand jobs that nobody has analysed."""
    store.enqueue([job(queue=f"q{n % 9}", priority=n % 3) for n in range(3000)])
    store.enqueue([job(queue=f"q{n % 9}", wait=500.0) for n in range(500)])
    reading = open_store(database_url, create=False, joins=True)
    yield reading
    reading.close()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("reach", [False, True])
def test_a_list_goes_straight_to_its_rows(reader: Store, source: str, reach: bool) -> None:
    from datetime import datetime, timezone

    texts = statements(reader.dialect)
    order = {"failed_by_time": "order_failed_at", "scheduled_by_time": "order_run_at"}.get(source, "order_newest")
    if reach:
        (text,) = texts[f"search.reach_{source}"]
    else:
        (text,) = texts["search.list"]
        for place, section in {
            "rows": f"search.{source}",
            "order": f"search.{order}",
            "conditions": "when.class_is",
        }.items():
            text = text.replace(f"{{{place}}}", texts[section][0])
    given = {**GIVEN, "value": "app.rare", "skipped": 49, "moment": datetime(2026, 1, 1, tzinfo=timezone.utc)}
    if reader.dialect == "sqlite":
        from queued.storage.sqlite import adapt

        with reader.reading():
            values = {key: adapt(value) for key, value in given.items()}
            rows = reader.backend.connection().execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
        # What was cut out before is read whole: subqueries by their alias.
        scans = [row[-1].split() for row in rows if row[-1].startswith("SCAN") and "INDEX" not in row[-1]]
        assert [scan for scan in scans if scan[1] not in {"j", "f", "s", "b", "c", "e", "r", "reached"}] == []
        # The index gives the order: only the short stretch that was cut out may be sorted, by a list that lost it in a join.
        assert sum("TEMP B-TREE" in row[-1] for row in rows) <= (0 if reach else 1)
        return
    with reader.reading():
        rows = reader.backend.connection().execute(f"EXPLAIN {text}", given).fetchall()  # type: ignore[arg-type]
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    assert plan.count("Sort") <= (0 if reach else 2), plan


def test_a_composition_takes_one_section_twice(store: Store) -> None:
    from queued.storage.session import Condition

    ids = store.enqueue([job("app.a"), job("app.b"), job("app.c")])
    either = Condition((("when.class_is", {"value": "app.a"}), ("when.class_is", {"value": "app.b"})))
    not_b = Condition((("when.class_is", {"value": "app.b"}),), negated=True)
    parts = {"rows": "search.all", "order": "search.order_newest"}
    given = {"before": 10**9, "low": 0, "most": 100, "page": 10, "arguments": 0, "backtrace": 0}
    with store.reading() as session:
        rows = session.composed(Composition("search.list", parts, (either,)), **given)
        assert [row["id"] for row in rows] == [ids[1], ids[0]]
        rows = session.composed(Composition("search.list", parts, (either, not_b)), **given)
        assert [row["id"] for row in rows] == [ids[0]]
