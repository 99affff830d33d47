"""queuectl status, queues and processes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, job
from queued.processes.identity import identity, start_time
from queued.storage import processes
from queued.storage.store import Store


def age(store: Store, process_id: int, seconds: int) -> None:
    """Make a process look silent for so long."""
    backend = store.backend
    if store.dialect == "sqlite":
        text = f"UPDATE queued_processes SET last_heartbeat_at = last_heartbeat_at - {seconds * 1_000_000}"
    else:
        text = f"UPDATE queued.processes SET last_heartbeat_at = last_heartbeat_at - interval '{seconds} seconds'"
    backend.connection().execute(f"{text} WHERE id = {process_id}")


def make_due(store: Store, seconds: int) -> None:
    """Make scheduled jobs due so many seconds sooner."""
    if store.dialect == "sqlite":
        text = f"UPDATE queued_scheduled SET run_at = run_at - {seconds * 1_000_000}"
    else:
        text = f"UPDATE queued.scheduled SET run_at = run_at - interval '{seconds} seconds'"
    store.backend.connection().execute(text)


def register(store: Store, name: str, kind: str, supervisor: str | None, metadata: dict[str, object]) -> int:
    with store.transaction() as session:
        return processes.register(
            session,
            name=name,
            kind=kind,
            supervisor=supervisor,
            pid=100,
            hostname="app1",
            identity={},
            metadata=metadata,
        )


def test_with_a_living_worker_the_whole_is_healthy(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job(), job(queue="mail", wait=60.0)])
    told = ctl("status")
    assert told.status == 0
    assert "healthy" in told.out.splitlines()[0]
    assert "1 ready, the oldest for" in told.out
    assert "1 scheduled, 0 blocked, 0 running, 0 failed" in told.out
    assert "1 alive, 0 dead (worker 1)" in told.out


def test_no_worker_is_a_problem_told_first_and_exit_code_3(ctl: Program, store: Store) -> None:
    store.enqueue([job()])
    told = ctl("status")
    assert told.status == 3
    assert "no worker is alive; 1 job waiting" in told.out.splitlines()[1]
    assert "queued start" in told.out.splitlines()[2]
    register(store, "supervisor-1", "Supervisor(fork)", None, {})
    assert "its log says why" in ctl("status").out.splitlines()[2]


def test_status_tells_a_program_the_same(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job(), job(), job("app.bad", queue="mail")])
    for found in worker.claim():
        worker.end(found, "failed" if found.class_name == "app.bad" else "done")
    store.enqueue([job()])
    told = ctl("status", "--json").json
    assert told["healthy"] is True
    assert told["jobs"] == {"ready": 1, "scheduled": 0, "blocked": 0, "running": 0, "failed": 1}
    assert told["last_hour"] == {"finished": 2, "discarded": 0, "cancelled": 0, "failed": 1}
    assert told["capped"] == []
    assert told["oldest_ready_seconds"] >= 0
    assert {queue["name"]: queue["ready"] for queue in told["queues"]} == {"default": 1, "mail": 0}
    assert [(entry["severity"], entry["text"]) for entry in told["findings"]] == [("warning", "1 failed job")]


def test_a_silent_process_is_a_problem(ctl: Program, store: Store, worker: Hand) -> None:
    gone = Hand(store, "worker-2")
    age(store, gone.id, 90)
    told = ctl("status")
    assert told.status == 3
    assert "worker worker-2 (pid 4711 on here) has been silent for 90 s" in told.out
    listed = ctl("processes", "--json").json["processes"]
    assert {entry["name"]: entry["alive"] for entry in listed} == {"worker-1": True, "worker-2": False}
    assert "DEAD" in ctl("processes").out


def test_the_configured_threshold_decides_who_is_dead(
    ctl: Program, program: Program, store: Store, worker: Hand, database_url: str, tmp_path: Path
) -> None:
    age(store, worker.id, 40)
    assert ctl("status").status == 3
    file = tmp_path / "queue.yml"
    file.write_text(f"production:\n  database: {database_url}\n  alive_threshold: 60\n  dispatchers: [{{}}]\n")
    assert program("queuectl", "status", "--config", file).status == 0


def test_an_application_that_does_not_load_is_a_problem_with_its_error(
    ctl: Program, store: Store, worker: Hand
) -> None:
    error = {"class": "ImportError", "message": "no module named PIL"}
    register(store, "supervisor-1", "supervisor", None, {"application": {"state": "FATAL", "error": error}})
    told = ctl("status")
    assert told.status == 3
    assert "the application on app1 is FATAL: ImportError: no module named PIL" in told.out
    assert "FATAL: ImportError: no module named PIL" in ctl("processes").out


def test_a_queue_that_no_worker_serves_is_a_problem(ctl: Program, store: Store) -> None:
    Hand(store, "worker-1", queues=["mail", "images*"])
    store.enqueue([job(queue="images-slow")])
    assert ctl("status").status == 0
    store.enqueue([job(queue="forgotten")])
    told = ctl("status")
    assert told.status == 3
    assert "queue forgotten holds 1 ready job and no living worker serves it" in told.out


def test_a_paused_queue_is_told_first_and_is_no_failure(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job(queue="mail")])
    paused = ctl("queues", "pause", "mail")
    assert (paused.status, paused.out) == (0, "queue mail is paused\n")
    assert worker.claim() == []
    told = ctl("status")
    assert told.status == 0
    assert "queue mail is paused" in told.out.splitlines()[1]
    (queue,) = ctl("queues", "list", "--json").json["queues"]
    assert queue["paused"] is True
    assert queue["ready"] == 1
    resumed = ctl("queues", "resume", "mail", "--json").json
    assert resumed == {"queues": [{"queue": "mail", "paused": False, "changed": True, "known": True}]}
    assert len(worker.claim()) == 1


def test_pausing_twice_or_an_unknown_queue_is_done_with_a_note(ctl: Program, store: Store) -> None:
    first = ctl("queues", "pause", "nwesletters")
    assert first.status == 0
    assert "no job has been seen in it, so check the name" in first.out
    assert ctl("queues", "pause", "nwesletters").out == "queue nwesletters was already paused\n"
    assert ctl("queues", "resume", "nwesletters").out == "queue nwesletters is open\n"
    assert ctl("queues", "resume", "nwesletters").out == "queue nwesletters was already open\n"


def test_queues_are_listed_with_what_waits_in_them(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job(queue="mail"), job(queue="mail", priority=9), job(queue="images")])
    (found, *_) = [found for found in worker.claim(3) if found.queue == "images"]
    worker.end(found, "failed")
    listed = {queue["name"]: queue for queue in ctl("queues", "list", "--json").json["queues"]}
    assert listed["mail"]["running"] == 2
    assert (listed["images"]["failed"], listed["images"]["ready"], listed["images"]["workers"]) == (1, 0, 1)
    header, *rows = ctl("queues", "list").out.splitlines()
    assert header.split() == [
        "QUEUE",
        "READY",
        "OLDEST",
        "SCHEDULED",
        "BLOCKED",
        "RUNNING",
        "FAILED",
        "WORKERS",
        "STATE",
    ]
    assert [row.split()[0] for row in rows] == ["images", "mail"]


def test_processes_are_a_tree_of_supervisors_and_children(ctl: Program, store: Store) -> None:
    register(store, "supervisor-1", "supervisor", None, {"mode": "fork", "application": {"state": "RUNNING"}})
    Hand(store, "worker-1", queues=["mail", "*"], supervisor="supervisor-1")
    register(store, "dispatcher-1", "dispatcher", "supervisor-1", {"batch_size": 500})
    Hand(store, "worker-9", supervisor="supervisor-gone")
    lines = ctl("processes").out.splitlines()[1:]
    assert lines[0].startswith("supervisor-1 ")
    assert lines[1].startswith("├─ worker-1 ")
    assert "queues: mail,*" in lines[1]
    assert lines[2].startswith("└─ dispatcher-1 ")
    assert lines[3].startswith("worker-9 ")
    entries = {entry["name"]: entry for entry in ctl("processes", "--json").json["processes"]}
    assert entries["worker-1"]["metadata"]["queues"] == ["mail", "*"]
    assert entries["worker-1"]["metadata"]["running"] == 0
    assert entries["worker-1"]["supervisor"] == "supervisor-1"
    assert entries["supervisor-1"]["started_at"].endswith("Z")


def test_due_jobs_that_no_dispatcher_takes_are_a_problem(ctl: Program, store: Store, worker: Hand) -> None:
    (waiting,) = store.enqueue([job(wait=60.0)])
    assert ctl("status").status == 0
    assert "no dispatcher is alive, so it waits" in ctl("jobs", "show", waiting).out
    make_due(store, 75)
    told = ctl("status")
    assert told.status == 3
    assert "no dispatcher is alive: scheduled jobs, retries among them, are due since 15 s and wait" in told.out
    register(store, "dispatcher-1", "Dispatcher", None, {})
    assert ctl("status").status == 0
    assert "it runs when it is due" in ctl("jobs", "show", waiting).out


@pytest.mark.parametrize("name", ["", " ", "d*", "x1,x2"])
def test_what_is_no_queues_name_cannot_be_paused(ctl: Program, name: str) -> None:
    told = ctl("queues", "pause", "mail", name)
    assert told.status == 2
    assert told.err.startswith(f"queuectl queues pause: {name!r} ")
    assert ctl("queues", "list", "--json").json == {"queues": []}


def test_an_empty_system_has_something_to_say_too(ctl: Program) -> None:
    assert "no process is registered" in ctl("processes").out
    assert "no queue holds a job" in ctl("queues", "list").out
    assert json.loads(ctl("processes", "--json").out) == {"processes": []}


def test_a_process_that_has_ended_on_this_host_is_dead_at_once(ctl: Program, store: Store) -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as ended:
        start = start_time(ended.pid)
        for kind, name in (("Supervisor(async)", "supervisor-1"), ("Worker", "worker-1")):
            with store.transaction() as session:
                facts = {**identity(), "start": start}
                processes.register(
                    session,
                    name=name,
                    kind=kind,
                    supervisor=None,
                    pid=ended.pid,
                    hostname="app1",
                    identity=facts,
                    metadata={"queues": "*"},
                )
        store.enqueue([job()])
        assert ctl("status").status == 0
        ended.kill()
    told = ctl("status")
    assert told.status == 3
    assert f"worker worker-1 (pid {ended.pid} on app1) has ended" in told.out
    assert "start the daemon: queued start" in told.out
    assert "0 alive, 2 dead" in told.out
    assert ctl("status", "--check").status == 3
    assert not any(process["alive"] for process in ctl("processes", "--json").json["processes"])
