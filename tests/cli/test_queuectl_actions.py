"""queuectl jobs retry, discard and cancel: each job ends up on one side, and is told of plainly."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cli.conftest import Hand, Program, job, states
from queued.domain.jobs import Checkpoint
from queued.domain.lanes import Lanes
from queued.domain.queues import Selector
from queued.storage import checkpoints, claimed, operators, ready
from queued.storage.store import Store, open_store


def failed_job(store: Store, worker: Hand, **fields: Any) -> int:
    (job_id,) = store.enqueue([job(fields.pop("name", "app.work"), **fields)])
    worker.fail(job_id)
    return job_id


def test_a_retried_job_keeps_its_id_and_its_attempts_go_on(ctl: Program, store: Store, worker: Hand) -> None:
    job_id = failed_job(store, worker, queue="mail", priority=5)
    told = ctl("jobs", "retry", job_id)
    assert (told.status, told.out) == (0, f"job {job_id}: ready again\n")
    shown = ctl("jobs", "show", job_id, "--json").json
    assert (shown["state"], shown["attempt"], shown["queue"], shown["priority"]) == ("ready", 2, "mail", 5)
    assert [(entry["attempt"], entry["counted"]) for entry in shown["attempts"]] == [(1, False)]
    (again,) = worker.claim()
    assert (again.id, again.attempt, dict(again.counters)) == (job_id, 2, {})


def test_retry_wakes_workers(ctl: Program, store: Store, worker: Hand, database_url: str) -> None:
    job_id = failed_job(store, worker, queue="mail")
    listener = open_store(database_url)
    bell = listener.listen(["ready"])
    bell.drain()
    with listener.reading() as session:
        session.one("insights.now")
    ctl("jobs", "retry", job_id)
    heard = wait_for_messages(bell)
    listener.close()
    assert any(channel == "ready" and text.endswith(" mail") for channel, text in heard)


def wait_for_messages(bell: Any) -> list[tuple[str, str]]:
    import select
    import time

    deadline = time.monotonic() + 60
    heard: list[tuple[str, str]] = []
    while not heard and time.monotonic() < deadline:
        descriptor = bell.fileno()
        if descriptor is not None:
            select.select([descriptor], [], [], 0.1)
        heard = bell.drain()
    return heard


def test_a_scheduled_job_is_dispatched_and_workers_are_woken(
    ctl: Program, store: Store, worker: Hand, database_url: str
) -> None:
    (job_id,) = store.enqueue([job(queue="mail", wait=600.0)])
    assert f" jobs dispatch {job_id}" in ctl("jobs", "show", job_id).out
    listener = open_store(database_url)
    bell = listener.listen(["ready"])
    bell.drain()
    with listener.reading() as session:
        session.one("insights.now")
    told = ctl("jobs", "dispatch", job_id)
    heard = wait_for_messages(bell)
    listener.close()
    assert (told.status, told.out) == (0, f"job {job_id}: dispatched\n")
    assert any(channel == "ready" and text.endswith(" mail") for channel, text in heard)
    shown = ctl("jobs", "show", job_id, "--json").json
    assert (shown["state"], shown["queue"], shown["attempt"]) == ("ready", "mail", 1)
    assert shown["enqueued_at"] < shown["run_at"] <= shown["now"]
    assert [held.id for held in worker.claim()] == [job_id]
    (deed,) = ctl("audit", "--json").json["actions"]
    assert (deed["action"], deed["target"], deed["count"]) == ("jobs dispatch", str(job_id), 1)


def test_a_job_that_waits_for_its_retry_is_dispatched_and_its_attempts_count_on(
    ctl: Program, store: Store, worker: Hand
) -> None:
    (job_id,) = store.enqueue([job()])
    (held,) = worker.claim()
    worker.end(held, "retry")
    due = store.enqueue([job(wait=600.0, queue="other")])
    assert ctl("jobs", "dispatch", "queue:default", "--yes").out == f"job {job_id}: dispatched\n"
    assert states(ctl) == {job_id: "ready", due[0]: "scheduled"}
    (again,) = worker.claim()
    assert (again.id, again.attempt, dict(again.counters)) == (job_id, 2, {"p": 1})


def test_many_that_are_left_as_they_are_are_told_in_numbers(ctl: Program, store: Store) -> None:
    ids = store.enqueue([job() for _ in range(25)])
    told = ctl("jobs", "dispatch", *ids)
    assert (told.status, told.err) == (5, "25 jobs left as they are, each because it is ready already\n")


@pytest.mark.parametrize(
    ("action", "end", "reason"),
    [
        ("retry", None, "it is ready already"),
        ("retry", "done", "it has ended"),
        ("retry", "retry", "it is scheduled and runs when it is due"),
        ("retry", "running", "it runs at this moment"),
        ("retry", "retry", "to have it run now: queuectl jobs dispatch"),
        ("dispatch", None, "it is ready already"),
        ("dispatch", "running", "it runs at this moment"),
        ("dispatch", "failed", "use queuectl jobs retry"),
        ("dispatch", "done", "it has ended"),
        ("discard", "running", "use queuectl jobs cancel"),
        ("discard", "done", "it has ended"),
        ("cancel", "failed", "use queuectl jobs discard"),
        ("cancel", "done", "it has ended"),
    ],
)
def test_what_the_state_forbids_is_refused_with_the_reason(
    ctl: Program, store: Store, worker: Hand, action: str, end: str | None, reason: str
) -> None:
    (job_id,) = store.enqueue([job()])
    if end is not None:
        (found,) = worker.claim()
        if end != "running":
            worker.end(found, end)
    before = states(ctl)
    told = ctl("jobs", action, job_id)
    assert told.status == 5
    assert reason in told.err
    assert states(ctl) == before


@pytest.mark.parametrize("state", ["ready", "scheduled", "failed"])
def test_a_discarded_job_does_not_run(ctl: Program, store: Store, worker: Hand, state: str) -> None:
    (job_id,) = store.enqueue([job(wait=600.0 if state == "scheduled" else None)])
    if state == "failed":
        worker.fail(job_id)
    assert ctl("jobs", "discard", job_id).status == 0
    assert states(ctl) == {job_id: "discarded"}
    assert worker.claim() == []


@pytest.mark.parametrize("wait", [None, 600.0])
def test_a_waiting_job_is_cancelled_at_once(ctl: Program, store: Store, worker: Hand, wait: float | None) -> None:
    (job_id,) = store.enqueue([job(wait=wait)])
    told = ctl("jobs", "cancel", job_id)
    assert (told.status, told.out) == (0, f"job {job_id}: cancelled\n")
    assert states(ctl) == {job_id: "cancelled"}
    assert worker.claim() == []


def test_a_running_job_is_asked_to_end_and_its_worker_is_told(
    ctl: Program, store: Store, worker: Hand, database_url: str
) -> None:
    (job_id,) = store.enqueue([job()])
    (found,) = worker.claim()
    listener = open_store(database_url)
    bell = listener.listen(["control"])
    bell.drain()
    with listener.reading() as session:
        session.one("insights.now")
    told = ctl("jobs", "cancel", job_id)
    heard = wait_for_messages(bell)
    listener.close()
    assert told.status == 0
    assert "asked to end" in told.out
    assert ("control", f"cancel {job_id}") in heard
    with store.reading() as session:
        assert claimed.cancellations(session, worker.id) == {(job_id, found.lease)}
    shown = ctl("jobs", "show", job_id)
    assert "Cancel asked" in shown.out
    worker.end(found, "cancelled")
    assert states(ctl) == {job_id: "cancelled"}


def test_some_done_and_some_not_is_exit_code_1(ctl: Program, store: Store, worker: Hand) -> None:
    good = failed_job(store, worker)
    (ready,) = store.enqueue([job()])
    told = ctl("jobs", "retry", good, ready, 4711, "--json")
    assert told.status == 1
    assert told.json["done"] == [good]
    assert told.json["missing"] == [4711]
    assert [(entry["id"], entry["state"]) for entry in told.json["refused"]] == [(ready, "ready")]


def test_only_unknown_ids_is_exit_code_4(ctl: Program) -> None:
    told = ctl("jobs", "discard", 4711)
    assert (told.status, told.err) == (4, "job 4711: there is no such job\n")


def test_filters_choose_jobs_and_ask_first(ctl: Program, store: Store, worker: Hand) -> None:
    ids = [failed_job(store, worker, name=name) for name in ("photos.a", "photos.b", "mail.c")]
    asked = ctl("jobs", "retry", "--class", "photos.*")
    assert asked.status == 1
    assert "matching: 2 jobs; give --yes" in asked.err
    planned = ctl("jobs", "retry", "--class", "photos.*", "--dry-run", "--json").json
    assert planned == {"action": "retry", "dry_run": True, "would": ids[:2]}
    assert set(states(ctl).values()) == {"failed"}
    done = ctl("jobs", "retry", "--class", "photos.*", "--yes")
    assert done.status == 0
    assert states(ctl) == {ids[0]: "ready", ids[1]: "ready", ids[2]: "failed"}


def test_many_jobs_are_done_in_batches_and_told_in_numbers(ctl: Program, store: Store) -> None:
    ids = store.enqueue(
        [job(queue=f"q{n % 7}", priority=n % 3, wait=900.0 if n % 5 == 0 else None) for n in range(1200)]
    )
    told = ctl("jobs", "discard", "--queue", "q*", "--yes")
    assert (told.status, told.out) == (0, "1200 jobs discarded\n")
    assert ctl("status", "--json").json["jobs"] == dict.fromkeys(
        ("ready", "scheduled", "blocked", "running", "failed"), 0
    )
    assert len(ctl("jobs", "list", "--state", "discarded", "--limit", 2000, "--json").json["jobs"]) == len(ids)


@pytest.mark.parametrize("words", [["jobs", "retry"], ["jobs", "retry", "1", "--queue", "x"], ["jobs", "retry", "0"]])
def test_neither_ids_nor_filters_or_both_is_a_usage_error(ctl: Program, words: list[str]) -> None:
    assert ctl(*words).status == 2


def test_a_query_for_states_that_an_action_does_not_work_on_says_so(ctl: Program, store: Store, worker: Hand) -> None:
    failed_job(store, worker)
    told = ctl("jobs", "retry", "state:finished,ready", "--yes")
    assert (told.status, told.out) == (2, "")
    why = "state:ready: it is ready already; state:finished: it has ended"
    assert told.err == f"queuectl jobs retry: is for failed jobs; {why}\n"
    assert ctl("jobs", "retry", "state:finished,failed", "--yes").status == 0


@pytest.mark.parametrize("action", ["retry", "discard", "cancel"])
@pytest.mark.parametrize("words", [[""], [" "], ["", "queue:mail"], ["", "--queue", "mail"], ["sort:-id"]])
def test_an_empty_word_does_not_mean_all_jobs(
    ctl: Program, store: Store, worker: Hand, action: str, words: list[str]
) -> None:
    ids = [failed_job(store, worker, queue="mail"), *store.enqueue([job(queue="mail")])]
    before = states(ctl)
    told = ctl("jobs", action, *words, "--yes")
    assert (told.status, told.out) == (2, "")
    assert "an empty query, or an empty word in one, is refused" in told.err
    assert states(ctl) == before
    assert len(before) == len(ids)


@pytest.mark.parametrize("action", ["discard", "cancel"])
def test_a_job_that_a_worker_takes_meanwhile_is_on_one_side_only(store: Store, database_url: str, action: str) -> None:
    rounds = 40
    ids = store.enqueue([job() for _ in range(rounds)])
    worker = Hand(open_store(database_url), "worker-race")
    taken: list[int] = []

    def claim_all() -> None:
        for _ in range(rounds):
            taken.extend(found.id for found in worker.claim(1))

    thread = threading.Thread(target=claim_all)
    thread.start()
    ended, refused = set(), set()
    for job_id in ids:
        with store.transaction() as session:
            acted = (operators.discard if action == "discard" else operators.cancel_waiting)(session, [job_id])
        ended.update(acted.done)
        refused.update(job_id for job_id, state in acted.refused.items() if state == "running")
    thread.join(60)
    worker.store.close()
    assert not thread.is_alive()
    assert ended | refused == set(ids)
    assert not ended & set(taken)
    assert refused == set(taken)


def test_a_cancel_waits_for_the_claim_that_is_under_way_and_then_asks_the_worker(
    store: Store, worker: Hand, database_url: str
) -> None:
    (job_id,) = store.enqueue([job()])
    other = open_store(database_url)
    started, told = threading.Event(), []

    def cancel() -> None:
        with other.transaction() as session:
            started.set()
            told.append(operators.cancel_one(session, job_id))

    thread = threading.Thread(target=cancel)
    lanes = Lanes(Selector.parse(["*"]))
    with store.transaction() as session:
        lanes.searched(ready.lanes(session), 0.0, 0.0)
        (found,), _, _ = ready.claim(session, lanes.marks(), 1, worker.id, 1)
        thread.start()
        # On PostgreSQL the cancel has begun and waits for the row; on SQLite it waits for the file before it begins.
        started.wait(0.5)
        thread.join(0.3)
    thread.join(60)
    other.close()
    assert [acted.interrupted for acted in told] == [[job_id]]
    worker.end(found)
    with store.transaction() as session:
        again = operators.cancel_one(session, job_id)
    assert again.refused == {job_id: "finished"}


def test_a_retry_goes_on_where_the_steps_stand_or_from_the_start(ctl: Program, store: Store, worker: Hand) -> None:
    steps = '{"finished":[["a",1]],"step":"b","cursor":7}'
    ids = store.enqueue([job(), job()])
    for held in worker.claim():
        with store.transaction() as session:
            checkpoints.save(session, [Checkpoint(held.id, held.lease, steps)])
        worker.end(held, "failed")
    assert "--from-start" in ctl("jobs", "show", ids[0]).out
    assert ctl("jobs", "retry", ids[0]).status == 0
    assert ctl("jobs", "retry", "--from-start", ids[1]).status == 0
    assert {held.id: held.steps for held in worker.claim()} == {ids[0]: steps, ids[1]: None}


def test_from_start_forgets_nothing_of_a_job_that_is_not_retried(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job()])
    (held,) = worker.claim()
    with store.transaction() as session:
        checkpoints.save(session, [Checkpoint(held.id, held.lease, '{"finished":[],"step":"a","cursor":7}')])
    assert ctl("jobs", "retry", "--from-start", job_id).status == 5
    assert ctl("jobs", "show", job_id, "--json").json["steps"]["current"] == "a"
