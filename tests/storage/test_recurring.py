"""Recurring tasks in the database: who lists them, who changes them, which moment is whose, what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from queued.domain.errors import NotAllowed, UnknownId
from queued.domain.jobs import NewJob, Outcome
from queued.domain.settings import RecurringTaskSettings, RetentionSettings
from queued.domain.unique import Unique
from queued.storage import claimed, recurring, retention
from queued.storage.sql import statements
from queued.storage.store import Store
from storage.conftest import Claimer

MOMENT = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)
HERE, THERE = "one:/etc/recurring.yml#production", "two:/etc/recurring.yml#production"


def task(key: str = "report", **told: Any) -> RecurringTaskSettings:
    return RecurringTaskSettings(**{"key": key, "schedule": "every minute", "class_name": "app.report", **told})


def sync(store: Store, owner: str, *tasks: RecurringTaskSettings) -> recurring.Synced:
    with store.transaction() as session:
        return recurring.sync(session, owner, tasks)


def keys(store: Store) -> list[str]:
    with store.reading() as session:
        return [listed.task.key for listed in recurring.listed(session)]


def get(store: Store, key: str = "report") -> recurring.RecurringTask:
    with store.reading() as session:
        return recurring.get(session, key)


def plan(store: Store, moment: datetime | None, key: str = "report", last: datetime | None = None) -> None:
    with store.transaction() as session:
        recurring.planned(session, key, moment, moment, last)


def run_once(store: Store, key: str, moment: datetime, **told: Any) -> int | None:
    with store.transaction() as session:
        if not recurring.record(session, key, moment, **told):
            return None
        return recurring.start(session, key, moment, NewJob("app.report")).ids[0]


def test_a_file_s_tasks_come_with_every_setting_and_go_with_the_file(store: Store) -> None:
    full = task(
        arguments='{"args":[1],"kwargs":{"a":"ü"}}', queue="q", priority=-3, timeout=1.5, timezone="Europe/Rome",
        description="what for", missed="all", overlap="skip", jitter=0.5, enabled=False,
    )  # fmt: skip
    assert sync(store, HERE, full, task("other")).added == ["other", "report"]
    stored = get(store)
    assert stored.settings == full
    assert (stored.source, stored.version, stored.next_run_at) == ("file", 1, None)
    assert sync(store, HERE, full, task("other")) == recurring.Synced([], [], [], [])
    assert sync(store, HERE, full).removed == ["other"]
    assert keys(store) == ["report"]


def test_a_new_schedule_is_planned_anew_and_a_new_description_is_not(store: Store) -> None:
    sync(store, HERE, task())
    plan(store, MOMENT)
    assert sync(store, HERE, task(description="other", missed="all")).changed == ["report"]
    assert get(store).next_run_at == MOMENT
    assert get(store).version == 2
    sync(store, HERE, task(schedule="every hour"))
    assert get(store).next_run_at is None


def test_hosts_with_different_files_leave_each_other_s_tasks_alone(store: Store) -> None:
    sync(store, HERE, task("here"), task("both"))
    assert sync(store, THERE, task("there"), task("both")).removed == []
    assert keys(store) == ["both", "here", "there"]
    assert sync(store, HERE, task("here")).removed == []
    assert keys(store) == ["both", "here", "there"]
    assert sync(store, THERE).removed == ["both", "there"]
    assert keys(store) == ["here"]


def test_a_scheduler_is_given_the_tasks_of_its_own_file_and_dynamic_ones_only(store: Store) -> None:
    sync(store, HERE, task("here"))
    sync(store, THERE, task("there"))
    with store.transaction() as session:
        recurring.save(session, task("dynamic"))

    def given(owner: str, dynamic: bool) -> list[str]:
        found: list[str] = []
        with store.transaction() as session:
            while due := recurring.due(session, owner, dynamic, found):
                found.append(due[0].key)
        return sorted(found)

    assert given(HERE, True) == ["dynamic", "here"]
    assert given(THERE, False) == ["there"]


def test_what_is_paused_or_disabled_is_not_due_unless_somebody_asks_for_a_run(store: Store) -> None:
    sync(store, HERE, task("paused"), task("disabled", enabled=False))
    with store.transaction() as session:
        assert recurring.pause(session, "paused")
        assert not recurring.pause(session, "paused")
        assert recurring.due(session, HERE, True, []) is None
        recurring.ask(session, "paused")
        recurring.ask(session, "disabled")
        found = recurring.due(session, HERE, True, [])
        assert found is not None
        assert found[0].asked_at is not None
        recurring.answered(session, "paused")
        recurring.answered(session, "disabled")
        assert recurring.due(session, HERE, True, []) is None


def test_a_resumed_task_is_planned_anew(store: Store) -> None:
    sync(store, HERE, task())
    plan(store, MOMENT)
    with store.transaction() as session:
        recurring.pause(session, "report")
    with store.transaction() as session:
        assert recurring.resume(session, "report")
        assert not recurring.resume(session, "report")
    assert get(store).next_run_at is None


def test_a_moment_is_one_scheduler_s_however_many_claim_it_at_once(open_another: Callable[[], Store]) -> None:
    store = open_another()
    store.migrate()
    sync(store, HERE, task())
    barrier, won = threading.Barrier(6), []

    def claim(mine: Store) -> None:
        barrier.wait()
        won.extend((n, run_once(mine, "report", MOMENT + timedelta(minutes=n))) for n in range(10))

    threads = [threading.Thread(target=claim, args=(open_another(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, job in won if job is not None) == list(range(10))
    with store.reading() as session:
        assert len(recurring.runs(session, "report", 100)) == 10


def test_many_schedulers_may_sync_at_once(open_another: Callable[[], Store]) -> None:
    store = open_another()
    store.migrate()
    errors: list[Exception] = []

    def synchronise(mine: Store, n: int) -> None:
        try:
            for turn in range(8):
                sync(mine, f"host-{n}", task("all"), task(f"own-{n}", description=str(turn)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=synchronise, args=(open_another(), n)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert keys(store) == ["all", *(f"own-{n}" for n in range(5))]


def test_a_run_that_is_rolled_back_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction() as session:
        recurring.record(session, "report", MOMENT)
        recurring.start(session, "report", MOMENT, NewJob("app.report"))
        raise RuntimeError("killed within the tick")
    assert run_once(store, "report", MOMENT) is not None


def test_dynamic_tasks_are_stored_changed_and_removed(store: Store) -> None:
    with store.transaction() as session:
        assert recurring.save(session, task()) is True
    plan(store, MOMENT)
    with store.transaction() as session:
        assert recurring.save(session, task(schedule="every hour")) is False
    assert (get(store).settings.schedule, get(store).next_run_at, get(store).version) == ("every hour", None, 2)
    run_once(store, "report", MOMENT)
    with store.transaction() as session:
        recurring.unschedule(session, "report")
    assert keys(store) == []
    with store.transaction() as session, pytest.raises(UnknownId, match="there is no recurring task report"):
        recurring.unschedule(session, "report")


def test_a_file_and_run_time_do_not_take_each_other_s_tasks(store: Store) -> None:
    sync(store, HERE, task("of_file"))
    for change in (
        lambda session: recurring.save(session, task("of_file")),
        lambda session: recurring.unschedule(session, "of_file"),
    ):
        with store.transaction() as session, pytest.raises(NotAllowed, match="comes from a file"):
            change(session)
    with store.transaction() as session:
        recurring.save(session, task("dynamic"))
    assert sync(store, HERE, task("of_file"), task("dynamic", schedule="every hour")).refused == ["dynamic"]
    assert get(store, "dynamic").settings.schedule == "every minute"
    assert sync(store, HERE).removed == ["of_file"]
    assert keys(store) == ["dynamic"]


def test_a_task_whose_hosts_are_gone_for_good_can_be_removed_and_goes_by_itself(store: Store) -> None:
    sync(store, HERE, task())

    def silent_for(**length: float) -> None:
        connection: Any = store.backend.connection()
        moment = datetime.now(timezone.utc) - timedelta(**length)
        if store.dialect == "sqlite":
            connection.execute("UPDATE queued_recurring_owners SET seen_at = ?", (int(moment.timestamp() * 1_000_000),))
        else:
            connection.execute("UPDATE queued.recurring_owners SET seen_at = %s", (moment,))

    silent_for(minutes=10)
    with store.reading() as session:
        assert [listed.attending for listed in recurring.listed(session)] == [0]
    with pytest.raises(RuntimeError), store.transaction() as session:
        recurring.unschedule(session, "report")
        raise RuntimeError("undone: it could be removed")
    with store.transaction() as session:
        recurring.seen(session, HERE)
    with store.reading() as session:
        assert [listed.attending for listed in recurring.listed(session)] == [1]
    silent_for(days=31)
    assert sync(store, THERE).removed == ["report"]


def test_the_last_run_is_told_by_its_job_and_kept_when_that_is_cleared(store: Store, claimer: Claimer) -> None:
    sync(store, HERE, task())

    def last() -> recurring.Run:
        with store.reading() as session:
            run = recurring.listed(session)[0].last
        assert run is not None
        return run

    job_id = run_once(store, "report", MOMENT)
    assert (last().outcome, last().job_id, last().run_at) == ("ready", job_id, MOMENT)
    with store.reading() as session:
        assert recurring.unfinished(session, "report") == job_id
    (job,) = claimer.claim()
    assert last().outcome == "running"
    with store.transaction() as session:
        claimed.finish(session, [Outcome(job.id, job.lease, "done")], claimed.Worker("here", "worker-1"))
    assert last().outcome == "finished"
    with store.reading() as session:
        assert recurring.unfinished(session, "report") is None
    with store.transaction() as session:
        assert recurring.settle(session) == 1
        assert recurring.settle(session) == 0
    assert retention.prune(store, RetentionSettings(finished=0.0)).deleted == {"finished": 1}
    assert last().outcome == "finished"
    assert last().finished_at is not None


def test_looking_how_runs_have_ended_asks_for_their_jobs_and_does_not_walk_over_all_that_ended(
    store: Store,
) -> None:
    (text,) = statements(store.dialect)["recurring.settle"]
    connection: Any = store.backend.connection()
    if store.dialect == "sqlite":
        plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
        assert {step for step in plan if " f " in step or "finished" in step} == {
            "SEARCH f USING INTEGER PRIMARY KEY (rowid=?)"
        }
    else:
        plan = [row[0] for row in connection.execute(f"EXPLAIN {text}")]
        assert any("Index Scan using finished_pkey on finished" in step for step in plan), plan
        assert not any("Seq Scan on finished" in step for step in plan), plan


def test_old_runs_are_forgotten_but_the_newest_of_each_task_are_not(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr(recurring, "RUNS_KEPT", 2)
    sync(store, HERE, task("often"), task("seldom"))
    for n in range(6):
        run_once(store, "often", MOMENT + timedelta(minutes=n))
    run_once(store, "seldom", MOMENT)
    with store.transaction() as session:
        assert recurring.prune(session, 3600.0, 100) == 0
        assert recurring.prune(session, 0.0, 3) == 3
        assert recurring.prune(session, 0.0, 3) == 1
        assert recurring.prune(session, 0.0, 3) == 0
    with store.reading() as session:
        assert [run.run_at.minute for run in recurring.runs(session, "often", 100)] == [5, 4]
        assert len(recurring.runs(session, "seldom", 100)) == 1


def test_a_repaired_problem_is_looked_at_again(store: Store) -> None:
    sync(store, HERE, task())
    with store.transaction() as session:
        recurring.planned(session, "report", None, None, problem="no such zone")
        assert recurring.due(session, HERE, True, []) is None
    assert get(store).problem == "no such zone"
    sync(store, HERE, task())
    assert get(store).problem is None
    assert replace(get(store).settings) == task()


@pytest.mark.parametrize(("on_conflict", "outcome"), [("keep", "skipped"), ("raise", "failed")])
def test_a_run_whose_unique_key_is_taken_ends_without_a_job(store: Store, on_conflict: Any, outcome: str) -> None:
    sync(store, HERE, task())
    unique = NewJob("app.report", unique=Unique("app.report", "finish", None, on_conflict))
    (holder,) = store.enqueue([unique])
    with store.transaction() as session:
        assert recurring.record(session, "report", MOMENT)
        stored = recurring.start(session, "report", MOMENT, unique)
    assert stored.ids == [holder]
    with store.reading() as session:
        (run,) = recurring.runs(session, "report", 10)
    assert (run.job_id, run.outcome) == (None, outcome)
    assert run.message is not None
    assert f"job {holder} has its unique key" in run.message


def test_a_reserved_task_is_nobody_else_s_until_it_is_given_up_or_the_time_is_over(store: Store) -> None:
    sync(store, HERE, task(), task("other"))
    for key in ("report", "other"):
        plan(store, MOMENT, key)

    def due() -> set[str]:
        found: set[str] = set()
        with store.transaction() as session:
            while (one := recurring.due(session, HERE, True, found)) is not None:
                found.add(one[0].key)
        return found

    with store.transaction() as session:
        recurring.reserve(session, "report", "scheduler-1", 60.0)
    assert due() == {"other"}
    with store.transaction() as session:
        rest = recurring.next_due(session, HERE, True, ["other"])
        assert rest is not None
        assert 50 < rest <= 60
        assert recurring.reserved(session, "report", "scheduler-2") is None
        recurring.unreserve(session, "scheduler-2")
    assert due() == {"other"}
    with store.transaction() as session:
        recurring.unreserve(session, "scheduler-1")
    assert due() == {"report", "other"}
    with store.transaction() as session:
        recurring.reserve(session, "report", "scheduler-1", 60.0)
        recurring.hold(session, "report", "the application does not answer")
    assert due() == {"report", "other"}
    assert get(store).held == "the application does not answer"
    with store.transaction() as session:
        recurring.answered(session, "report")
    assert get(store).held is not None, "what is due by schedule is still held back"
    plan(store, MOMENT + timedelta(minutes=1))
    assert get(store).held is None
    with store.transaction() as session:
        recurring.reserve(session, "report", "scheduler-1", -1.0)
    assert due() == {"report", "other"}
