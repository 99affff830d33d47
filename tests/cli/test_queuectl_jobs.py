"""queuectl jobs list and show: what is where, and why."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, job
from queued.cli.database import reaching
from queued.domain.batches import NewBatch
from queued.domain.jobs import Checkpoint, Failure, Outcome
from queued.domain.limits import Limit
from queued.domain.rates import Rate
from queued.domain.settings import RetentionSettings
from queued.domain.unique import Unique
from queued.storage import checkpoints, claimed, recurring, retention
from queued.storage.store import Store

TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/srv/venv/lib/python3.12/site-packages/queued/client/performing.py", line 80, in perform',
    "    return function(*args)",
    '  File "/srv/photos/photos/jobs.py", line 12, in make_variant',
    "    picture = open_picture(path)",
    '  File "/srv/venv/lib/python3.12/site-packages/PIL/Image.py", line 3305, in open',
    "    raise UnidentifiedImageError(msg)",
    "OSError: image file is truncated",
)


def make_one_of_each(store: Store, worker: Hand) -> dict[str, int]:
    """A job in every state; ids by state."""
    ids = store.enqueue([job(f"app.{state}") for state in ("finished", "discarded", "cancelled", "failed", "running")])
    made = dict(zip(("finished", "discarded", "cancelled", "failed", "running"), ids, strict=True))
    ends = {"finished": "done", "discarded": "discarded", "cancelled": "cancelled", "failed": "failed"}
    for held in worker.claim():
        state = held.class_name.removeprefix("app.")
        if state in ends:
            worker.end(held, ends[state])
    made["ready"], made["scheduled"] = store.enqueue([job("app.ready", queue="mail"), job("app.scheduled", wait=600.0)])
    return made


def test_every_job_is_listed_newest_first_with_its_state(ctl: Program, store: Store, worker: Hand) -> None:
    made = make_one_of_each(store, worker)
    told = ctl("jobs", "list", "--json").json
    assert {entry["state"]: entry["id"] for entry in told["jobs"]} == made
    ids = [entry["id"] for entry in told["jobs"]]
    assert ids == sorted(ids, reverse=True)
    assert all(entry["class"] == f"app.{entry['state']}" for entry in told["jobs"])


@pytest.mark.parametrize("state", ["ready", "scheduled", "running", "failed", "finished", "discarded", "cancelled"])
def test_a_list_of_one_state_holds_that_state_only(ctl: Program, store: Store, worker: Hand, state: str) -> None:
    made = make_one_of_each(store, worker)
    (entry,) = ctl("jobs", "list", "--json", "--state", state).json["jobs"]
    assert (entry["id"], entry["state"]) == (made[state], state)
    when = datetime.fromisoformat(entry["state_at"].replace("Z", "+00:00"))
    limit = 700 if state == "scheduled" else 60
    assert abs((when - datetime.now(timezone.utc)).total_seconds()) < limit


def test_filters_narrow_by_queue_class_and_time(ctl: Program, store: Store) -> None:
    store.enqueue([job("photos.thumbnail", queue="images"), job("photos.large", queue="images-slow"), job("mail.send")])

    def listed(*words: str) -> set[str]:
        return {entry["class"] for entry in ctl("jobs", "list", "--json", *words).json["jobs"]}

    assert listed("--class", "photos.*") == {"photos.thumbnail", "photos.large"}
    assert listed("--class", "PHOTOS.*") == set()
    assert listed("--queue", "images") == {"photos.thumbnail"}
    assert listed("--queue", "images*", "--state", "ready") == {"photos.thumbnail", "photos.large"}
    assert listed("--queue", "images", "--state", "ready") == {"photos.thumbnail"}
    assert listed("--since", "1h") == {"photos.thumbnail", "photos.large", "mail.send"}
    assert listed("--since", "2099-01-01") == set()


def test_a_job_that_is_ready_again_is_so_since_then_and_not_since_its_enqueue(
    ctl: Program, store: Store, worker: Hand
) -> None:
    again, first = store.enqueue([job(), job()])
    worker.fail(again)
    assert ctl("jobs", "retry", again).status == 0
    since = {told["id"]: told["state_at"] for told in ctl("jobs", "list", "--json").json["jobs"]}
    for one in (again, first):
        shown = ctl("jobs", "show", one, "--json").json
        assert since[one] == shown["ready_at"]
    assert since[again] > ctl("jobs", "show", again, "--json").json["enqueued_at"]


def test_pages_follow_each_other_without_a_gap(ctl: Program, store: Store) -> None:
    ids = store.enqueue([job(f"app.n{n % 2}", priority=n % 3) for n in range(25)])
    for words in ((), ("--state", "ready"), ("--state", "ready", "--queue", "default"), ("--class", "app.n*")):
        seen: list[int] = []
        before: list[object] = []
        while True:
            told = ctl("jobs", "list", "--json", "--limit", 7, *words, *before).json
            seen += [entry["id"] for entry in told["jobs"]]
            if told["next_before"] is None:
                break
            before = ["--before", told["next_before"]]
        assert seen == sorted(ids, reverse=True), words


def test_the_text_says_how_to_see_more(ctl: Program, store: Store) -> None:
    ids = store.enqueue([job() for _ in range(3)])
    told = ctl("jobs", "list", "--limit", 2)
    assert told.err == f"2 listed; more: --before {ids[1]}\n"
    assert len(told.out.splitlines()) == 3
    nothing = ctl("jobs", "list", "--state", "failed")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "no job matches\n")


def test_an_error_of_an_earlier_attempt_is_told_as_such(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job()])
    worker.fail(job_id, message="image file is truncated", backtrace=TRACEBACK)
    assert "\napp.Broken: image file is truncated\n" in ctl("jobs", "show", job_id).out
    ctl("jobs", "retry", job_id)
    (again,) = worker.claim()
    worker.end(again)
    shown = ctl("jobs", "show", job_id)
    assert f"job {job_id} – finished" in shown.out
    assert "\nAttempt 1: app.Broken: image file is truncated\n" in shown.out


def test_an_error_without_frames_or_words_is_told_once(ctl: Program, store: Store, worker: Hand) -> None:
    unknown, silent = store.enqueue([job(), job()])
    for held in worker.claim():
        if held.id == unknown:
            worker.end(held, "failed", "no job is named x", ("app.Broken: no job is named x",))
        else:
            worker.end(held, "failed", "app.Broken", TRACEBACK)
    assert ctl("jobs", "show", unknown, "--full").out.split("\n\n")[1] == "app.Broken: no job is named x"
    assert ctl("jobs", "show", silent).out.split("\n\n")[1].startswith("app.Broken\n")
    assert "app.Broken: app.Broken" not in ctl("jobs", "show", silent).out + ctl("jobs", "list").out


def test_what_can_be_done_next_is_told_with_the_options_that_reach_the_same_database(
    program: Program, store: Store, worker: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = store.enqueue([job()])
    worker.fail(job_id)
    file = tmp_path / "my queue.yml"
    file.write_text(f"stage:\n  database: {store.settings.url}\n")
    given = f"queuectl --config '{file}' --env stage"
    for words, said in (
        (["jobs", "show", job_id], f"{given} jobs retry {job_id}\n"),
        (["errors"], f"{given} jobs retry fingerprint:ID\n"),
        (["status"], f"{given} errors\n"),
    ):
        told = program("queuectl", *words, "--config", file, "--env", "stage")
        assert said in told.out + told.err
    shown = program("queuectl", "jobs", "show", job_id, "--config", file, "--env", "stage", "--json").json
    assert shown["hints"][0].endswith(f"{given} jobs retry {job_id}")
    monkeypatch.setenv("QUEUED_DATABASE_URL", store.settings.url)
    assert f"queuectl jobs retry {job_id}" in program("queuectl", "jobs", "show", job_id).out
    hint = reaching(Namespace(config=None, env=None, database="postgresql://me:secret@host/db"), "queuectl errors")
    assert hint == "queuectl --database 'postgresql://me:***@host/db' errors"


def test_a_run_of_a_recurring_task_is_told_as_such(ctl: Program, store: Store) -> None:
    (job_id,) = store.enqueue([job()])
    assert ctl("jobs", "show", job_id, "--json").json["task"] is None
    with store.transaction() as session:
        moment = datetime.now(timezone.utc)
        assert recurring.record(session, "nightly", moment)
        started = recurring.start(session, "nightly", moment, job("app.report"))
    assert "\n       Task: nightly\n" in ctl("jobs", "show", started.ids[0]).out
    assert ctl("jobs", "show", started.ids[0], "--json").json["task"] == "nightly"


def test_a_failing_picture_is_explained(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue(
        [job("photos.make_variant", arguments='{"args":["/in/broken.jpg"],"kwargs":{"size":"large"}}')]
    )
    worker.fail(job_id, message="image file is truncated", backtrace=TRACEBACK)
    told = ctl("jobs", "show", job_id)
    assert told.status == 0
    assert f"job {job_id} – failed" in told.out
    assert "photos.make_variant('/in/broken.jpg', size='large')" in told.out
    assert "app.Broken: image file is truncated" in told.out
    assert 'File "/srv/photos/photos/jobs.py", line 12, in make_variant' in told.out
    assert "PIL/Image.py" not in told.out
    assert "(1 frame of libraries; --full shows all)" in told.out
    assert f" jobs retry {job_id}" in told.out
    assert f" jobs discard {job_id}" in told.out
    assert "PIL/Image.py" in ctl("jobs", "show", job_id, "--full").out


def test_show_tells_a_program_everything(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job("app.work", arguments='{"args":[1],"kwargs":{}}', options='{"timeout":3}')])
    worker.fail(job_id, message="no", backtrace=TRACEBACK)
    told = ctl("jobs", "show", job_id, "--json").json
    assert told["state"] == "failed"
    assert told["arguments"] == {"args": [1], "kwargs": {}}
    assert told["call"] == "app.work(1)"
    assert told["options"] == {"timeout": 3}
    assert told["error"]["class"] == "app.Broken"
    assert told["error"]["backtrace"] == list(TRACEBACK)
    (attempt,) = told["attempts"]
    assert (attempt["attempt"], attempt["hostname"], attempt["process"]) == (1, "here", "worker-1")
    assert attempt["counted"] is True


def test_every_state_says_what_can_be_done(ctl: Program, store: Store, worker: Hand) -> None:
    made = make_one_of_each(store, worker)
    expected = {
        "ready": " jobs cancel",
        "scheduled": " jobs cancel",
        "running": " jobs cancel",
        "failed": " jobs retry",
        "finished": "nothing can be done",
        "discarded": "nothing can be done",
        "cancelled": "nothing can be done",
    }
    for state, job_id in made.items():
        told = ctl("jobs", "show", job_id)
        assert f"– {state}" in told.out
        assert expected[state] in told.out.rpartition("\n\n")[2], state


def test_a_job_that_waits_in_a_paused_queue_says_so(ctl: Program, store: Store) -> None:
    (job_id,) = store.enqueue([job(queue="two words")])
    ctl("queues", "pause", "two words")
    assert " queues resume 'two words'" in ctl("jobs", "show", job_id).out


def test_a_job_that_a_retry_moved_to_another_lane_is_found(ctl: Program, store: Store, worker: Hand) -> None:
    from queued.domain.jobs import Failure, Outcome
    from queued.storage import claimed

    (job_id,) = store.enqueue([job(queue="fast")])
    (found,) = worker.claim()
    moved = Outcome(found.id, found.lease, "retry", failure=Failure("E", "m"), policy="p", queue="slow", priority=9)
    with store.transaction() as session:
        claimed.finish(session, [moved], claimed.Worker("here", "worker-1"))
    told = ctl("jobs", "show", job_id, "--json").json
    assert (told["state"], told["queue"], told["priority"], told["attempt"]) == ("ready", "slow", 9, 2)
    assert ctl("jobs", "cancel", job_id).status == 0
    assert ctl("jobs", "show", job_id, "--json").json["state"] == "cancelled"


def test_an_unknown_job_is_a_sentence_and_exit_code_4(ctl: Program) -> None:
    told = ctl("jobs", "show", 4711)
    assert told.status == 4
    assert told.err.startswith("queuectl: there is no job 4711")
    assert told.out == ""


def test_an_error_text_cannot_steer_the_terminal(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job()])
    worker.fail(job_id, message="\x1b]0;owned\x07 \u202egnp.exe", backtrace=("\x1b[2J",))
    for words in (("jobs", "show", job_id), ("jobs", "list")):
        told = ctl(*words)
        assert not {"\x1b", "\x07", "\u202e"} & set(told.out)
        assert "\\x1b]0;owned" in told.out


def test_steps_and_progress_are_shown(ctl: Program, store: Store, worker: Hand) -> None:
    running, plain = store.enqueue([job("app.import"), job("app.plain")])
    (held, _) = worker.claim()
    steps = '{"finished":[["open",null]],"step":"rows","cursor":{"$queued":"tuple","value":[7,"\\u001b[31m"]}}'
    with store.transaction() as session:
        checkpoints.save(session, [Checkpoint(held.id, held.lease, steps, 25.0, 200.0, "rows \x1b[31m")])
    told = ctl("jobs", "show", running)
    assert "Steps: open finished, in rows at (7, '\\x1b[31m')" in told.out
    assert "Progress: 25 of 200, 12 %: rows " in told.out
    assert "\x1b[31m" not in told.out
    found = ctl("jobs", "show", running, "--json").json
    assert (found["steps"]["finished"], found["steps"]["current"]) == (["open"], "rows")
    assert found["progress"] == {"done": 25.0, "total": 200.0, "percent": 12, "message": "rows \x1b[31m"}
    assert found["saved_at"] is not None
    listed = ctl("jobs", "list")
    assert "DONE" in listed.out
    assert "12 %" in listed.out
    progress = {told["id"]: told["progress"] for told in ctl("jobs", "list", "--json").json["jobs"]}
    assert progress[plain] is None
    assert progress[running]["percent"] == 12


def test_a_list_without_progress_has_no_column_for_it(ctl: Program, store: Store) -> None:
    (plain,) = store.enqueue([job("app.plain")])
    assert "DONE" not in ctl("jobs", "list").out
    told = ctl("jobs", "show", plain)
    assert "Steps" not in told.out
    found = ctl("jobs", "show", plain, "--json").json
    assert (found["steps"], found["progress"], found["saved_at"]) == (None, None, None)


def test_a_job_shows_what_binds_it_to_others(ctl: Program, store: Store, worker: Hand) -> None:
    member = job(
        "app.bound", batch=-1, wait=600.0, unique=Unique("invoice/ada"), rate=Rate("mail", 10, 60.0), expires=90.0,
        limits=(Limit("account/ada", 2),),
    )  # fmt: skip
    stored = store.submit([member], [NewBatch()])
    told = ctl("jobs", "show", stored.ids[0])
    for text in (
        "Unique: invoice/ada, until the job has ended; held by this job",
        "Rate: mail, 10 in 1 min",
        "Expires: ",
        f"Batch: {stored.batches[-1]}",
        "Limit: account/ada, 0 of 2 held by none",
    ):
        assert text in told.out, told.out
    shown = ctl("jobs", "show", stored.ids[0], "--json").json
    assert shown["unique"] == {"key": "invoice/ada", "until": "finish", "holder": stored.ids[0], "expires_at": None}
    assert shown["rate"] == {"key": "mail", "starts": 10, "per": 60.0, "waits_for_turn": False}
    assert (shown["batch"], shown["interruptions"]) == (stored.batches[-1], None)
    assert shown["expires_at"] > shown["run_at"]
    assert ctl("jobs", "cancel", stored.ids[0]).status == 0
    assert f"Batch: {stored.batches[-1]}, which does not count it any more" in ctl("jobs", "show", stored.ids[0]).out


def test_a_key_that_is_held_for_a_period_shows_until_when(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job("app.once", unique=Unique("k", None, 3600.0))])
    shown = ctl("jobs", "show", job_id)
    assert "Unique: k, until 2" in shown.out
    assert "held by this job" in shown.out


def test_a_job_that_was_interrupted_says_how_often_and_where(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job("app.long")])
    for kind in ("released", "stopped", "stopped"):
        (held,) = worker.claim()
        failure = Failure("queued.JobInterrupted", "its worker stopped") if kind == "stopped" else None
        outcome = Outcome(held.id, held.lease, "released", failure=failure, attempt=held.attempt)
        with store.transaction() as session:
            claimed.finish(session, [outcome], claimed.Worker("here", worker.name))
    told = ctl("jobs", "show", job_id)
    assert "Interrupted: 2 times, last " in told.out
    assert "attempt 1 in worker-1 on here: its worker stopped" in told.out
    found = ctl("jobs", "show", job_id, "--json").json["interruptions"]
    assert (found["times"], found["attempt"], found["process"]) == (2, 1, "worker-1")
    (held,) = worker.claim()
    worker.end(held)
    retention.prune(store, RetentionSettings(finished=0.0))
    with store.reading() as session:
        assert session.all("insights.interruptions", id=job_id) == []
