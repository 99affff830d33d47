"""queuectl jobs enqueue and queues clear: work that an operator puts in and takes out."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, job, states
from queued.domain.limits import Limit
from queued.storage.store import Store

PACKAGE = Path(__file__).resolve().parents[2] / "daemon"


def test_a_job_is_stored_by_its_name(ctl: Program, store: Store, worker: Hand) -> None:
    told = ctl(
        "jobs", "enqueue", "app.resize", "--args", '[17, {"size": "large"}]', "--queue", "images", "--priority", "-5"
    )
    assert told.status == 0
    assert told.out.endswith(": app.resize in queue images\n")
    (found,) = worker.claim()
    assert (found.class_name, found.queue, found.priority) == ("app.resize", "images", -5)
    assert found.arguments == '{"args":[17],"kwargs":{"size":"large"}}'
    assert [deed["action"] for deed in ctl("audit", "--json").json["actions"]] == ["jobs enqueue"]


def test_it_can_be_stored_for_later(ctl: Program, store: Store) -> None:
    soon = ctl("jobs", "enqueue", "app.a", "--in", "10m", "--json").json["id"]
    then = ctl("jobs", "enqueue", "app.b", "--at", "2099-01-31T08:00", "--json").json["id"]
    assert states(ctl) == {soon: "scheduled", then: "scheduled"}
    shown = {one["id"]: one["run_at"] for one in ctl("jobs", "list", "--json").json["jobs"]}
    assert shown[then] == "2099-01-31T08:00:00Z"
    due = datetime.fromisoformat(shown[soon].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert timedelta(minutes=8) < due < timedelta(minutes=11)


APPLICATION = """
import queued

@queued.job(
    queue="books", priority=7, unique=queued.unique(lambda account: account),
    limits=queued.limits_concurrency(to=1, key="book"),
)
def book(account): pass

@queued.job
def note(): pass

@queued.job
def told(): pass

@told.before_enqueue
def first(job):
    note.enqueue()

@queued.job
async def prints(word):
    print("printed", word)
    note.enqueue()

@queued.job(retry_on=OSError)
def breaks():
    raise OSError("the disk is away")

@queued.job
def dies():
    import os
    os._exit(7)
