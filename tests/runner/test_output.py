"""What jobs print, log and warn reaches the worker, line by line, with the job's id."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from queued.runner.lines import Lines
from runner.harness import Start, until


def test_prints_logs_and_warnings_carry_the_job_under_every_interpreter(start: Start, python: str) -> None:
    application = start("talking", python=python)
    application.said("loaded")
    assert "imported" in application.lines()
    runner = application.runner(threads=2)
    jobs = runner.deliver(("talking.speak", "one"), ("talking.speak", "two"))
    for job, word in zip(jobs, ("one", "two"), strict=True):
        runner.outcome(job)
        told = {(f["stream"], f["line"]) for f in runner.logs(job)}
        assert {("stdout", f"{word} out"), ("stderr", f"{word} err"), ("log", f"{word} log")} <= told
        assert ("stdout", f"{word} unfinished") in told, "an unfinished line ends with its job"
        assert any(stream == "stderr" and f"{word} warning" in line for stream, line in told)
        (record,) = [f for f in runner.logs(job) if f["stream"] == "log"]
        assert (record["level"], record["logger"]) == ("INFO", "shop.orders")


def test_a_jobs_lines_come_before_its_outcome(start: Start) -> None:
    runner = start("talking").runner()
    (job,) = runner.deliver(("talking.speak", "one"))
    runner.outcome(job)
    order = [frame["t"] for frame in runner.frames if frame["t"] in ("log", "done")]
    assert order == ["log"] * (len(order) - 1) + ["done"]


def test_output_beneath_python_is_tagged_with_the_only_job(start: Start, python: str) -> None:
    runner = start("talking", "plain", python=python).runner()
    job, _ = runner.deliver(("talking.speak_beneath", "one"), ("plain.nothing",))
    runner.outcome(job)
    wanted = {
        ("stdout", "one from C"),
        ("stdout", "one from a program"),
        ("stderr", "one error of a program"),
        ("stdout", "one plain"),
    }
    runner.until(lambda: wanted <= {(f["stream"], f["line"]) for f in runner.logs()})
    assert wanted <= {(f["stream"], f["line"]) for f in runner.logs(job)}


def test_output_beneath_python_is_nobodys_when_several_jobs_run(start: Start, tmp_path: Path) -> None:
    runner = start("talking", "plain").runner(threads=2)
    go = tmp_path / "go"
    runner.deliver(("plain.wait_for", str(go)))
    runner.until(lambda: runner.process.slots())
    (job,) = runner.deliver(("talking.speak_beneath", "one"))
    runner.outcome(job)
    runner.until(lambda: "one plain" in runner.lines(None))
    go.touch()


def test_async_jobs_are_told_apart(start: Start) -> None:
    runner = start("waiting").runner(threads=0, tasks=5)
    jobs = runner.deliver(*[("waiting.say", f"job {n}", 0.02) for n in range(5)])
    for n, job in enumerate(jobs):
        runner.outcome(job)
        assert runner.lines(job) == [f"job {n} before", f"job {n} after"]


def test_threads_and_processes_of_a_job_speak_for_it(start: Start) -> None:
    runner = start("talking").runner()
    one, two = runner.deliver(("talking.speak_in_thread", "one"), ("talking.speak_in_process", "two"))
    runner.outcome(two)
    runner.until(lambda: "two in a process" in runner.lines())
    assert "one in a thread" in runner.lines(one)
    assert "two in a process" in runner.lines(two)


def test_bytes_that_are_no_text_are_shown_escaped(start: Start) -> None:
    runner = start("talking").runner()
    (job,) = runner.deliver(("talking.speak_badly",))
    runner.outcome(job)
    runner.until(lambda: "worse \\xfe bytes" in runner.lines())
    assert "bad \\xff bytes" in runner.lines(job)
    assert "half a character \\ud800" in runner.lines(job)


def test_a_very_long_line_is_cut(start: Start) -> None:
    runner = start("talking").runner()
    (job,) = runner.deliver(("talking.speak_long", 40_000))
    runner.outcome(job)
    assert [len(line) for line in runner.lines(job)] == [16384, 16384, 40_000 - 2 * 16384]


def test_the_last_words_of_a_process_are_not_lost(start: Start) -> None:
    runner = start("talking").runner()
    runner.deliver(("talking.last_words", "farewell"))
    assert runner.end() == "exit status 9"
    assert "farewell printed" in runner.lines()
    assert "farewell written" in runner.lines()


def test_a_job_that_prints_much_does_not_wait_for_a_worker_that_does_not_read(start: Start, tmp_path: Path) -> None:
    runner = start("talking", "plain").runner()
    ended = tmp_path / "ended"
    job, _ = runner.deliver(("talking.speak_much", 20_000), ("plain.write", str(ended), "yes"))
    # The outcome has to wait for the worker; the print must not. The slot is free once the job's own code has ended.
    time.sleep(0.5)
    runner.until(lambda: len(runner.outcomes()) == 2)
    assert any("lines of output were dropped" in line for line in runner.lines(job))
    assert runner.outcomes()[1]["end"] - runner.outcomes()[1]["start"] < 10


def test_c_code_that_keeps_the_interpreters_lock_can_write_without_end(start: Start) -> None:
    runner = start("talking").runner()
    (job,) = runner.deliver(("talking.speak_much_beneath", 2_000_000))
    assert runner.outcome(job)["kind"] == "done"


@pytest.mark.parametrize("configured", [True, False])
def test_logging_is_set_up_only_where_the_application_has_not(start: Start, tmp_path: Path, configured: bool) -> None:
    (tmp_path / "shop.py").write_text(
        "import logging, queued\n"
        + ("logging.basicConfig(format='MINE %(message)s', level=logging.ERROR)\n" if configured else "")
        + "@queued.job\ndef log():\n    logging.info('low')\n    logging.error('high')\n"
    )
    runner = start("shop", path=tmp_path).runner()
    (job,) = runner.deliver(("shop.log",))
    runner.outcome(job)
    assert runner.lines(job) == (["MINE high"] if configured else ["low", "high"])


def test_lines_are_put_together_apart_for_each_key() -> None:
    lines = Lines(longest=5)
    assert lines.feed(1, "ab") == []
    assert lines.feed(2, "x\ny") == ["x"]
    assert lines.feed(1, "c\r\n\nd") == ["abc", ""]
    assert lines.finish(1) == ["d"]
    assert lines.finish(1) == []
    assert lines.feed(2, "y" * 10) == ["yyyyy", "yyyyy"]
    assert lines.finish(2) == ["y"]


def test_hooks_that_fail_are_told_and_stop_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import queued\n@queued.on_worker_start\ndef hook(info):\n    raise ValueError('no pool')\n"
        "@queued.job\ndef nothing():\n    pass\n"
    )
    runner = start("shop", path=tmp_path).runner()
    (job,) = runner.deliver(("shop.nothing",))
    assert runner.outcome(job)["kind"] == "done"
    until(lambda: any("no pool" in line for line in runner.lines()))
