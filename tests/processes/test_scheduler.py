"""Schedulers on real databases: every moment once, whoever dies, and only what is due."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from fixtures.supervised import PATIENCE, Supervised, wait_for
from queued import telemetry
from queued.domain.recurring import schedule_of
from queued.domain.settings import AppSettings, RecurringTaskSettings, SchedulerSettings, Settings, WorkerSettings
from queued.processes.crew import plan_of
from queued.processes.declared import declare
from queued.processes.scheduler import Scheduler
from queued.processes.wakeup import Wakeup
from queued.storage import recurring
from queued.storage.store import Store, open_store

SECOND = timedelta(seconds=1)


def task(key: str = "tick", **told: Any) -> RecurringTaskSettings:
    return RecurringTaskSettings(**{"key": key, "schedule": "every second", "class_name": "app.tick", **told})


def with_tasks(settings: Settings, *tasks: RecurringTaskSettings, **told: Any) -> Settings:
    scheduler = SchedulerSettings(polling_interval=0.5, **told)
    return replace(settings, recurring=tasks, scheduler=scheduler, source="/etc/queue.yml")


class Turned:
    """A scheduler whose turns a test makes itself."""

    def __init__(self, settings: Settings) -> None:
        assert settings.scheduler is not None
        self.role = Scheduler("scheduler-test", settings, settings.scheduler)
        self.role.store = open_store(settings.database, label="turned")
        self.role.wakeup = Wakeup()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._end = telemetry.subscribe(lambda name, data: self.events.append((name, data)))

    def turn(self) -> float:
        return self.role.poll()

    def told(self, name: str) -> list[dict[str, Any]]:
        return [data for event, data in self.events if event == name]

    def close(self) -> None:
        self._end()
        self.role.store.close()
        self.role.wakeup.close()


@pytest.fixture
def turned(store: Store) -> Iterator[Callable[[Settings], Turned]]:
    made: list[Turned] = []

    def make(settings: Settings) -> Turned:
        made.append(Turned(settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def runs(store: Store, key: str = "tick") -> list[recurring.Run]:
    with store.reading() as session:
        return recurring.runs(session, key, 10_000)


def get(store: Store, key: str = "tick") -> recurring.RecurringTask:
    with store.reading() as session:
        return recurring.get(session, key)


def make_due(store: Store, ago: float, key: str = "tick") -> datetime:
    """Make the last moment of the schedule that is so many seconds ago the task's next."""
    moment = schedule_of(get(store, key).settings).previous_before(datetime.now(timezone.utc) - timedelta(seconds=ago))
    assert moment is not None
    with store.transaction() as session:
        recurring.planned(session, key, moment, moment)
    return moment


def enqueued(store: Store) -> int:
    with store.reading() as session:
        row = session.one("insights.count_ready", cap=100_000)
    assert row is not None
    return int(row["n"])


# which configuration has one


def test_a_scheduler_is_run_where_there_are_tasks_or_may_be_some(settings: Settings) -> None:
    def has(**told: Any) -> bool:
        return any(place.kind == "scheduler" for place in plan_of(replace(settings, **told)))

    on, off = SchedulerSettings(), SchedulerSettings(dynamic_tasks_enabled=False)
    assert has(scheduler=on)
    assert not has(scheduler=off)
    assert has(scheduler=off, recurring=(task(),))
    assert has(recurring=(task(),))
    assert not has()
    assert not has(scheduler=on, recurring=(task(),), skip_recurring=True)


# turns


