"""The forms of output, a screen shown again and again, and the progress of long work."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from cli.conftest import HERE, Hand, Program, job, states
from cli.test_terminal import on_terminal
from queued.cli.progress import line
from queued.domain.jobs import NewJob, Outcome
from queued.domain.limits import Limit
from queued.storage import claimed, recurring
from queued.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
LISTS = (
    ("jobs", "list"),
    ("queues", "list"),
    ("locks", "list"),
    ("batches", "list"),
    ("recurring", "list"),
    ("heartbeat", "recent"),
    ("heartbeat", "by-host"),
    ("processes",),
)


def test_a_list_has_every_form(ctl: Program, store: Store, worker: Hand) -> None:
    failed, ready = store.enqueue([job("app.a", queue="mail"), job("app.b")])
    worker.fail(failed, message='a, "b"\nc')
    document = ctl("jobs", "list", "-o", "json")
    assert document.json == ctl("jobs", "list", "--json").json | {"now": document.json["now"]}
    lines = ctl("jobs", "list", "-o", "jsonl").out.splitlines()
    assert [json.loads(text) for text in lines] == document.json["jobs"]
    rows = list(csv.DictReader(io.StringIO(ctl("jobs", "list", "-o", "csv").out)))
    assert [(row["id"], row["class"], row["state"]) for row in rows] == [
        (str(ready), "app.b", "ready"),
        (str(failed), "app.a", "failed"),
    ]
    assert rows[1]["error.message"] == 'a, "b"\nc'
    assert ctl("jobs", "list", "-o", "name").out == f"{ready}\n{failed}\n"
    wide = ctl("jobs", "list", "-o", "wide").out.splitlines()
    assert "ENQUEUED" in wide[0]
    assert "ENQUEUED" not in ctl("jobs", "list").out
    assert ctl("jobs", "list", "--no-legend").out.splitlines()[0].split()[0] == str(ready)
    bare = ctl("jobs", "list", "-o", "csv", "--no-legend").out
    assert next(csv.reader(io.StringIO(bare)))[0] == str(ready)


def test_the_columns_of_csv_do_not_depend_on_the_rows(ctl: Program, store: Store, worker: Hand) -> None:
    def columns(*words: str) -> list[str]:
        return next(csv.reader(io.StringIO(ctl(*words, "-o", "csv").out)))

    (failed,) = store.enqueue([job("app.a")])
    before = columns("jobs", "list")
    worker.fail(failed)
    assert columns("jobs", "list") == before
    assert before[-6:] == [
        *("error.class", "error.message"),
        *("progress.done", "progress.total", "progress.percent", "progress.message"),
    ]
    assert ctl("recurring", "schedule", "ping", "@daily", "--class", "app.ping", "--args", '{"a": 1}').status == 0
    planned = columns("recurring", "list")
    assert "arguments" in planned
    with store.transaction() as session:
        recurring.record(session, "ping", datetime.now(timezone.utc), outcome="finished")
    assert columns("recurring", "list") == planned


def test_a_key_that_nobody_holds_or_waits_for_is_not_listed_before_it_is_forgotten(
    ctl: Program, store: Store, worker: Hand
) -> None:
    store.enqueue([NewJob("app.a", limits=(Limit(key, 1),)) for key in ("first", "second", "second")])
    (first, _) = worker.claim()
    with store.transaction() as session:
        claimed.finish(session, [Outcome(first.id, first.lease, "done", ties=first.ties)], HERE)
        assert session.all("limits.idle", batch_size=10) == [{"key": "first"}]
    told = ctl("locks", "list", "--json").json["locks"]
    assert [(lock["key"], lock["held"], lock["blocked"]) for lock in told] == [("second", 1, 1)]


@pytest.mark.parametrize("words", LISTS)
@pytest.mark.parametrize("form", ["table", "wide", "json", "jsonl", "csv", "name"])
def test_every_list_knows_every_form_also_when_it_is_empty(ctl: Program, words: tuple[str, ...], form: str) -> None:
    told = ctl(*words, "-o", form)
    assert told.status == 0
    if form == "json":
        assert [] in told.json.values()
    elif form in {"jsonl", "csv", "name"}:
        assert told.out == ""


@pytest.mark.parametrize("form", ["jsonl", "csv", "name"])
def test_what_is_no_list_says_so(ctl: Program, form: str) -> None:
    told = ctl("status", "-o", form)
    assert (told.status, told.out) == (2, "")
    assert told.err == f"queuectl: -o {form} is for lists; this command has table, wide, json\n"


def test_the_query_of_a_list_stands_beside_its_options(ctl: Program, store: Store) -> None:
    store.enqueue([job("app.a", queue="mail"), job("app.b", queue="mail"), job("app.b")])
    told = ctl("jobs", "list", "queue:mail", "--class", "app.b", "-o", "json").json
    assert [(one["class"], one["queue"]) for one in told["jobs"]] == [("app.b", "mail")]
    told = ctl("jobs", "list", "queue:mail class:app.b", "-o", "name")
    assert len(told.out.splitlines()) == 1


def test_a_query_that_means_nothing_is_a_usage_error_with_a_hint(ctl: Program) -> None:
    told = ctl("jobs", "list", "stat:failed")
    assert (told.status, told.out) == (2, "")
    assert "did you mean state?" in told.err


def test_an_action_takes_a_query(ctl: Program, store: Store) -> None:
    ids = store.enqueue(
        [job(queue="mail", arguments=json.dumps({"args": [], "kwargs": {"user_id": n}})) for n in (41, 42)] + [job()]
    )
    planned = ctl("jobs", "discard", "queue:mail args.user_id:42", "--dry-run", "--json").json
    assert planned == {"action": "discard", "dry_run": True, "would": [ids[1]]}
    assert ctl("jobs", "discard", "queue:mail", "args.user_id:42", "--yes").status == 0
    assert states(ctl) == {ids[0]: "ready", ids[1]: "discarded", ids[2]: "ready"}
    assert ctl("jobs", "discard", "1", "queue:mail").status == 2
    assert ctl("jobs", "discard", "quee:mail", "--yes").status == 2


def test_jobs_that_come_after_the_question_are_left_alone(store: Store, database_url: str, ctl: Program) -> None:
    (first,) = store.enqueue([job()])
    command = [sys.executable, "-m", "queued", "jobs", "discard", "state:ready", "--database", database_url]
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "daemon")},
    )  # fmt: skip
    os.close(theirs)
    assert process.stderr is not None
    assert process.stderr.read(len("discard 1 job? [y/N]")) == b"discard 1 job? [y/N]"
    (second,) = store.enqueue([job()])
    os.write(ours, b"y\n")
    process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0
    assert states(ctl) == {first: "discarded", second: "ready"}


def test_watching_shows_what_changes_until_it_is_interrupted(store: Store, database_url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "queued", "jobs", "list", "--watch=0.1", "-o", "name", "--database", database_url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "daemon")},
        text=True,
    )
    assert process.stdout is not None
    try:
        (job_id,) = store.enqueue([job()])
        deadline = time.monotonic() + 30
        while process.stdout.readline().strip() != str(job_id):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_watching_paints_over_the_screen_on_a_terminal(store: Store, database_url: str) -> None:
    store.enqueue([job("app.seen")])
    status, shown = on_terminal("jobs", "list", "--watch=0.1", "--database", database_url, leave_after="app.seen")
    assert status == 0
    assert shown.startswith("\x1b[2J\x1b[H")
    assert "\x1b[K" in shown


@pytest.mark.parametrize("text", ["0", "-1", "x", "1e9"])
def test_a_pause_that_is_none_is_refused(ctl: Program, text: str) -> None:
    assert ctl("status", f"--watch={text}").status == 2


#: The program, with bars that are drawn at once and every time.
EAGER = (
    "import sys; from queued.cli import main, progress; "
    "progress.PATIENCE = progress.EVERY = 0; sys.exit(main.queuectl(sys.argv[1:]))"
)


def test_a_long_action_shows_how_far_it_is_on_a_terminal(store: Store, database_url: str, ctl: Program) -> None:
    store.enqueue([job() for _ in range(1200)])
    _, shown = on_terminal("jobs", "discard", "state:ready", "--yes", "--database", database_url, source=EAGER)
    assert "1200 jobs discarded" in shown
    assert re.search(r"\rmatching  \d+, \d+ a second\x1b\[K", shown)
    assert re.search(r"\rdiscard  \[#+-+\] 500 of 1200, \d+ a second, .* left\x1b\[K", shown)
    assert shown.index("\r\x1b[K") < shown.index("1200 jobs discarded"), (
        "the bar is taken away before the outcome is told"
    )
    told = ctl("jobs", "discard", "state:ready", "--yes")
    assert told.err == ""


def test_a_bar_tells_share_rate_and_rest() -> None:
    assert line("retry", 4500, 9000, 3.0) == "retry  [############------------] 4500 of 9000, 1500 a second, 3.0 s left"
    assert line("matching", 10, None, 2.0) == "matching  10, 5 a second"
    assert line("retry", 0, 10, 0.0) == "retry  [------------------------] 0 of 10, 0 a second"
