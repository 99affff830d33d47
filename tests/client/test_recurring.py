"""Recurring tasks from an application's code, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

import queued
from queued.client import route
from queued.client.arguments import decode_call
from queued.domain.settings import RecurringTaskSettings
from queued.storage import recurring
from queued.storage.store import Store, open_store


@queued.job(name="test.recurring.report")
def report(number: int, when: object = None) -> None:
    """A job."""


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = open_store(database_url)
    store.migrate()
    monkeypatch.setattr(route, "_configured", None)
    queued.configure(database_url)
    yield store
    store.close()


def get(store: Store, key: str = "report") -> recurring.RecurringTask:
    with store.reading() as session:
        return recurring.get(session, key)


def test_a_task_is_scheduled_with_arguments_of_any_kind(store: Store) -> None:
    added = queued.schedule_recurring_task(
        "report", report, schedule="every monday at 8am", timezone="Europe/Rome", args=[17],
        kwargs={"when": timedelta(days=2)}, timeout=timedelta(minutes=1), jitter=5, missed="once",
    )  # fmt: skip
    assert added
    task = get(store)
    assert task.source == "dynamic"
    assert (task.settings.class_name, task.settings.timezone) == ("test.recurring.report", "Europe/Rome")
    assert (task.settings.timeout, task.settings.jitter) == (60.0, 5)
    assert decode_call(task.settings.arguments) == ([17], {"when": timedelta(days=2)})


def test_scheduling_again_replaces_and_updating_changes_only_what_is_given(store: Store) -> None:
    queued.schedule_recurring_task("report", report, schedule="@daily", args=[1], queue="q")
    assert not queued.schedule_recurring_task("report", report, schedule="@hourly", args=[1], queue="q")
    queued.update_recurring_task("report", priority=3)
    queued.update_recurring_task("report", args=[2])
    settings = get(store).settings
    assert (settings.schedule, settings.queue, settings.priority) == ("@hourly", "q", 3)
    assert decode_call(settings.arguments) == ([2], {})
    queued.update_recurring_task("report", command="print(1)")
    assert get(store).settings.class_name == "queued.command"
    assert get(store).settings.queue == "q"


def test_pause_resume_run_and_unschedule(store: Store) -> None:
    queued.schedule_recurring_task("report", shell=["df", "-h"], schedule="@daily")
    assert queued.pause_recurring_task("report")
    assert not queued.pause_recurring_task("report")
    queued.run_recurring_task("report")
    assert get(store).asked_at is not None
    assert queued.resume_recurring_task("report")
    queued.unschedule_recurring_task("report")
    for gone in (queued.unschedule_recurring_task, queued.run_recurring_task, queued.update_recurring_task):
        with pytest.raises(queued.UnknownId, match="there is no recurring task report"):
            gone("report")


def test_what_is_wrong_is_said_all_at_once(store: Store) -> None:
    with pytest.raises(queued.ConfigurationError) as caught:
        queued.schedule_recurring_task("report", "a", command="b", schedule="often", priority="high", missed="never")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 4
    with pytest.raises(queued.ConfigurationError, match="shedule cannot be changed"):
        queued.update_recurring_task("report", shedule="@daily")
    with pytest.raises(queued.ArgumentError):
        queued.schedule_recurring_task("report", report, schedule="@daily", args=[object()])


def test_a_task_of_a_file_is_not_changed_from_code(store: Store) -> None:
    with store.transaction() as session:
        recurring.sync(session, "here", [RecurringTaskSettings("report", "@daily", "a")])
    with pytest.raises(queued.NotAllowed, match="comes from a file"):
        queued.schedule_recurring_task("report", report, schedule="@daily", args=[1])
    assert queued.pause_recurring_task("report")


def test_in_the_caller_s_transaction_it_comes_and_goes_with_that(store: Store, database_url: str) -> None:
    connection: Any
    if store.dialect == "sqlite":
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
    else:
        connection = psycopg.connect(database_url)
    queued.schedule_recurring_task("report", report, schedule="@daily", args=[1], connection=connection)
    connection.rollback()
    with pytest.raises(queued.UnknownId):
        get(store)
    queued.schedule_recurring_task("report", report, schedule="@daily", args=[1], connection=connection)
    connection.commit()
    connection.close()
    assert get(store).settings.schedule == "@daily"