def test_a_new_task_is_planned_and_its_first_moment_runs(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    one = turned(with_tasks(settings, task()))
    began = datetime.now(timezone.utc)
    wait_for(lambda: one.turn() and runs(store), "the first run")
    *_, first = runs(store)
    assert first.run_at.microsecond == 0
    assert began < first.run_at <= first.started_at
    assert enqueued(store) == len(runs(store))


def test_it_rests_until_the_next_moment_and_not_longer(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    quiet = with_tasks(settings, task(schedule="0 5 29 2 *"))  # on 29 February: not within the next minutes, as a rule
    one = turned(replace(quiet, scheduler=SchedulerSettings(polling_interval=500.0)))
    assert one.turn() == 500.0
    soon = datetime.now(timezone.utc) + timedelta(seconds=100)
    with store.transaction() as session:
        recurring.planned(session, "tick", soon, soon)
    # SQLite's clock tells milliseconds, so it may be one behind ours.
    assert 10.0 < one.turn() <= 100.01


def test_a_run_goes_to_the_queue_that_the_application_declares(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store, tmp_path: Path
) -> None:
    chosen = with_tasks(replace(settings, runtime_directory=str(tmp_path)), task(arguments='{"args":[7],"kwargs":{}}'))
    one = turned(chosen)
    one.turn()
    declare(tmp_path, {"app.tick": {"queue": "clocks", "priority": 4, "timeout": 9.0}})
    make_due(store, 1)
    one.turn()
    job_id = runs(store)[-1].job_id
    with store.reading() as session:
        row = session.one("insights.job", id=job_id)
    assert row is not None
    found = (row["class_name"], row["queue"], row["priority"], row["arguments"], row["options"])
    assert found == ("app.tick", "clocks", 4, '{"args":[7],"kwargs":{}}', '{"timeout":9.0}')


def test_a_run_waits_until_the_application_has_said_what_its_job_is_and_is_made_up_for(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store, tmp_path: Path
) -> None:
    app = AppSettings(str(tmp_path), "python3", ("jobs",))
    base = replace(settings, app=app, workers=(WorkerSettings(),), runtime_directory=str(tmp_path))
    this_minute = f"{datetime.now(timezone.utc):%M %H} * * *"
    one = turned(with_tasks(base, task(schedule=this_minute), task("placed", queue="here", schedule=this_minute)))
    one.turn()
    moments = {key: make_due(store, 0, key) for key in ("tick", "placed")}
    one.turn()
    one.turn()
    assert (runs(store), runs(store, "placed")) == ([], [])
    assert [told["keys"] for told in one.told("recurring_waiting")] == [["placed", "tick"]]
    assert get(store).held == "the application is not loaded"
    with store.transaction() as session:
        for key, moment in moments.items():
            yesterday = moment - timedelta(days=1)
            recurring.planned(session, key, yesterday, yesterday)
            recurring.hold(session, key, "the application is not loaded")
    declare(tmp_path, {"app.tick": {"queue": "clocks", "asks": False}})
    one.turn()
    # A day late, and yet one is made up for: a scheduler was there in time.
    assert [len(runs(store, key)) for key in ("tick", "placed")] == [1, 1]
    assert get(store).held is None


@pytest.mark.parametrize(("missed", "made_up"), [("skip", 0), ("once", 1), ("all", 3)])
def test_after_an_outage_the_task_s_policy_decides(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store, missed: str, made_up: int
) -> None:
    one = turned(with_tasks(settings, task(schedule="every 12 hours", missed=missed)))
    one.turn()
    first = get(store).next_run_at
    assert first is not None
    with store.transaction() as session:
        recurring.planned(session, "tick", first - timedelta(hours=36), first - timedelta(hours=36))
    one.turn()
    # Within a minute of the moment itself the newest run is on time, and not missed.
    assert len(runs(store)) in {made_up, max(1, made_up)}
    assert get(store).next_run_at == first


def test_a_clock_that_went_back_runs_nothing_until_it_has_caught_up(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    one = turned(with_tasks(settings, task()))
    one.turn()
    before = runs(store)  # one, when a second has just begun
    # As the database's clock sees it after going back an hour: the last run and the next lie ahead.
    ahead = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=1)
    with store.transaction() as session:
        recurring.planned(session, "tick", ahead + SECOND, ahead + SECOND, ahead)
    one.turn()
    assert runs(store) == before
    again = turned(with_tasks(settings, task(description="edited", schedule="every 1 second")))
    again.turn()
    again.turn()
    assert runs(store) == before
    planned = get(store).next_run_at
    assert planned is not None
    assert planned > ahead


def test_a_run_is_left_out_while_the_last_one_goes_on_if_the_task_says_so(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    one = turned(with_tasks(settings, task(overlap="skip"), task("other")))
    one.turn()
    make_due(store, 2)
    one.turn()
    newest, *older = runs(store)
    assert enqueued(store) == 1 + len(runs(store, "other"))
    assert newest.outcome == "skipped"
    assert newest.message is not None
    assert str(older[-1].job_id) in newest.message
    assert one.told("recurring_skipped")[0]["key"] == "tick"


def test_somebody_asks_for_a_run_of_a_paused_task_and_gets_it(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    one = turned(with_tasks(settings, task(schedule="every day at 5am")))
    one.turn()
    before = get(store).next_run_at
    with store.transaction() as session:
        recurring.pause(session, "tick")
        recurring.ask(session, "tick")
    one.turn()
    one.turn()
    (run,) = runs(store)
    assert (run.manual, run.outcome) == (True, "ready")
    assert get(store).next_run_at == before


def test_a_schedule_that_this_release_cannot_read_is_told_and_holds_nothing_up(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    with store.transaction() as session:
        recurring.save(session, task("broken", schedule="when the moon is full"))
    one = turned(with_tasks(settings, task()))
    one.turn()
    one.turn()
    assert get(store, "broken").problem is not None
    assert len(one.told("recurring_broken")) == 1
    assert get(store).next_run_at is not None


def test_dynamic_tasks_are_left_alone_where_they_are_switched_off(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    with store.transaction() as session:
        recurring.save(session, task("dynamic"))
    one = turned(with_tasks(settings, task(), dynamic_tasks_enabled=False))
    one.turn()
    assert get(store, "dynamic").next_run_at is None
    assert get(store).next_run_at is not None


# with supervisors


def wait_for_runs(supervised: Supervised, store: Store, key: str, count: int) -> list[recurring.Run]:
    wait_for(lambda: len(runs(store, key)) >= count, lambda: f"{count} runs of {key}:\n{supervised.log()}", PATIENCE)
    return runs(store, key)


@pytest.mark.parametrize("mode", ["fork", "async"])
def test_two_supervisors_run_every_moment_once(
    supervise: Callable[..., Supervised], settings: Settings, store: Store, mode: str
) -> None:
    both = with_tasks(settings, *(task(f"tick-{n}") for n in range(5)))
    first, second = supervise(both, mode=mode), supervise(both, mode=mode)
    second.wait_for_rows("Scheduler", 2)
    wait_for_runs(first, store, "tick-0", 4)
    for supervised in (first, second):
        supervised.signal(signal.SIGTERM)
    assert (first.wait(), second.wait()) == (0, 0)
    total = 0
    for n in range(5):
        moments = sorted(run.run_at for run in runs(store, f"tick-{n}"))
        assert moments == [moments[0] + SECOND * i for i in range(len(moments))], "each second, once, none left out"
        total += len(moments)
    assert enqueued(store) == total


def test_a_scheduler_killed_within_the_tick_leaves_the_run_to_the_next_one(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = with_tasks(settings, task(schedule="every 12 hours", missed="once"))
    turned(chosen).turn()
    make_due(store, 0)
    read, write = os.pipe()
    store.close()
    pid = os.fork()
    if pid == 0:  # stands still in the middle of the transaction, the job stored and nothing committed
        try:
            stored = recurring.start

            def stand(*given: Any) -> Any:
                stored(*given)
                os.write(write, b"!")
                time.sleep(60)

            monkeypatch.setattr(recurring, "start", stand)
            store.forget()
            Turned(chosen).turn()
        finally:
            os._exit(1)
    assert os.read(read, 1) == b"!"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    assert runs(store) == []
    assert enqueued(store) == 0
    one = turned(chosen)
    wait_for(lambda: one.turn() and runs(store), "the run that the killed one had begun")
    one.turn()
    assert enqueued(store) == len(runs(store)) == 1


def test_killed_again_and_again_the_schedulers_run_each_moment_once(
    supervise: Callable[..., Supervised], settings: Settings, store: Store
) -> None:
    one = supervise(with_tasks(settings, task(missed="all")))
    killed: set[int] = set()
    while len(killed) < 3:
        (row,) = one.wait_for_rows("Scheduler", 1)
        if row["pid"] not in killed:
            wait_for_runs(one, store, "tick", len(runs(store)) + 1)
            os.kill(row["pid"], signal.SIGKILL)
            killed.add(row["pid"])
        time.sleep(0.01)
    wait_for_runs(one, store, "tick", len(runs(store)) + 2)
    one.signal(signal.SIGTERM)
    one.wait()
    moments = sorted(run.run_at for run in runs(store))
    assert moments == [moments[0] + SECOND * n for n in range(len(moments))]
    assert enqueued(store) == len(moments)


def test_a_stopped_scheduler_is_suspended_and_does_not_burst(
    supervise: Callable[..., Supervised], settings: Settings, store: Store
) -> None:
    # The supervisor must not take the suspended scheduler for hung and replace it meanwhile.
    one = supervise(with_tasks(replace(settings, alive_threshold=60.0), task("skips"), task("all", missed="all")))
    (row,) = one.wait_for_rows("Scheduler", 1)
    wait_for_runs(one, store, "skips", 1)
    os.kill(row["pid"], signal.SIGSTOP)
    before = len(runs(store, "skips"))
    stopped = time.monotonic()
    while time.monotonic() - stopped < 9.0:
        time.sleep(0.1)
    os.kill(row["pid"], signal.SIGCONT)
    wait_for(lambda: len(runs(store, "skips")) > before, "a run after the suspension")
    wait_for(lambda: len(runs(store, "all")) >= before + 9, "all runs made up")
    assert len(runs(store, "skips")) - before <= len(runs(store, "all")) - before - 2
    moments = sorted(run.run_at for run in runs(store, "all"))
    assert moments == [moments[0] + SECOND * n for n in range(len(moments))]


def test_a_dynamic_task_is_seen_at_once_and_an_edit_too(
    supervise: Callable[..., Supervised], settings: Settings, store: Store
) -> None:
    one = supervise(replace(with_tasks(settings), scheduler=SchedulerSettings(polling_interval=60.0)))
    one.wait_for_rows("Scheduler", 1)
    with store.transaction() as session:
        recurring.save(session, task("dynamic", schedule="every day at 5am"))
    store.control("recurring dynamic")
    wait_for(lambda: get(store, "dynamic").next_run_at, "the plan of a new task")
    with store.transaction() as session:
        recurring.save(session, task("dynamic"))
    store.control("recurring dynamic")
    wait_for_runs(one, store, "dynamic", 2)


def test_an_edit_that_nobody_tells_of_is_seen_within_the_polling_interval(
    supervise: Callable[..., Supervised], settings: Settings, store: Store
) -> None:
    deaf = replace(settings, database=replace(settings.database, wake=False))
    one = supervise(replace(with_tasks(deaf), scheduler=SchedulerSettings(polling_interval=1.0)))
    one.wait_for_rows("Scheduler", 1)
    with store.transaction() as session:
        recurring.save(session, task("dynamic", schedule="every day at 5am"))
    begun = time.monotonic()
    wait_for(lambda: get(store, "dynamic").next_run_at, "the plan of a new task")
    planned = get(store, "dynamic").next_run_at
    with store.transaction() as session:
        recurring.save(session, task("dynamic", schedule="every day at 6am"))
    wait_for(lambda: get(store, "dynamic").next_run_at not in (None, planned), "the plan of the edited task")
    assert time.monotonic() - begun < 6.0


def test_an_application_that_is_not_there_holds_its_runs_back_and_nothing_else(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store, tmp_path: Path
) -> None:
    app = AppSettings(str(tmp_path), "python3", ("jobs",))
    base = replace(settings, app=app, runtime_directory=str(tmp_path))
    declare(tmp_path, {"app.tick": {"asks": True}, "app.plain": {"asks": False}})
    daily = "every 12 hours"
    one = turned(
        with_tasks(
            base,
            task(schedule=daily, missed="once"),
            task("plain", class_name="app.plain", schedule=daily, missed="once"),
        )
    )
    one.turn()
    for key in ("tick", "plain"):
        make_due(store, 0, key)
    one.turn()
    one.turn()
    assert (len(runs(store)), len(runs(store, "plain"))) == (0, 1)
    (held,) = one.told("recurring_held")
    assert held["reason"] == "the application cannot be asked: No such file or directory"
    assert get(store).held == held["reason"]
    # Another scheduler may try at once: nothing is reserved any more.
    with store.reading() as session:
        row = session.one("recurring.find", key="tick")
    assert row is not None
    assert (row["reserved_by"], row["reserved_until"]) == (None, None)


def test_a_task_that_another_scheduler_asks_about_is_left_alone_until_that_has_had_its_time(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    one = turned(with_tasks(settings, task(schedule="every 12 hours", missed="once")))
    one.turn()
    make_due(store, 0)
    with store.transaction() as session:
        recurring.reserve(session, "tick", "scheduler-that-dies", 1.0)
    rest = one.turn()
    assert runs(store) == []
    assert 0 < rest <= 1.0
    with store.transaction() as session:
        assert recurring.reserved(session, "tick", "scheduler-test") is None
        assert recurring.reserved(session, "tick", "scheduler-that-dies") is not None
    wait_for(lambda: one.turn() and runs(store), "the run after the reservation")
    assert len(runs(store)) == 1


def test_a_reload_takes_up_the_changed_file(
    supervise: Callable[..., Supervised], settings: Settings, store: Store, tmp_path: Path
) -> None:
    flag = tmp_path / "changed"
    before, after = with_tasks(settings, task("old")), with_tasks(settings, task("new"))
    one = supervise(before, reload=lambda: after if flag.exists() else before)
    wait_for_runs(one, store, "old", 1)
    flag.touch()
    one.signal(signal.SIGHUP)
    wait_for_runs(one, store, "new", 1)
    with store.reading() as session:
        assert [listed.task.key for listed in recurring.listed(session)] == ["new"]


def test_tasks_whose_file_was_deleted_are_dropped(
    turned: Callable[[Settings], Turned], settings: Settings, store: Store
) -> None:
    path = "/etc/recurring.yml"
    turned(replace(with_tasks(settings, task("old"), task("moved")), recurring_path=path)).turn()
    with store.transaction() as session:
        recurring.pause(session, "moved")
    elsewhere = replace(with_tasks(settings, task("far")), source="/srv/queue.yml", recurring_path="/srv/recurring.yml")
    turned(elsewhere).turn()
    without = turned(with_tasks(settings, task("moved")))
    without.turn()
    with store.reading() as session:
        keys = [listed.task.key for listed in recurring.listed(session)]
    assert keys == ["far", "moved"]
    assert [told["removed"] for told in without.told("recurring_synced")] == [["old"]]
    assert get(store, "moved").paused_at is not None


def test_threads_of_one_process_share_the_work(settings: Settings, store: Store) -> None:
    chosen = with_tasks(settings, task(missed="all"))
    first = Turned(chosen)
    first.turn()
    make_due(store, 200)
    first.close()
    moment = datetime.now(timezone.utc)

    def work() -> None:
        one = Turned(chosen)
        while one.turn() < 0.01:
            pass
        one.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moments = sorted(run.run_at for run in runs(store))
    assert moments == [moments[0] + SECOND * n for n in range(len(moments))]
    assert moments[-1] >= moment - 2 * SECOND
    assert enqueued(store) == len(moments)
