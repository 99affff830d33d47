"""What an operator reads."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from queued import log
from queued.domain.errors import ConfigurationError
from queued.domain.jobs import Failure
from queued.telemetry import emit

Lines = Callable[[], list[str]]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO) -> Iterator[Lines]:
    """The lines so far, without their times."""
    end = log.configure("info", stream)
    yield lambda: [line[30:] for line in stream.getvalue().splitlines()]
    end()


def test_a_start_names_kind_pid_hostname_and_settings(lines: Lines) -> None:
    metadata = {"queues": ["mail", "*"], "threads": 3, "polling_interval": 0.1, "slots": ["/run/x.slots"]}
    emit("process_started", process="worker-1", kind="Worker", pid=71, hostname="db1", process_id=4, metadata=metadata)
    assert lines() == [
        "INFO  worker-1 Started Worker (pid: 71, hostname: db1, queues: mail,*, threads: 3, polling_interval: 0.1)"
    ]


def test_each_line_begins_with_the_local_time_and_its_distance_from_utc(lines: Lines, stream: io.StringIO) -> None:
    emit("reloading")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d INFO  supervisor Reloading\n", stream.getvalue()
    )
    assert lines()


def test_a_jobs_output_bears_its_id_and_cannot_drive_the_terminal(lines: Lines) -> None:
    emit("job_output", process="worker-1", job_id=17, stream="stdout", level="INFO", logger=None, line="a\x1b[31mred")
    emit("job_output", process="worker-1", job_id=None, stream="log", level="ERROR", logger="app", line="two\nlines")
    assert lines() == [
        r"INFO  worker-1 job=17 stdout: a\x1b[31mred",
        "ERROR worker-1 log: two".replace("log:", "app:"),
        "ERROR worker-1 lines",
    ]


def test_what_is_below_the_level_is_not_written(lines: Lines) -> None:
    emit("claimed", count=3)
    emit("job_output", job_id=1, stream="log", level="DEBUG", logger="app", line="x")
    assert lines() == []


def test_ends_of_jobs_are_told_with_their_reasons(lines: Lines) -> None:
    failure = Failure("app.Error", "no such file", ("line",))
    emit("job_failed", job_id=3, class_name="app.load", failure=failure, wait=0.0, attempt=3)
    emit("job_failed", job_id=4, class_name="app.load", failure=failure, wait=0.0, attempt=1)
    emit("job_retry", job_id=3, class_name="app.load", failure=failure, wait=2.5)
    emit("job_crashed", job_id=3, class_name="app.load", reason="killed by SIGSEGV", attempt=3, final=True)
    assert lines() == [
        "ERROR supervisor job=3 app.load attempt 3 failed for good: app.Error: no such file",
        "ERROR supervisor job=4 app.load attempt 1 failed for good: app.Error: no such file",
        "WARN  supervisor job=3 app.load runs again in 2.5 s: app.Error: no such file",
        "ERROR supervisor job=3 app.load attempt 3 crashed: killed by SIGSEGV; failed, it has crashed too often",
    ]


def test_recovered_jobs_are_named_by_what_became_of_them(lines: Lines) -> None:
    emit(
        "jobs_recovered",
        process="w",
        reason="w is gone",
        crashed=[1],
        failed=[],
        released=list(range(12)),
        cancelled=[],
    )
    assert lines() == [
        "WARN  w w is gone: 1 job was running, runs again: 1; "
        "12 jobs ready again: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    ]


def test_a_fatal_application_is_told_with_what_to_do(lines: Lines) -> None:
    emit("actor_fatal", key="application-1", kind="application", reason="app.py:3: NameError: x", retries=5)
    assert lines() == [
        "ERROR supervisor application-1 is FATAL: app.py:3: NameError: x. It is not started again; "
        "jobs stay ready until the application loads: repair it, then reload or restart queued"
    ]


def test_an_unexpected_error_is_told_with_its_place_and_no_traceback(lines: Lines) -> None:
    try:
        raise KeyError("queue")
    except KeyError as error:
        emit("process_failed", process="worker-1", kind="Worker", error=error, expected=False)
    [line] = lines()
    assert re.fullmatch(r"ERROR worker-1 Worker ended: KeyError: 'queue' \(\S+test_log\.py:\d+\)", line)


def test_an_error_that_is_raised_on_purpose_is_told_without_a_place(lines: Lines) -> None:
    try:
        raise ConfigurationError("metrics.listen: 0.0.0.0:80 cannot be listened on: Permission denied; write off")
    except ConfigurationError as error:
        emit("process_failed", process="exporter-1", kind="Exporter", error=error, expected=True)
    assert lines() == [
        "ERROR exporter-1 Exporter ended: ConfigurationError: metrics.listen: 0.0.0.0:80 cannot be listened on: Permission denied; "
        "write off"
    ]


def test_an_unknown_event_and_one_with_other_facts_are_written_as_they_are(lines: Lines) -> None:
    emit("something_else", process="worker-1", answer=42)
    emit("actor_died", key="worker-1")
    assert lines() == ["INFO  worker-1 something_else answer=42", "WARN  supervisor actor_died key=worker-1"]


def test_every_level_of_the_table_exists() -> None:
    for name, (level, _) in log.LINES.items():
        assert callable(level) or level in log.LEVELS, name


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    closed = io.StringIO()
    end = log.configure("debug", closed)
    closed.close()
    emit("reloading")
    end()


def test_runs_that_are_left_out_refused_and_held_back_say_why(lines: Lines) -> None:
    run_at = datetime(2026, 11, 22, 5, tzinfo=timezone.utc)
    emit("recurring_skipped", process="s", key="report", run_at=run_at, message="an enqueue callback said no")
    emit("recurring_failed", process="s", key="report", run_at=run_at, message="KeyError: 'x'")
    emit("recurring_held", process="s", key="report", run_at=run_at, reason="it hangs", seconds=4.0)
    emit("recurring_unknown", process="s", key="report", class_name="jobs.reprot")
    emit("recurring_callback_failed", process="s", key="report", reason="killed by SIGKILL")
    emit(
        "recurring_enqueued",
        process="s",
        key="report",
        run_at=run_at,
        job_id=7,
        class_name="j",
        manual=False,
        discarded=True,
    )
    emit("programs_ready", process="application-1", pid=5, python="3.11.2")
    assert lines() == [
        "INFO  s report of 2026-11-22 05:00:00 UTC left out: an enqueue callback said no",
        "ERROR s report of 2026-11-22 05:00:00 UTC could not be enqueued: KeyError: 'x'",
        "WARN  s report of 2026-11-22 05:00:00 UTC is held back, tried again in 4 s: it hangs",
        "WARN  s report: the application has no job jobs.reprot; it is enqueued without limits and callbacks, "
        "for another that may have it",
        "ERROR s report is enqueued; the process of its after_enqueue callbacks: killed by SIGKILL",
        "INFO  s job=7 j enqueued for report (due 2026-11-22 05:00:00 UTC), and discarded by its limit",
        "INFO  application-1 No application is configured: the workers run the programs of shell: tasks and leave all other jobs "
        "(pid: 5)",
    ]


def test_an_application_that_is_slow_to_load_is_told_with_the_seconds_and_a_hint(lines: Lines) -> None:
    emit("actor_slow", key="application-1", kind="application", reason="", seconds=10)
    emit("actor_slow", key="worker-2", kind="worker", reason="", seconds=70)
    application, worker = lines()
    assert "application-1 is still loading the application after 10 s" in application
    assert "import" in application
    assert worker.endswith("worker-2 is still starting after 70 s")


def test_jobs_that_go_back_are_one_line_and_those_cut_short_say_why(lines: Lines) -> None:
    emit("jobs_released", ids=list(range(14)), why="untouched", process="worker-1")
    failure = Failure("queued.JobInterrupted", "its runner was killed because job 6 did not end when told to")
    emit("job_released", job_id=5, class_name="app.long", attempt=1, duration=3.1, failure=failure, process="worker-1")
    emit("runner_killed", pid=71, jobs=[6], beside=[5], process="worker-1")
    emit("runner_killed", pid=72, jobs=[7], beside=[], process="worker-1")
    assert lines() == [
        "INFO  worker-1 14 jobs ready again, untouched: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4 more",
        "INFO  worker-1 job=5 app.long attempt 1 was cut short after 3.1 s, ready again: "
        "its runner was killed because job 6 did not end when told to",
        "WARN  worker-1 Killed the runner 71: a job in it did not end when told to (1 job: 6); cut short beside it: 5",
        "WARN  worker-1 Killed the runner 72: a job in it did not end when told to (1 job: 7)",
    ]


def test_what_a_job_prints_begins_no_line_of_its_own_whatever_is_in_it(lines: Lines) -> None:
    emit("job_output", job_id=3, stream="stdout", line="10 %\r20 %\x0b\x85\u2028ERROR supervisor forged")
    assert lines() == ["INFO  supervisor job=3 stdout: 10 %\\r20 %\\x0b\\x85\\u2028ERROR supervisor forged"]
