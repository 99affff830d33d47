"""queuectl stats: how jobs ended, how long they waited and ran."""

from __future__ import annotations

import pytest

from cli.conftest import Hand, Program, job
from queued.domain.figures import percentile
from queued.storage import processes, stats
from queued.storage.store import Store


def figures(ctl: Program, *words: object) -> dict[str, dict[str, object]]:
    return {told["name"]: told for told in ctl("stats", *words, "--json").json["figures"]}


def test_jobs_are_added_up_by_class_queue_and_host(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job("app.a", queue="mail") for _ in range(3)] + [job("app.b"), job("app.c")])
    for number, claimed in enumerate(worker.claim()):
        worker.end(claimed, "discarded" if claimed.class_name == "app.c" else "failed" if number == 0 else "done")
    by_class = figures(ctl)
    assert sum(int(str(one["count"])) for one in by_class.values()) == 5
    told = by_class["app.a"]
    failed = int(str(told["failed"]))
    assert told["failure_ratio"] == pytest.approx(failed / 3)
    assert int(str(told["finished"])) == 3 - failed
    assert by_class["app.c"]["discarded"] == 1
    run = told["run_seconds"]
    assert isinstance(run, dict)
    assert run["p50"] == pytest.approx(0.5, abs=0.4), "each ran for half a second as the worker tells it"
    assert {name: one["count"] for name, one in figures(ctl, "--by", "queue").items()} == {"mail": 3, "default": 2}
    assert set(figures(ctl, "--by", "host")) == {"here"}
    text = ctl("stats").out
    assert "RUN P95" in text
    assert "app.a" in text


def test_only_what_ended_lately_counts(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job()])
    (claimed,) = worker.claim()
    worker.end(claimed)
    assert figures(ctl, "--since", "2099-01-01") == {}
    assert ctl("stats", "--since", "2099-01-01").err == "no job ended in this time\n"
    assert figures(ctl, "--since", "10min")["app.work"]["count"] == 1


def test_of_too_many_jobs_the_newest_are_read_and_that_is_told(
    ctl: Program, store: Store, worker: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.enqueue([job() for _ in range(7)])
    for claimed in worker.claim():
        worker.end(claimed)
    monkeypatch.setattr(stats, "STRETCH", 3)
    monkeypatch.setattr(stats.figures, "__defaults__", (0.0,))
    told = ctl("stats", "--json").json
    assert (told["complete"], told["read"]) == (False, 3)
    assert "3 jobs were read" in ctl("stats").err


def test_jobs_that_workers_delete_are_named_where_they_are_not_counted(ctl: Program, store: Store) -> None:
    assert "not counted" not in ctl("stats").err + ctl("status").out
    with store.transaction() as session:
        processes.register(
            session,
            name="w",
            kind="Worker",
            supervisor=None,
            pid=1,
            hostname="h",
            identity={},
            metadata={"delete_finished": "clicks,mail*"},
        )
    told = "jobs of clicks,mail* that ended well are deleted, and are not counted"
    assert told in ctl("stats").err
    assert told in ctl("status").out


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([3.0], 0.5) == 3.0
    assert percentile([], 0.5) is None
