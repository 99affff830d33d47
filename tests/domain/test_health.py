"""The four questions, and what is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from queued.domain.gauges import longest_gap, target_of
from queued.domain.health import both, complete, live, reachable, whole
from queued.domain.insights import Count, Overview, ProcessInfo, QueueInfo
from queued.domain.settings import RecurringTaskSettings

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
NONE = Count(0)


def process(name: str, kind: str, *, alive: bool = True, age: float = 1.0, **metadata: Any) -> ProcessInfo:
    beat = NOW - timedelta(seconds=age)
    supervisor = None if kind == "supervisor" else "supervisor-1"
    return ProcessInfo(1, name, kind, supervisor, 7, "app1", NOW, beat, age, alive, metadata)


def queue(latency: float | None, *, paused: bool = False) -> QueueInfo:
    return QueueInfo("mail", NOW if paused else None, Count(1), NONE, NONE, 0, NONE, NOW, latency, 1)


def overview(*processes: ProcessInfo, queues: tuple[QueueInfo, ...] = (), free: int | None = None) -> Overview:
    return Overview(NOW, NONE, NONE, NONE, NONE, NONE, {}, None, queues, processes, free=free)


def test_it_lives_while_its_loop_turns_and_while_that_cannot_be_told() -> None:
    assert live(None).ok
    assert live(30.0).ok
    dead = live(50.0)
    assert (dead.ok, dead.reasons) == (False, ("the supervisor has not moved for 50 s",))


def test_a_blip_of_the_database_is_none_and_a_longer_absence_is_told_with_its_error() -> None:
    assert reachable(12.0, 10.0, "refused").ok
    assert reachable(31.0, 10.0, "refused").reasons == ("the database has not answered for 31 s: refused",)
    assert reachable(None, 10.0, None).reasons == ("the database has not been read yet",)


@pytest.mark.parametrize(
    ("processes", "reasons"),
    [
        ([process("w1", "worker"), process("w2", "worker"), process("d", "dispatcher")], ()),
        ([process("w1", "worker"), process("d", "dispatcher")], ("1 of 2 workers are up",)),
        (
            [process("w1", "worker"), process("w2", "worker", alive=False), process("d", "dispatcher")],
            ("1 of 2 workers are up",),
        ),
        ([], ("0 of 2 workers are up", "0 of 1 dispatchers are up")),
    ],
)
def test_it_is_ready_when_all_that_it_should_run_is_up(processes: list[ProcessInfo], reasons: tuple[str, ...]) -> None:
    verdict = complete(overview(*processes), "supervisor-1", {"worker": 2, "dispatcher": 1})
    assert verdict.reasons == reasons
    assert verdict.ok == (not reasons)


def test_the_workers_of_another_daemon_do_not_make_this_one_ready() -> None:
    assert not complete(overview(process("w1", "worker")), "supervisor-2", {"worker": 1}).ok


def test_it_is_not_ready_while_its_application_does_not_load() -> None:
    broken = process("supervisor-1", "supervisor", application={"state": "FATAL", "error": "jobs.py:3: no"})
    other = process("supervisor-2", "supervisor", application={"state": "FATAL", "error": "x"})
    verdict = complete(overview(broken, other), "supervisor-1", {})
    assert verdict.reasons == ("the application is FATAL: jobs.py:3: no",)


def test_the_whole_is_ill_for_what_keeps_jobs_from_running_and_for_a_broken_promise() -> None:
    worker = process("w1", "worker", age=4.0)
    assert whole(overview(worker, queues=(queue(29.0),)), {"mail": 30.0}).ok
    late = whole(overview(worker, queues=(queue(31.0),)), {"mail": 30.0})
    assert late.reasons == ("queue mail: the oldest ready job has waited 31 s, more than the 30 s promised",)
    assert late.last_heartbeat == NOW - timedelta(seconds=4)
    assert whole(overview(worker, queues=(queue(31.0),)), {}).ok
    assert whole(overview(worker, queues=(queue(31.0, paused=True),)), {"mail": 30.0}).ok
    assert whole(overview(), {}).reasons == ("no worker is alive",)


def test_both_have_the_reasons_of_both() -> None:
    verdict = both(live(99.0), whole(overview(), {}))
    assert (verdict.ok, len(verdict.reasons)) == (False, 2)


def test_the_closest_target_holds() -> None:
    targets = {"*": 300.0, "mail*": 60.0, "mail_bulk*": 900.0, "mail": 30.0}
    found = [target_of(targets, name) for name in ("mail", "mail_x", "mail_bulk_1", "other")]
    assert found == [30.0, 60.0, 900.0, 300.0]
    assert target_of({"mail": 30.0}, "other") is None


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [("every hour", 3600), ("0 9 * * mon-fri", 3 * 86400), ("every 5 minutes", 300), ("no schedule at all", None)],
)
def test_the_longest_gap_between_runs_is_that_over_the_weekend(schedule: str, seconds: float | None) -> None:
    assert longest_gap(RecurringTaskSettings("k", schedule, "app.x"), NOW) == seconds


def test_a_database_without_room_is_no_health() -> None:
    verdict = whole(overview(free=200_000), {})
    assert "the disk of the database is full (195 KiB left)" in verdict.reasons
    assert not any("disk" in reason for reason in whole(overview(free=50_000_000), {}).reasons)
    assert not any("disk" in reason for reason in whole(overview(), {}).reasons)


def test_the_last_heartbeat_of_this_daemon_is_told_and_not_those_of_others() -> None:
    own, foreign = process("w1", "worker"), process("w2", "worker")
    own = replace(own, last_heartbeat_at=NOW - timedelta(seconds=3))
    foreign = replace(foreign, supervisor="supervisor-2", last_heartbeat_at=NOW)
    verdict = both(reachable(1.0, 10.0, None), complete(overview(own, foreign), "supervisor-1", {"worker": 1}))
    assert verdict.last_heartbeat == NOW - timedelta(seconds=3)
    assert complete(overview(foreign), "supervisor-1", {}).last_heartbeat is None
