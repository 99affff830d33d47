"""queuectl recurring: what it shows, what it changes, and how it refuses."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from cli.conftest import Program
from queued.domain.jobs import NewJob
from queued.domain.settings import RecurringTaskSettings
from queued.storage import recurring
from queued.storage.store import Store

MOMENT = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def of_file(store: Store) -> str:
    """A task of a file, with two runs."""
    task = RecurringTaskSettings("nightly", "every day at 5am", "app.report", '{"args":[1],"kwargs":{"to":"x"}}')
    with store.transaction() as session:
        recurring.sync(session, "here:/etc/recurring.yml#production", [task])
        ahead = datetime.now(timezone.utc) + timedelta(hours=2, minutes=30)
        recurring.planned(session, "nightly", ahead, ahead)
        for run in (MOMENT - timedelta(days=1), MOMENT):
            recurring.record(session, "nightly", run)
            recurring.start(session, "nightly", run, NewJob("app.report"))
    return "nightly"


def get(store: Store, key: str) -> recurring.RecurringTask:
    with store.reading() as session:
        return recurring.get(session, key)


def test_an_empty_list_says_how_to_get_a_task(ctl: Program) -> None:
    assert "queuectl recurring schedule" in ctl("recurring", "list").out


def test_the_list_shows_next_and_last_run_and_how_that_ended(ctl: Program, of_file: str) -> None:
    done = ctl("recurring", "list")
    assert done.status == 0
    line = done.out.splitlines()[1]
    for part in ("nightly", "every day at 5am", "in 2 h", "ago", "ready", "app.report(1, to='x')"):
        assert part in line
    (told,) = ctl("recurring", "list", "--json").json["tasks"]
    assert told["key"] == "nightly"
    assert told["last_run"]["outcome"] == "ready"
    assert told["schedulers"] == 1


def test_show_tells_the_schedule_in_words_the_file_and_the_runs(ctl: Program, of_file: str) -> None:
    told = ctl("recurring", "show", "nightly").out
    assert "here:/etc/recurring.yml#production" in told
    assert "0 5 * * *" in told
    assert "2026-03-02 12:00:00 UTC" in told
    document = ctl("recurring", "show", "nightly", "--limit", 1, "--json").json
    assert [run["run_at"] for run in document["runs"]] == ["2026-03-02T12:00:00Z"]


def test_schedule_stores_a_task_and_then_changes_it(ctl: Program, store: Store) -> None:
    words = ["recurring", "schedule", "ping", "every 5 minutes", "--class", "app.ping", "--args", '[1, {"a": 2}]']
    assert ctl(*words).out == "ping: scheduled\n"
    options = ["--queue", "q", "--priority", "-4", "--timeout", "2m", "--timezone", "Europe/Rome", "--missed", "once"]
    options += ["--overlap", "skip", "--jitter", "30s", "--description", "d"]
    assert ctl(*words, *options).out == "ping: changed\n"
    assert get(store, "ping").settings == RecurringTaskSettings(
        "ping", "every 5 minutes", "app.ping", '{"args":[1],"kwargs":{"a":2}}', "q", -4, 120.0, "Europe/Rome", "d",
        "once", "skip", 30.0,
    )  # fmt: skip


def test_commands_and_programs_are_scheduled_too(ctl: Program, store: Store) -> None:
    assert ctl("recurring", "schedule", "py", "@hourly", "--command", "print(1)").status == 0
    assert ctl("recurring", "schedule", "sh", "@hourly", "--shell", "df -h | mail root").status == 0
    assert get(store, "py").settings.class_name == "queued.command"
    assert get(store, "sh").settings.arguments == '{"args":["df -h | mail root"],"kwargs":{}}'


def test_everything_wrong_with_a_task_is_said_at_once(ctl: Program) -> None:
    done = ctl(
        "recurring", "schedule", "ping", "every other day", "--class", "app.ping", "--queue", " q", "--jitter", "9d"
    )
    assert done.status == 2
    for part in ("schedule", "queue", "jitter"):
        assert part in done.err
    assert ctl("recurring", "schedule", "ping", "@daily", "--class", "a", "--args", "[1").status == 2
    assert ctl("recurring", "schedule", "ping", "@daily").status == 2
    assert ctl("recurring", "schedule", "ping", "@daily", "--class", "a", "--timeout", "soon").status == 2


def test_pause_resume_and_run_now(ctl: Program, store: Store, of_file: str) -> None:
    assert ctl("recurring", "pause", "nightly").out == "nightly: paused\n"
    assert ctl("recurring", "pause", "nightly").out == "nightly: was already paused\n"
    assert "paused" in ctl("recurring", "list").out
    assert "asked for" in ctl("recurring", "run", "nightly").out
    assert get(store, "nightly").asked_at is not None
    assert ctl("recurring", "resume", "nightly").out == "nightly: resumed\n"
    assert get(store, "nightly").paused_at is None


def test_a_key_that_is_not_there_changes_nothing_of_the_others(ctl: Program, store: Store, of_file: str) -> None:
    done = ctl("recurring", "pause", "nightly", "nightli")
    assert done.status == 4
    assert "there is no recurring task nightli" in done.err
    assert get(store, "nightly").paused_at is None
    assert ctl("recurring", "show", "nightli").status == 4


def test_a_task_of_a_file_is_removed_there_and_a_dynamic_one_here(ctl: Program, of_file: str) -> None:
    done = ctl("recurring", "unschedule", "nightly")
    assert done.status == 5
    assert "/etc/recurring.yml" in done.err
    ctl("recurring", "schedule", "ping", "@hourly", "--class", "app.ping")
    assert ctl("recurring", "unschedule", "ping", "--json").json == {"tasks": [{"key": "ping", "changed": True}]}
    assert ctl("recurring", "schedule", "nightly", "@hourly", "--class", "app.ping").status == 5
