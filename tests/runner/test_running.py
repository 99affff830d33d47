"""Jobs run in the application's interpreter, whichever it is, and their outcomes come back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from queued.processes import slots
from queued.processes.runner_process import RunnerRefused
from runner.harness import PATIENCE, Start, alive, until


def test_jobs_run_in_threads_under_every_interpreter(start: Start, python: str, tmp_path: Path) -> None:
    application = start("plain", "waiting", python=python)
    loaded = application.said("loaded")
    assert loaded["manifest"]["jobs"]["plain.nothing"]["async"] is False
    assert loaded["threads"] == 0
    runner = application.runner(threads=2)
    assert runner.process.python == loaded["python"]
    out = tmp_path / "out"
    wrote, failed, left, unknown, rested = runner.deliver(
        ("plain.write", str(out), "hello"),
        ("plain.fail", "no"),
        ("plain.leave",),
        ("plain.nothng",),
        ("waiting.rest", 0.01),
    )
    assert runner.outcome(wrote)["kind"] == "done"
    assert out.read_text() == "hello\n"
    assert runner.outcome(failed)["kind"] == "failed"
    assert runner.outcome(failed)["error"]["message"] == "no"
    assert runner.outcome(left)["kind"] == "failed"
    assert "plain.nothing" in runner.outcome(unknown)["error"]["message"]
    assert runner.outcome(rested)["kind"] == "done"
    runner.send("bye")
    assert runner.end() == "exit status 0"


def test_jobs_run_as_tasks_under_every_interpreter(start: Start, python: str, tmp_path: Path) -> None:
    runner = start("plain", "waiting", python=python).runner(threads=0, tasks=3)
    out = tmp_path / "out"
    here, there, wrote, failed = runner.deliver(
        ("waiting.meet", str(tmp_path), "here", "there"),
        ("waiting.meet", str(tmp_path), "there", "here"),
        ("plain.write", str(out), "hello"),
        ("waiting.fail", "no"),
    )
    assert [runner.outcome(job)["kind"] for job in (here, there, wrote, failed)] == ["done", "done", "done", "failed"]
    assert out.read_text() == "hello\n"
    runner.send("bye")
    assert runner.end() == "exit status 0"


def test_as_many_jobs_run_at_once_as_there_are_threads(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner(threads=2)
    jobs = runner.deliver(
        ("plain.meet", str(tmp_path), "one", "two"),
        ("plain.meet", str(tmp_path), "two", "one"),
    )
    assert {runner.outcome(job)["kind"] for job in jobs} == {"done"}


def test_plain_functions_and_coroutines_run_at_once_among_tasks(start: Start, tmp_path: Path) -> None:
    runner = start("plain", "waiting").runner(threads=0, tasks=2)
    jobs = runner.deliver(
        ("plain.meet", str(tmp_path), "function", "coroutine"),
        ("waiting.meet", str(tmp_path), "coroutine", "function"),
    )
    assert {runner.outcome(job)["kind"] for job in jobs} == {"done"}


@pytest.mark.parametrize("threads", [1, 3, 600])
def test_thousands_of_jobs_in_one_frame_each_end_once(start: Start, threads: int) -> None:
    runner = start("plain").runner(threads=threads)
    jobs = runner.deliver(*[("plain.nothing",)] * 5000)
    runner.until(lambda: len(runner.outcomes()) == 5000)
    told = [outcome["id"] for outcome in runner.told()]
    assert sorted(told) == jobs
    assert all(o["end"] >= o["start"] and o["lease"] == o["id"] + 1000 for o in runner.outcomes().values())


def test_an_outcome_does_not_wait_behind_a_long_job(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    go = tmp_path / "go"
    short, long, last = runner.deliver(("plain.nothing",), ("plain.wait_for", str(go)), ("plain.nothing",))
    assert runner.outcome(short)["kind"] == "done"
    runner.until(lambda: [slot.job_id for slot in runner.process.slots()] == [long])
    go.touch()
    assert runner.outcome(last)["kind"] == "done"


def test_the_slot_file_names_what_runs_and_nothing_else(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner(threads=2)
    go = tmp_path / "go"
    one, two, _waits = runner.deliver(*[("plain.wait_for", str(go))] * 3)
    runner.until(lambda: len(runner.process.slots()) == 2)
    assert {(slot.job_id, slot.lease) for slot in runner.process.slots()} == {(one, one + 1000), (two, two + 1000)}
    file = slots.read(runner.process.slots_path)
    assert file is not None
    assert file.pid == runner.process.pid
    assert file.start_time == slots.process_start_time(runner.process.pid)
    go.touch()
    runner.until(lambda: len(runner.outcomes()) == 3)
    assert runner.process.slots() == []


def test_what_has_not_started_is_recalled_and_never_runs(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    go, out = tmp_path / "go", tmp_path / "out"
    first, second, third = runner.deliver(
        ("plain.wait_for", str(go)), ("plain.write", str(out), "2"), ("plain.write", str(out), "3")
    )
    runner.until(lambda: runner.process.slots())
    runner.send("recall")
    answer = runner.until(lambda: [frame for frame in runner.frames if frame["t"] == "recalled"])[0]
    assert answer["jobs"] == [[second, second + 1000], [third, third + 1000]]
    go.touch()
    assert runner.outcome(first)["kind"] == "done"
    runner.send("bye")
    runner.end()
    assert not out.exists()


@pytest.mark.parametrize(("job", "tasks"), [("plain.enqueue", 0), ("plain.enqueue", 2)])
def test_a_job_enqueues_through_its_worker(start: Start, tmp_path: Path, job: str, tasks: int) -> None:
    runner = start("plain").runner(threads=0 if tasks else 1, tasks=tasks)
    out = tmp_path / "ids"
    (one,) = runner.deliver((job, str(out), 2))
    request = runner.until(lambda: [frame for frame in runner.frames if frame["t"] == "enqueue"])[0]
    assert [new["class_name"] for new in request["jobs"]] == ["plain.nothing", "plain.nothing"]
    runner.send("stored", r=request["r"], ids=[71, 72])
    assert runner.outcome(one)["kind"] == "done"
    assert out.read_text() == "71 72"


def test_an_async_job_enqueues_without_holding_up_its_loop(start: Start, tmp_path: Path) -> None:
    runner = start("waiting").runner(threads=0, tasks=2)
    out = tmp_path / "ids"
    one, other = runner.deliver(("waiting.enqueue", str(out)), ("waiting.nothing",))
    request = runner.until(lambda: [frame for frame in runner.frames if frame["t"] == "enqueue"])[0]
    assert runner.outcome(other)["kind"] == "done"
    runner.send("stored", r=request["r"], ids=[71])
    assert runner.outcome(one)["kind"] == "done"
    assert out.read_text() == "71"


def test_an_enqueue_that_the_worker_refuses_is_an_error_in_the_job(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    (one,) = runner.deliver(("plain.enqueue", str(tmp_path / "ids"), 1))
    request = runner.until(lambda: [frame for frame in runner.frames if frame["t"] == "enqueue"])[0]
    runner.send("refused", r=request["r"], message="the database is read-only")
    outcome = runner.outcome(one)
    assert outcome["kind"] == "failed"
    assert outcome["error"]["message"] == "the database is read-only"
    assert "EnqueueError" in outcome["error"]["class"]


def test_what_a_job_leaves_in_its_context_is_not_seen_by_the_next(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    out = tmp_path / "seen"
    *_, last = runner.deliver(*[("plain.remember", str(out))] * 3)
    assert runner.outcome(last)["kind"] == "done"
    assert out.read_text().split() == ["nothing"] * 3


def test_async_jobs_of_a_thread_share_its_loop(start: Start, tmp_path: Path) -> None:
    runner = start("waiting").runner()
    out = tmp_path / "loops"
    *_, last = runner.deliver(*[("waiting.which_loop", str(out))] * 3)
    assert runner.outcome(last)["kind"] == "done"
    assert len(set(out.read_text().split())) == 1


def test_hooks_run_in_the_runner_at_its_start_its_stop_and_its_end(start: Start, tmp_path: Path) -> None:
    ledger = tmp_path / "hooks"
    application = start("plain", environment={"HOOK_LEDGER": str(ledger)})
    runner = application.runner(name="mailer")
    pid = runner.process.pid
    assert ledger.read_text() == f"start mailer {pid}\n"
    (job,) = runner.deliver(("plain.wait_for_stop", str(tmp_path / "out")))
    runner.until(lambda: runner.process.slots())
    runner.send("drain")
    assert runner.outcome(job)["kind"] == "done"
    until(lambda: ledger.read_text().count("\n") == 2)
    runner.send("bye")
    assert runner.end() == "exit status 0"
    assert ledger.read_text().splitlines() == [f"{event} mailer {pid}" for event in ("start", "stop", "exit")]


def test_a_runner_says_how_much_memory_it_had(start: Start) -> None:
    runner = start("plain").runner()
    runner.send("bye")
    runner.end()
    exit = runner.process.wait_exit(1)
    assert exit.clean
    assert exit.rss_kib is not None
    assert 1000 < exit.rss_kib < 1_000_000


def test_a_runner_dies_with_its_worker(start: Start, tmp_path: Path) -> None:
    runner = start("dying").runner()
    started = tmp_path / "started"
    runner.deliver(("dying.block_in_c_with_lock", str(started)))
    until(started.exists)
    pid = runner.process.pid
    assert alive(pid)
    runner.process.forget()
    until(lambda: not alive(pid), "the end of the runner")


def test_runners_outlive_the_supervisor_and_nothing_is_forked_any_more(start: Start, tmp_path: Path) -> None:
    application = start("plain")
    runner, other = application.runner(), application.runner(name="other")
    server = application.server
    path, pid = server.path, server.pid
    assert pid is not None
    server.discard()
    (job,) = runner.deliver(("plain.nothing",))
    assert runner.outcome(job)["kind"] == "done"
    until(lambda: not _can_fork(path), "the end of forking")
    other.process.forget()
    until(lambda: not alive(other.process.pid), "the end of the runner whose worker is gone")
    assert alive(pid)
    runner.send("bye")
    assert runner.end() == "exit status 0"
    until(lambda: not alive(pid), "the end of the fork server")


def _can_fork(path: str) -> bool:
    from queued.processes.runner_process import RunnerProcess

    try:
        RunnerProcess.start(path, "late", path + ".slots", 1, 0, PATIENCE).abandon()
    except RunnerRefused:
        return False
    return True


def test_the_end_of_the_fork_server_leaves_runners_to_their_workers(start: Start) -> None:
    application = start("plain")
    runner = application.runner()
    assert application.server.pid is not None
    os.kill(application.server.pid, signal.SIGKILL)
    (job,) = runner.deliver(("plain.nothing",))
    assert runner.outcome(job)["kind"] == "done"
    runner.process.kill()
    assert runner.end() == "its exit status is not known"


def test_signals_that_ask_for_an_end_do_not_reach_jobs(start: Start, tmp_path: Path) -> None:
    application = start("plain", "dying")
    runner = application.runner()
    (job,) = runner.deliver(("dying.send_signals", str(tmp_path / "sent")))
    assert runner.outcome(job)["kind"] == "done"
    assert application.server.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(application.server.pid, number)
    assert application.runner(name="second").process.pid


def test_a_program_that_a_job_starts_is_not_deaf_to_signals(start: Start, tmp_path: Path) -> None:
    runner = start("dying").runner()
    out = tmp_path / "status"
    (job,) = runner.deliver(("dying.terminate_program", str(out)))
    assert runner.outcome(job)["kind"] == "done"
    assert out.read_text() == str(-signal.SIGTERM)


def test_a_runner_inherits_nothing_of_its_siblings(start: Start, tmp_path: Path) -> None:
    application = start("dying")
    first = application.runner(threads=1)
    second = application.runner(threads=1, name="second")
    listed = []
    for runner in (first, second):
        out = tmp_path / f"descriptors-{runner.process.pid}"
        (job,) = runner.deliver(("dying.list_descriptors", str(out)))
        assert runner.outcome(job)["kind"] == "done"
        listed.append([line.split(" ", 1)[1] for line in out.read_text().splitlines()])
    assert len([d for d in listed[1] if d.startswith("socket:")]) == 1
    assert not [d for d in listed[1] if "pidfd" in d or "eventpoll" in d]
    assert not {d for d in listed[0] if d[:4] in ("sock", "pipe")} & {d for d in listed[1] if d[:4] in ("sock", "pipe")}


def test_hooks_of_other_actors_run_in_a_process_of_their_own(start: Start, tmp_path: Path) -> None:
    import socket

    from queued.runner import wire

    ledger = tmp_path / "hooks"
    application = start("plain", environment={"HOOK_LEDGER": str(ledger)})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(application.server.path)
        connection.sendall(wire.encode({"t": "hook", "event": "dispatcher_start", "info": {"name": "d-1"}}))
        decoder, frames = wire.Decoder(), []
        while not any(frame["t"] == "hooked" for frame in frames):
            frames += decoder.feed(connection.recv(4096))
    assert frames[-1] == {"t": "hooked", "status": 0}
    assert "a dispatcher starts: d-1" in [frame["line"] for frame in frames if frame["t"] == "log"]
    assert ledger.read_text().startswith("dispatcher d-1 ")


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_task_that_follows_another_sees_nothing_of_its_context(start: Start, tmp_path: Path, tasks: int) -> None:
    runner = start("waiting").runner(threads=0, tasks=tasks)
    out = tmp_path / "out"
    jobs = runner.deliver(*[("waiting.remember", str(out))] * 20)
    assert [runner.outcome(job)["kind"] for job in jobs] == ["done"] * 20
    assert out.read_text() == "nothing\n" * 20


def test_thousands_of_tasks_end_once_also_where_tasks_start_at_once(start: Start, python: str) -> None:
    runner = start("waiting", python=python).runner(threads=0, tasks=3)
    jobs = runner.deliver(("waiting.hurry",), *[("waiting.nothing",)] * 3000, ("waiting.rest", 0.001))
    runner.until(lambda: len(runner.outcomes()) == len(jobs))
    assert sorted(outcome["id"] for outcome in runner.told()) == jobs
    assert runner.process.slots() == []


@pytest.mark.parametrize(("threads", "tasks"), [(1, 0), (0, 1)])
def test_a_job_wakes_up_when_it_wants_to(start: Start, tmp_path: Path, threads: int, tasks: int) -> None:
    runner = start("plain", "waiting").runner(threads=threads, tasks=tasks)
    out = tmp_path / "out"
    for job in runner.deliver(("plain.slack", str(out)), ("waiting.slack", str(out))):
        assert runner.outcome(job)["kind"] == "done"
    assert out.read_text().split() == ["1000", "1000"]
