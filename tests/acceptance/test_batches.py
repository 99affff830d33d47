"""Batches through the real daemon: what follows them follows once, whoever ends their members."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import queued
from acceptance.service import Service

SETTINGS = {
    "workers": [{"threads": 3, "processes": 2, "polling_interval": 0.1}],
    "dispatchers": [{"polling_interval": 0.1}],
}


def open_batch(service: Service, work: ModuleType, *members: queued.UnsentJob, label: str) -> int:
    """A batch of these members with all callbacks; its id."""
    queued.configure(service.daemon.url)
    with queued.batch(
        label,
        metadata={"label": label},
        on_success=work.follow.bind("success"),
        on_failure=work.follow.bind("failure"),
        on_finish=work.follow.bind("finish"),
    ) as opened:
        opened.add_many(members)
    assert opened.id is not None
    return opened.id


def followers(service: Service, batch_id: int, count: int = 2) -> list[dict[str, Any]]:
    """What the callbacks of a batch have noted, as soon as there are so many."""

    def found() -> list[dict[str, Any]]:
        noted = [entry for entry in service.ledger.entries("followed") if entry["batch"] == batch_id]
        return noted if len(noted) >= count else []

    entries: list[dict[str, Any]] = service.until(found, f"{count} callbacks of batch {batch_id}")
    return sorted(entries, key=lambda entry: str(entry["what"]))


def shown(service: Service, batch_id: int) -> dict[str, Any]:
    """What queuectl says of a batch."""
    told: dict[str, Any] = json.loads(service.daemon.queuectl("batches", "show", str(batch_id), "--json").stdout)
    return told


def test_the_callbacks_follow_the_last_member_and_know_the_counts(
    service: Service, work: ModuleType, label: str
) -> None:
    batch_id = open_batch(service, work, *[work.note.bind(label, 0.01) for _ in range(20)], label=label)
    finish, success = followers(service, batch_id)
    assert (finish["what"], success["what"]) == ("finish", "success")
    assert finish["counts"] == success["counts"] == [20, 20, 0, 0]
    assert finish["metadata"] == {"label": label}


def test_members_fail_are_retried_are_discarded_and_crash(service: Service, work: ModuleType, label: str) -> None:
    members = [work.fail.bind(), work.fail_until.bind(3), work.unwanted.bind(), work.die_first.bind()]
    batch_id = open_batch(service, work, *members, label=label)
    failure, finish = followers(service, batch_id)
    assert (failure["what"], finish["what"]) == ("failure", "finish")
    assert failure["counts"] == [4, 2, 1, 1]
    told = shown(service, batch_id)
    assert (told["state"], told["outstanding"], len(told["failures"])) == ("failed", [], 1)
    assert service.job(told["failures"][0]).class_name == "work.fail"
    assert label in service.daemon.queuectl("batches", "list").stdout


def test_a_member_adds_to_its_batch_while_it_runs(service: Service, work: ModuleType, label: str) -> None:
    batch_id = open_batch(service, work, work.multiply.bind(5), work.multiply.bind(2), label=label)
    finish, _ = followers(service, batch_id)
    assert finish["counts"] == [9, 9, 0, 0]


def test_a_job_opens_a_batch_through_its_worker(service: Service, work: ModuleType, label: str) -> None:
    [job] = service.enqueue(work.open_a_batch.bind(label))
    service.wait(job)
    [told] = [entry for entry in service.ledger.entries("told") if entry["job"] == job]
    assert "has finished" in told["error"]
    [finish] = followers(service, told["batch"], 1)
    assert finish["counts"] == [1, 1, 0, 0]


def test_a_batch_is_followed_after_those_that_its_members_open(service: Service, work: ModuleType, label: str) -> None:
    outer = open_batch(service, work, work.open_a_batch.bind(label), work.note.bind(label), label=label)
    finish, success = followers(service, outer)
    assert (
        finish["counts"] == success["counts"] == [4, 4, 0, 0]
    )  # two members, one of the inner batch, and what follows it
    [told] = [entry for entry in service.ledger.entries("told") if shown(service, entry["batch"])["parent"] == outer]
    [inner] = followers(service, told["batch"], 1)
    assert inner["counts"] == [1, 1, 0, 0]
    ended = [shown(service, batch_id)["finished_at"] for batch_id in (told["batch"], outer)]
    assert ended == sorted(ended)
    listed = service.daemon.queuectl("batches", "list").stdout
    assert f"└ {told['batch']} " in listed


def test_what_an_operator_cancels_counts_as_discarded(service: Service, work: ModuleType, label: str) -> None:
    batch_id = open_batch(service, work, work.note.bind(label), work.note.set(wait=3600).bind(label), label=label)
    [first] = service.until(
        lambda: [entry["job"] for entry in service.ledger.ends() if entry.get("label") == label],
        "the first member's end",
    )
    service.wait(first)
    told = shown(service, batch_id)
    assert (told["state"], told["total"], len(told["outstanding"])) == ("open", 2, 1)
    assert service.daemon.queuectl("jobs", "cancel", str(told["outstanding"][0])).returncode == 0
    finish, success = followers(service, batch_id)
    assert finish["counts"] == success["counts"] == [2, 1, 0, 1]


def test_many_small_batches_have_each_callback_once(service: Service, work: ModuleType, label: str) -> None:
    ids = [open_batch(service, work, *[work.note.bind(label) for _ in range(3)], label=label) for _ in range(30)]
    for batch_id in ids:
        followers(service, batch_id)
    noted = [entry["batch"] for entry in service.ledger.entries("followed")]
    assert all(noted.count(batch_id) == 2 for batch_id in ids)
