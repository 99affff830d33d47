"""How far a job has come, as its worker hears of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.harness import Frame, Runner, Start, until


def checkpoints(runner: Runner, job: int) -> list[Frame]:
    return [frame for frame in runner.frames if frame["t"] == "checkpoint" and frame["id"] == job]


def cursor(state: dict[str, Any]) -> Any:
    return json.loads(state["steps"])["cursor"]


def answer(runner: Runner, job: int, ids: list[int] | None = None) -> Frame:
    """Answer the job's request that its checkpoint be stored."""
    asked = runner.until(lambda: [frame for frame in checkpoints(runner, job) if "r" in frame], "a request")[-1]
    runner.send("stored", r=asked["r"], ids=[job] if ids is None else ids)
    return asked


def test_a_tight_loop_costs_few_frames_and_its_last_state_comes_with_the_outcome(start: Start, python: str) -> None:
    runner = start("stepping", python=python).runner()
    (job,) = runner.deliver(("stepping.race", 1_000_000))
    asked = answer(runner, job)
    assert cursor(asked["state"]) is None
    outcome = runner.outcome(job)
    assert outcome["kind"] == "done"
    assert json.loads(outcome["checkpoint"]["steps"])["finished"] == [["race", 1_000_000]]
    seconds = outcome["end"] - outcome["start"]
    assert len(checkpoints(runner, job)) <= 3 + 10 * seconds


def test_what_was_stored_before_is_where_the_next_attempt_begins(start: Start) -> None:
    runner = start("stepping").runner()
    stored = json.dumps({"finished": [], "step": "race", "cursor": 40})
    (job,) = runner.deliver(("stepping.race", 40), steps=stored)
    answer(runner, job)
    assert json.loads(runner.outcome(job)["checkpoint"]["steps"])["finished"] == [["race", 40]]


@pytest.mark.parametrize("tasks", [0, 1])
def test_a_job_that_moves_no_more_has_told_where_it_is(start: Start, tmp_path: Path, tasks: int) -> None:
    runner = start("stepping").runner(threads=0 if tasks else 1, tasks=tasks)
    (job,) = runner.deliver(("stepping.pause", str(tmp_path / "go")))
    runner.until(lambda: any(cursor(frame["state"]) == 3 for frame in checkpoints(runner, job)), "the third place")
    count = len(checkpoints(runner, job))
    (tmp_path / "go").touch()
    assert cursor(runner.outcome(job)["checkpoint"]) == 3
    assert len(checkpoints(runner, job)) == count, "nothing new, nothing sent"


@pytest.mark.parametrize(("name", "tasks"), [("stroll", 0), ("astroll", 0), ("astroll", 1)])
def test_a_drain_ends_a_job_at_its_next_checkpoint(start: Start, tmp_path: Path, name: str, tasks: int) -> None:
    runner = start("stepping").runner(threads=0 if tasks else 1, tasks=tasks)
    (job,) = runner.deliver((f"stepping.{name}", str(tmp_path / "started")))
    until((tmp_path / "started").exists)
    runner.send("drain")
    outcome = runner.outcome(job)
    assert outcome["kind"] == "released"
    assert cursor(outcome["checkpoint"]) >= 2


@pytest.mark.parametrize("reason", ["stop", "cancel", "timeout"])
def test_an_interrupt_keeps_the_last_state(start: Start, tmp_path: Path, reason: str) -> None:
    runner = start("stepping").runner()
    (job,) = runner.deliver(("stepping.stroll", str(tmp_path / "started")))
    until((tmp_path / "started").exists)
    runner.interrupt(job, reason)
    assert cursor(runner.outcome(job)["checkpoint"]) >= 2


def test_a_checkpoint_returns_when_the_worker_has_stored_it(start: Start, tmp_path: Path) -> None:
    runner = start("stepping").runner()
    out = tmp_path / "out"
    (job,) = runner.deliver(("stepping.ask", str(out)))
    asked = runner.until(lambda: [frame for frame in checkpoints(runner, job) if "r" in frame], "a request")[0]
    assert cursor(asked["state"]) == 1
    assert not out.exists()
    answer(runner, job)
    until(out.exists)
    runner.until(lambda: len([frame for frame in checkpoints(runner, job) if "r" in frame]) == 2, "the end of the step")
    answer(runner, job)
    assert runner.outcome(job)["kind"] == "done"
    assert out.read_text() == "stored\n"


def test_a_job_that_is_no_longer_ours_ends_there(start: Start, tmp_path: Path) -> None:
    runner = start("stepping").runner()
    (job,) = runner.deliver(("stepping.ask", str(tmp_path / "out")))
    answer(runner, job, ids=[])
    assert runner.outcome(job)["kind"] == "released"
    assert "JobInterrupted: the job was given to another worker" in (tmp_path / "out").read_text()


def test_a_database_that_refuses_is_an_error_of_the_clients_own(start: Start, tmp_path: Path) -> None:
    runner = start("stepping").runner()
    (job,) = runner.deliver(("stepping.ask", str(tmp_path / "out")))
    asked = runner.until(lambda: [frame for frame in checkpoints(runner, job) if "r" in frame], "a request")[0]
    runner.send("refused", r=asked["r"], message="no room")
    assert runner.outcome(job)["kind"] == "failed"
    assert (tmp_path / "out").read_text() == "queued.domain.errors.DatabaseError: no room\n"


def test_progress_is_told_while_the_job_runs(start: Start, tmp_path: Path) -> None:
    runner = start("stepping").runner()
    (job,) = runner.deliver(("stepping.tell", str(tmp_path / "go")))
    told = runner.until(lambda: checkpoints(runner, job), "progress")[0]["state"]
    assert told == {"steps": None, "progress": [1.0, 4.0, "one"]}
    (tmp_path / "go").touch()
    assert runner.outcome(job)["checkpoint"] == {"steps": None, "progress": [2.0, 4.0, "two"]}


def test_a_job_without_steps_says_nothing_of_them(start: Start) -> None:
    runner = start("plain").runner()
    (job,) = runner.deliver(("plain.nothing",))
    assert "checkpoint" not in runner.outcome(job)
    assert checkpoints(runner, job) == []


def test_a_process_that_the_job_forked_is_told_that_nobody_listens(start: Start, tmp_path: Path) -> None:
    runner = start("stepping").runner()
    (job,) = runner.deliver(("stepping.forked", str(tmp_path / "out")))
    answer(runner, job)
    assert runner.outcome(job)["kind"] == "done"
    assert "no worker" in (tmp_path / "out").read_text()
