"""Whatever a job does to its process: how it ended is known, which job it was is known, and nothing finished is forgotten."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from queued.processes import slots
from runner.harness import Start, alive, until


@pytest.mark.parametrize(
    ("job", "arguments", "end"),
    [
        ("dying.exit_at_once", [3], "exit status 3"),
        ("dying.exit_at_once", [0], "exit status 0"),
        ("dying.crash", [], "killed by signal 11 (SIGSEGV)"),
        ("dying.abort", [], "killed by signal 6 (SIGABRT)"),
        ("dying.kill_self", [], "killed by signal 9 (SIGKILL), perhaps by the kernel for want of memory"),
    ],
)
def test_the_end_and_the_guilty_job_are_known(start: Start, job: str, arguments: list[int], end: str) -> None:
    runner = start("dying", "plain").runner()
    before, guilty, after = runner.deliver(("plain.nothing",), (job, *arguments), ("plain.nothing",))
    assert runner.end() == end
    assert list(runner.outcomes()) == [before]
    assert [slot.job_id for slot in runner.process.slots()] == [guilty]
    assert after not in runner.outcomes()


def test_a_crash_is_known_under_every_interpreter(start: Start, python: str) -> None:
    runner = start("dying", python=python).runner()
    (guilty,) = runner.deliver(("dying.crash",))
    assert runner.end() == "killed by signal 11 (SIGSEGV)"
    assert [slot.job_id for slot in runner.process.slots()] == [guilty]
    said = runner.lines()
    assert any("Segmentation fault" in line for line in said)
    assert any("dying.py" in line and "crash" in line for line in said)


def test_jobs_that_ended_just_before_a_crash_have_ended(start: Start) -> None:
    application = start("dying", "plain")
    for _ in range(5):
        runner = application.runner()
        *ended, guilty = runner.deliver(*[("plain.nothing",)] * 40, ("dying.exit_at_once", 1))
        runner.end()
        assert sorted(runner.outcomes()) == ended
        told = [outcome["id"] for outcome in runner.told()]
        assert sorted(told) == ended, "each outcome is told once"
        assert [slot.job_id for slot in runner.process.slots()] == [guilty]


def test_a_kill_takes_the_programs_that_a_job_has_started(start: Start, tmp_path: Path) -> None:
    runner = start("dying").runner()
    pid, started = tmp_path / "pid", tmp_path / "started"
    runner.deliver(("dying.start_program", str(pid), str(started)))
    until(started.exists)
    program = int(pid.read_text())
    assert alive(program)
    runner.process.kill()
    assert runner.end() == "killed by signal 9 (SIGKILL)"
    until(lambda: not alive(program), "the end of the program")


def test_a_crash_takes_the_programs_that_a_job_has_started(start: Start, tmp_path: Path) -> None:
    runner = start("dying").runner(threads=2)
    pid, started = tmp_path / "pid", tmp_path / "started"
    runner.deliver(("dying.start_program", str(pid), str(started)))
    until(started.exists)
    runner.deliver(("dying.exit_at_once", 1))
    assert runner.end() == "exit status 1"
    until(lambda: not alive(int(pid.read_text())), "the end of the program")


def test_whoever_finds_the_slot_file_can_kill_the_runner(start: Start, tmp_path: Path) -> None:
    runner = start("dying").runner()
    started = tmp_path / "started"
    (job,) = runner.deliver(("dying.block_in_c_with_lock", str(started)))
    until(started.exists)
    file = slots.read(runner.process.slots_path)
    assert file is not None
    assert file.running == {job: job + 1000}
    assert file.alive
    assert slots.kill_and_wait(file)
    assert not alive(file.pid)
    assert slots.kill_and_wait(file)


def test_a_pid_that_came_round_again_is_not_killed(start: Start) -> None:
    runner = start("plain").runner()
    pid = runner.process.pid
    start_time = slots.process_start_time(pid)
    assert start_time is not None
    slots.kill_process(pid, start_time - 1)
    (job,) = runner.deliver(("plain.nothing",))
    assert runner.outcome(job)["kind"] == "done"


def test_a_process_that_a_job_forgot_to_end_does_no_harm(start: Start) -> None:
    runner = start("dying", "plain").runner()
    forked, after = runner.deliver(("dying.fork_and_return",), ("plain.nothing",))
    assert runner.outcome(forked)["kind"] == "done"
    assert runner.outcome(after)["kind"] == "done"
    told = [outcome["id"] for outcome in runner.told()]
    assert told == [forked, after]


def test_a_signal_without_a_name_has_a_number() -> None:
    from queued.processes.runner_process import RunnerExit

    assert RunnerExit(int(signal.SIGRTMIN) + 1).describe().startswith("killed by signal 3")
    assert RunnerExit(None).describe() == "its exit status is not known"