"""


@pytest.fixture
def configured(store: Store, tmp_path: Path) -> Path:
    """A configuration with an application on this host."""
    (tmp_path / "shop.py").write_text(APPLICATION)
    file = tmp_path / "queue.yml"
    file.write_text(
        f"production:\n  database: {store.settings.url}\n  workers: [{{}}]\n  dispatchers: [{{}}]\n"
        f"  app: {{path: {tmp_path}, python: {sys.executable}, import: shop, environment: {{PYTHONPATH: {PACKAGE}}}}}\n"
    )
    return file


def test_the_application_says_what_its_job_declares(program: Program, ctl: Program, configured: Path) -> None:
    def enqueue(*words: str) -> dict[str, object]:
        told = program("queuectl", "jobs", "enqueue", *words, "--config", configured, "--json")
        assert told.status == 0, told.err
        return dict(told.json)

    first = enqueue("shop.book", "--args", '["ada"]')
    assert first == {"id": first["id"], "class": "shop.book", "queue": "books", "note": None}
    again = enqueue("shop.book", "--args", '["ada"]')
    assert again == first | {"note": "existing"}
    other = enqueue("shop.book", "--args", '["bob"]', "--in", "1h", "--queue", "slow")
    assert other["queue"] == "slow"
    waiting = enqueue("shop.book", "--args", '["eve"]')
    listed = {one["id"]: (one["state"], one["priority"]) for one in ctl("jobs", "list", "--json").json["jobs"]}
    assert listed == {first["id"]: ("ready", 7), other["id"]: ("scheduled", 7), waiting["id"]: ("blocked", 7)}
    plain = enqueue("shop.book", "--args", '["ada"]', "--plain")
    assert plain["note"] is None
    assert plain["queue"] == "default"


def test_callbacks_of_the_job_run_and_enqueue_too(program: Program, ctl: Program, configured: Path) -> None:
    told = program("queuectl", "jobs", "enqueue", "shop.told", "--config", configured, "--json")
    assert told.status == 0, told.err
    assert told.json["class"] == "shop.told"
    assert sorted(one["class"] for one in ctl("jobs", "list", "--json").json["jobs"]) == ["shop.note", "shop.told"]
    assert len(ctl("audit", "--json").json["actions"]) == 1


def test_a_job_runs_in_the_foreground_and_what_it_enqueues_is_stored(
    program: Program, ctl: Program, configured: Path
) -> None:
    told = program("queuectl", "jobs", "run", "shop.prints", "--args", '["ada"]', "--config", configured)
    assert told.status == 0, told.err
    assert "printed ada" in told.err
    assert told.out.startswith("shop.prints: done in ")
    assert [one["class"] for one in ctl("jobs", "list", "--json").json["jobs"]] == ["shop.note"]
    assert [one["action"] for one in ctl("audit", "--json").json["actions"]] == ["jobs run"]


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("shop.breaks", "retry", "OSError: the disk is away"),
        ("shop.dies", "crashed", "exit status 7"),
        ("shop.bok", "failed", "shop.book"),
    ],
)
def test_a_run_that_does_not_end_well_says_why(
    program: Program, configured: Path, name: str, outcome: str, said: str
) -> None:
    told = program("queuectl", "jobs", "run", name, "--config", configured)
    assert (told.status, told.out) == (1, "")
    assert said in told.err
    assert program("queuectl", "jobs", "run", name, "--config", configured, "--json").json["outcome"] == outcome


def test_an_error_is_told_once(program: Program, configured: Path) -> None:
    for name, said in (("shop.breaks", "OSError: the disk is away"), ("shop.bok", "no job is named 'shop.bok'")):
        told = program("queuectl", "jobs", "run", name, "--config", configured)
        assert told.err.count(said) == 1


@pytest.mark.parametrize("verb", ["enqueue", "run"])
def test_arguments_that_are_no_json_are_a_usage_error(ctl: Program, verb: str) -> None:
    told = ctl("jobs", verb, "app.a", "--args", "[bad")
    assert told.status == 2
    assert told.err.startswith("queuectl: --args: is not JSON (")


def test_without_an_application_nothing_can_be_run_here(ctl: Program) -> None:
    told = ctl("jobs", "run", "app.a")
    assert told.status == 78
    assert "there is no application on this host" in told.err


def test_a_name_that_the_application_does_not_know_is_told_with_near_ones(
    program: Program, ctl: Program, configured: Path
) -> None:
    told = program("queuectl", "jobs", "enqueue", "shop.bok", "--config", configured)
    assert told.status == 1
    assert "shop.book" in told.err
    assert states(ctl) == {}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--args", "{"], 2, "--args: is not JSON"),
        (["--at", "2h"], 2, "use --in"),
        (["--in", "1h", "--at", "2026-01-31"], 2, "not allowed with"),
        (["--priority", "99999999999"], 2, "is no whole number"),
        (["--priority", "x"], 2, "is no whole number"),
    ],
)
def test_what_cannot_be_stored_is_told(ctl: Program, words: list[str], status: int, said: str) -> None:
    told = ctl("jobs", "enqueue", "app.a", *words)
    assert told.status == status
    assert said in told.err
    assert states(ctl) == {}


def test_a_queue_is_cleared_of_what_waits_and_of_nothing_else(ctl: Program, store: Store, worker: Hand) -> None:
    failed, running = store.enqueue([job(queue="mail"), job(queue="mail", limits=(Limit("k", 1),))])
    worker.fail(failed)
    (claimed,) = worker.claim()
    assert claimed.id == running
    waiting = store.enqueue(
        [job(queue="mail"), job(queue="mail", wait=600.0), job(queue="mail", limits=(Limit("k", 1),))]
    )
    (other,) = store.enqueue([job(queue="mail2")])
    asked = ctl("queues", "clear", "mail")
    assert asked.status == 1
    assert "matching: 3 jobs; give --yes to clear them" in asked.err
    assert ctl("queues", "clear", "mail", "--dry-run", "--json").json["would"] == waiting
    assert ctl("queues", "clear", "mail", "--yes").status == 0
    assert states(ctl) == {
        failed: "failed", running: "running", other: "ready", **dict.fromkeys(waiting, "discarded"),
    }  # fmt: skip
    assert [(deed["action"], deed["target"], deed["count"]) for deed in ctl("audit", "--json").json["actions"]] == [
        ("queues clear", "queue:mail", 3)
    ]
    assert ctl("queues", "clear", "none", "--yes").out == "no job matches\n"
