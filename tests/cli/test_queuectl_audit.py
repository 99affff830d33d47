"""queuectl audit: who did what, from where, to how many; written together with the deed or not at all."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import pytest

from cli.conftest import Hand, Program, job, states
from queued.domain.audit import Actor, actor
from queued.domain.settings import RetentionSettings
from queued.storage import audit, retention
from queued.storage.store import Store


def deeds(ctl: Program) -> list[tuple[str, str, int]]:
    return [(told["action"], told["target"], told["count"]) for told in ctl("audit", "--json").json["actions"]]


def test_each_action_is_on_record_with_what_and_how_many(ctl: Program, store: Store, worker: Hand) -> None:
    failed, *ready = store.enqueue([job("app.failed"), job(), job(), job(queue="mail")])
    worker.fail(failed)
    (running,) = worker.claim(1)
    ctl("jobs", "retry", failed)
    ctl("jobs", "cancel", running.id)
    ctl("jobs", "discard", "queue:mail", "--yes")
    ctl("queues", "pause", "mail")
    ctl("queues", "resume", "mail")
    ctl("recurring", "schedule", "ping", "@daily", "--class", "app.ping")
    ctl("recurring", "pause", "ping")
    ctl("recurring", "resume", "ping")
    ctl("recurring", "run", "ping")
    ctl("recurring", "unschedule", "ping")
    assert deeds(ctl)[::-1] == [
        ("jobs retry", str(failed), 1),
        ("jobs cancel", str(running.id), 1),
        ("jobs discard", "queue:mail", 1),
        ("queues pause", "mail", 1),
        ("queues resume", "mail", 1),
        ("recurring schedule", "ping @daily", 1),
        ("recurring pause", "ping", 1),
        ("recurring resume", "ping", 1),
        ("recurring run", "ping", 1),
        ("recurring unschedule", "ping", 1),
    ]
    assert ready


def test_what_changed_nothing_is_not_on_record(ctl: Program, store: Store) -> None:
    (ready,) = store.enqueue([job()])
    ctl("jobs", "retry", ready, 4711)
    ctl("jobs", "retry", "queue:none", "--yes")
    ctl("jobs", "discard", "queue:default", "--dry-run")
    ctl("queues", "resume", "default")
    assert deeds(ctl) == []
    assert ctl("audit").err == "nothing is on record\n"


def test_an_action_of_many_transactions_is_one_line_with_the_whole_count(ctl: Program, store: Store) -> None:
    store.enqueue([job() for _ in range(1200)])
    ctl("jobs", "discard", "state:ready", "--yes")
    assert deeds(ctl) == [("jobs discard", "state:ready", 1200)]


def test_the_record_says_who_and_from_where(ctl: Program, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ana")
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    ctl("queues", "pause", "mail")
    (told,) = ctl("audit", "--json").json["actions"]
    assert told["actor"].startswith("ana as ")
    assert (told["uid"], told["origin"], told["hostname"]) == (1234, "192.0.2.7", os.uname().nodename)
    age = datetime.now(timezone.utc) - datetime.fromisoformat(told["acted_at"].replace("Z", "+00:00"))
    assert abs(age) < timedelta(minutes=1)
    line = ctl("audit", "--no-legend").out
    assert f"192.0.2.7 on {os.uname().nodename}" in line
    assert "queues pause" in line


@pytest.mark.parametrize(
    ("environ", "terminal", "expected"),
    [
        ({}, None, Actor("root", 0, "web1", None)),
        ({}, "/dev/pts/3", Actor("root", 0, "web1", "/dev/pts/3")),
        ({"SUDO_USER": "ana", "SUDO_UID": "1000"}, None, Actor("ana as root", 1000, "web1", None)),
        ({"SUDO_USER": "root", "SUDO_UID": "0"}, None, Actor("root", 0, "web1", None)),
        ({"SSH_CLIENT": "192.0.2.9 1 22"}, "/dev/pts/3", Actor("root", 0, "web1", "192.0.2.9")),
        ({"SUDO_UID": "x"}, None, Actor("root", 0, "web1", None)),
    ],
)
def test_a_person_is_told_by_what_the_system_says(
    environ: dict[str, str], terminal: str | None, expected: Actor
) -> None:
    assert actor(environ, "root", 0, "web1", terminal) == expected


def test_without_its_record_an_action_is_not_done(ctl: Program, store: Store, worker: Hand) -> None:
    (failed,) = store.enqueue([job()])
    worker.fail(failed)
    table = "queued_audit" if store.dialect == "sqlite" else "queued.audit"
    store.backend.connection().execute(f"ALTER TABLE {table} RENAME TO away")
    assert ctl("jobs", "retry", failed).status == 78
    assert ctl("queues", "pause", "mail").status == 78
    assert states(ctl) == {failed: "failed"}
    assert [queue["paused"] for queue in ctl("queues", "list", "--json").json["queues"]] == [False]


def test_pages_and_times_narrow_the_record(ctl: Program, store: Store) -> None:
    for number in range(5):
        ctl("queues", "pause", f"q{number}")
    first = ctl("audit", "--limit", 2, "--json").json
    assert [told["target"] for told in first["actions"]] == ["q4", "q3"]
    rest = ctl("audit", "--before", first["next_before"], "--json").json
    assert [told["target"] for told in rest["actions"]] == ["q2", "q1", "q0"]
    assert rest["next_before"] is None
    assert ctl("audit", "--since", "2099-01-01", "--json").json["actions"] == []
    assert len(ctl("audit", "--since", "1h", "-o", "name").out.splitlines()) == 5


def test_a_long_list_of_ids_is_cut(store: Store) -> None:
    with store.transaction() as session:
        audit.Record(Actor("ana", 1, "here"), "jobs retry", "1234567 " * 1000).note(session, 3)
        (deed,) = audit.newest(session, 5)
    assert len(deed.target) == audit.LONGEST
    assert deed.target.endswith("…")


def test_the_record_is_kept_as_long_as_retention_says(ctl: Program, store: Store) -> None:
    ctl("queues", "pause", "a")
    assert "audit" not in retention.prune(store, RetentionSettings()).deleted
    assert "audit" not in retention.prune(store, RetentionSettings(audit=None)).deleted
    assert deeds(ctl) != []
    assert retention.prune(store, RetentionSettings(audit=0.0)).deleted["audit"] == 1
    assert deeds(ctl) == []
