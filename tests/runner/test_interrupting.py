"""The soft exception: raised in the job that is meant, in nothing else, and with its reason."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runner.harness import Start, until

KINDS = {"stop": "released", "cancel": "cancelled", "timeout": "failed"}


@pytest.mark.parametrize("reason", KINDS)
def test_a_loop_of_python_code_is_interrupted(start: Start, python: str, tmp_path: Path, reason: str) -> None:
    runner = start("dying", "plain", python=python).runner()
    started = tmp_path / "started"
    (job,) = runner.deliver(("dying.loop", str(started)))
    until(started.exists)
    runner.interrupt(job, reason)
    outcome = runner.outcome(job)
    assert outcome["kind"] == KINDS[reason]
    if reason == "timeout":
        assert outcome["error"]["class"].endswith("JobTimedOut")
    (after,) = runner.deliver(("plain.nothing",))
    assert runner.outcome(after)["kind"] == "done"


@pytest.mark.parametrize("tasks", [0, 2])
@pytest.mark.parametrize("reason", KINDS)
def test_an_async_job_sees_the_reason_and_what_it_waits_for_is_cancelled(
    start: Start, tmp_path: Path, reason: str, tasks: int
) -> None:
    runner = start("waiting").runner(threads=0 if tasks else 1, tasks=tasks)
    out, started = tmp_path / "seen", tmp_path / "started"
    (job,) = runner.deliver(("waiting.tidy", str(out), str(started)))
    until(started.exists)
    runner.interrupt(job, reason)
    assert runner.outcome(job)["kind"] == KINDS[reason]
    seen = out.read_text().split()
    assert {"stop": "JobInterrupted", "cancel": "JobCancelled", "timeout": "JobTimedOut"}[reason] in seen
    assert "CancelledError" in seen
    assert "child-cancelled=True" in seen
    (after,) = runner.deliver(("waiting.nothing",))
    assert runner.outcome(after)["kind"] == "done"


def test_async_jobs_are_interrupted_under_every_interpreter(start: Start, python: str, tmp_path: Path) -> None:
    runner = start("waiting", python=python).runner(threads=0, tasks=1)
    out, started = tmp_path / "seen", tmp_path / "started"
    (job,) = runner.deliver(("waiting.tidy", str(out), str(started)))
    until(started.exists)
    runner.interrupt(job, "timeout")
    assert runner.outcome(job)["error"]["class"].endswith("JobTimedOut")
    assert "child-cancelled=True" in out.read_text()


def test_neighbours_are_not_interrupted(start: Start, tmp_path: Path) -> None:
    runner = start("plain", "dying").runner(threads=2)
    go, started = tmp_path / "go", tmp_path / "started"
    neighbour, job = runner.deliver(("plain.wait_for", str(go)), ("dying.loop", str(started)))
    until(started.exists)
    runner.interrupt(job, "timeout")
    assert runner.outcome(job)["kind"] == "failed"
    go.touch()
    assert runner.outcome(neighbour)["kind"] == "done"


def test_a_job_that_has_not_started_is_given_back_instead(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    go, out = tmp_path / "go", tmp_path / "out"
    first, second, third = runner.deliver(
        ("plain.wait_for", str(go)), ("plain.write", str(out), "2"), ("plain.write", str(out), "3")
    )
    runner.until(lambda: runner.process.slots())
    runner.interrupt(second, "cancel")
    runner.until(lambda: {"t": "recalled", "jobs": [[second, second + 1000]]} in runner.frames)
    go.touch()
    assert runner.outcome(first)["kind"] == "done"
    assert runner.outcome(third)["kind"] == "done"
    assert out.read_text() == "3\n"


def test_an_interrupt_of_a_job_that_has_ended_or_of_another_lease_does_nothing(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    go = tmp_path / "go"
    ended, running = runner.deliver(("plain.nothing",), ("plain.wait_for", str(go)))
    runner.outcome(ended)
    runner.interrupt(ended, "timeout")
    runner.send("interrupt", id=running, lease=1, reason="timeout")
    go.touch()
    assert runner.outcome(running)["kind"] == "done"


def test_a_job_that_swallows_the_exception_goes_on_until_it_is_killed(start: Start, tmp_path: Path) -> None:
    runner = start("dying").runner()
    started = tmp_path / "started"
    (job,) = runner.deliver(("dying.loop_deaf", str(started)))
    until(started.exists)
    runner.interrupt(job, "timeout")
    runner.interrupt(job, "timeout")
    runner.send("recall")
    runner.until(lambda: {"t": "recalled", "jobs": []} in runner.frames)
    assert not runner.outcomes()
    runner.process.kill()
    assert runner.end() == "killed by signal 9 (SIGKILL)"
    assert [slot.job_id for slot in runner.process.slots()] == [job]


def test_an_interrupt_never_hits_the_next_job_nor_the_thread(start: Start, python: str) -> None:
    """Short jobs and interrupts in flight together: each job ends once, done or interrupted, and the thread lives on."""
    runner = start("plain", python=python).runner()
    jobs: list[int] = []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        batch = runner.deliver(*[("plain.sleep", 0.0005)] * 20)
        jobs += batch
        while not set(batch) <= set(runner.outcomes()) | _recalled(runner):
            running = runner.process.slots()
            if running:
                runner.interrupt(running[0].job_id, "timeout")
            runner.turn(0)
    kinds = {runner.outcomes()[job]["kind"] for job in jobs if job in runner.outcomes()}
    assert kinds <= {"done", "failed"}
    classes = {o["error"]["class"].rpartition(".")[2] for o in runner.outcomes().values() if o["kind"] == "failed"}
    assert classes <= {"JobTimedOut"}
    (last,) = runner.deliver(("plain.nothing",))
    assert runner.outcome(last)["kind"] == "done"


def _recalled(runner: object) -> set[int]:
    return {job for f in runner.frames if f["t"] == "recalled" for job, _ in f["jobs"]}  # type: ignore[attr-defined]


def test_a_job_that_waits_for_its_worker_can_be_interrupted(start: Start, tmp_path: Path) -> None:
    runner = start("plain").runner()
    (job,) = runner.deliver(("plain.enqueue", str(tmp_path / "ids"), 1))
    request = runner.until(lambda: [frame for frame in runner.frames if frame["t"] == "enqueue"])[0]
    runner.interrupt(job, "timeout")
    assert runner.outcome(job)["kind"] == "failed"
    runner.send("stored", r=request["r"], ids=[1])
    (after,) = runner.deliver(("plain.nothing",))
    assert runner.outcome(after)["kind"] == "done"
