"""From events to numbers: what is counted, when it is written, and what a fork keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queued.domain.jobs import ClaimedJob
from queued.log import LINES, UNTOLD
from queued.metrics.book import Book
from queued.metrics.counting import COUNTED, Counting
from queued.metrics.tally import Tally
from queued.processes.outbox import Ended
from queued.telemetry import emit, wanted


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Counting]:
    """A process that counts into a directory."""
    counting = Counting(str(tmp_path), lambda: {"pid": os.getpid()}, label_limit=3)
    counting.begin()
    yield counting
    counting.end()


def told(directory: Path) -> Tally:
    return Book(str(directory), lambda facts: False).total()


def ended(number: int, kind: Any = "done", class_name: str = "app.send", queue: str = "mail", **fields: Any) -> Ended:
    job = ClaimedJob(number, number, class_name, queue, 0, 1, "[]", None, 0.0)
    return Ended(job, kind, 1.0, **{"duration": 0.2, "waited": 0.1, **fields})


def test_a_batch_of_ends_is_counted_by_queue_class_and_outcome(counting: Counting, tmp_path: Path) -> None:
    kinds = ("done", "done", "failed", "retry", "discarded", "cancelled", "released")
    batch = [ended(number, kind) for number, kind in enumerate(kinds)]
    emit("jobs_ended", ended=batch, refused={(1, 1)}, process="worker-1")
    counting.write()
    tally = told(tmp_path)
    outcomes = {
        key[3]: number
        for key, number in tally.counts.items()
        if key[:3] == ("queued_jobs_processed", "mail", "app.send")
    }
    assert outcomes == {
        "succeeded": 1,
        "failed": 1,
        "retried": 1,
        "discarded": 1,
        "cancelled": 1,
        "released": 1,
    }
    assert sum(tally.histograms["queued_job_duration_seconds", "app.send"].counts) == 6
    assert sum(tally.histograms["queued_job_wait_seconds", "mail"].counts) == 6


def test_what_never_ran_has_neither_length_nor_wait(counting: Counting, tmp_path: Path) -> None:
    emit("jobs_ended", ended=[ended(1, "released", duration=0.0, waited=None)], refused=set(), process="worker-1")
    counting.write()
    assert told(tmp_path).histograms == {}


def test_classes_and_queues_beyond_the_limit_are_one(counting: Counting, tmp_path: Path) -> None:
    batch = [ended(number, class_name=f"app.job{number}", queue=f"queue{number}") for number in range(10)]
    emit("jobs_ended", ended=batch, refused=set(), process="worker-1")
    counting.write()
    tally = told(tmp_path)
    processed = {key: number for key, number in tally.counts.items() if key[0] == "queued_jobs_processed"}
    assert len(processed) == 4
    assert processed["queued_jobs_processed", "_other", "_other", "succeeded"] == 7
    assert len(tally.histograms) == 8


@pytest.mark.parametrize(
    ("event", "data", "key", "value"),
    [
        ("polled", {"count": 3, "seconds": 0.1}, ("queued_polls", "hit"), 1),
        ("polled", {"count": 0, "seconds": 0.1}, ("queued_polls", "empty"), 1),
        ("job_interrupted", {"reason": "timeout", "class_name": "a"}, ("queued_job_timeouts", "a"), 1),
        ("job_crashed", {}, ("queued_job_crashes",), 1),
        ("jobs_recovered", {"crashed": [1, 2], "failed": [3]}, ("queued_job_crashes",), 3),
        ("stale_outcome", {}, ("queued_stale_outcomes",), 1),
        ("runner_died", {}, ("queued_runners_ended", "died"), 1),
        ("runner_killed", {}, ("queued_runners_ended", "killed"), 1),
        ("database_lost", {}, ("queued_db_outages",), 1),
        ("database_full", {}, ("queued_db_outages",), 1),
        ("dispatched", {"count": 5}, ("queued_jobs_dispatched",), 5),
        ("retention", {"deleted": {"finished": 4}}, ("queued_jobs_deleted", "finished"), 4),
        ("recurring_enqueued", {"key": "k"}, ("queued_recurring_runs", "k", "enqueued"), 1),
        ("recurring_skipped", {"key": "k"}, ("queued_recurring_runs", "k", "skipped"), 1),
        ("recurring_missed", {"key": "k", "count": 6}, ("queued_recurring_runs", "k", "missed"), 6),
        ("chore_done", {"key": "k"}, ("queued_chore_runs", "k", "done"), 1),
        ("chore_failed", {"key": "k"}, ("queued_chore_runs", "k", "failed"), 1),
        (
            "actor_died",
            {"kind": "worker", "reason": "killed by SIGKILL"},
            ("queued_child_restarts", "worker", "signal"),
            1,
        ),
        (
            "actor_fatal",
            {"kind": "worker", "reason": "exited with status 1"},
            ("queued_child_restarts", "worker", "exit"),
            1,
        ),
        (
            "actor_died",
            {"kind": "application", "reason": "a.py:3: x"},
            ("queued_child_restarts", "application", "error"),
            1,
        ),
    ],
)
def test_an_event_is_counted(
    counting: Counting, tmp_path: Path, event: str, data: dict[str, Any], key: tuple[str, ...], value: float
) -> None:
    emit(event, **data)
    counting.write()
    assert told(tmp_path).counts[key] == value


def test_an_interruption_that_is_no_timeout_is_not_counted_as_one(counting: Counting, tmp_path: Path) -> None:
    emit("job_interrupted", reason="cancel", class_name="a")
    counting.write()
    assert told(tmp_path).counts == {}


def test_a_refused_reload_is_told_until_one_is_accepted(counting: Counting, tmp_path: Path) -> None:
    name = ("queued_config_last_reload_successful",)
    assert told(tmp_path).gauges["daemon"][name] == 1
    emit("reload_failed", reason="x")
    counting.write()
    assert told(tmp_path).gauges["daemon"][name] == 0
    emit("reloaded", generation=2)
    counting.write()
    assert told(tmp_path).gauges["daemon"][name] == 1


def test_busy_time_is_what_the_looks_at_a_worker_add_up_to(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for busy, passed in ((2, 1.0), (3, 1.0), (0, 1.0), (1, 600.0)):
        emit("turned", process="worker-1", gauges={"queues": "*", "threads": 3, "busy": busy})
        clock[0] += passed
    emit("turned", process="worker-1", gauges={"queues": "*", "threads": 3, "busy": 2})
    counting.write()
    tally = told(tmp_path)
    # Ten minutes without a look say that the host slept, and not what the worker did.
    assert tally.counts["queued_worker_busy_seconds", "*"] == pytest.approx(3 + 0 + 1 + 2 * 5)
    assert tally.gauges["worker-1"] == {("queued_worker_threads", "*"): 3, ("queued_worker_threads_busy", "*"): 2}
    emit("process_stopped", process="worker-1")
    assert "worker-1" not in told(tmp_path).gauges


def test_it_is_written_once_a_second_and_when_a_process_ends(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic() + 10]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    emit("database_lost")
    assert told(tmp_path).counts["queued_db_outages",] == 1
    clock[0] += 0.5
    emit("database_lost")
    assert told(tmp_path).counts["queued_db_outages",] == 1
    clock[0] += 0.6
    emit("turned", process="dispatcher-1", gauges={})
    assert told(tmp_path).counts["queued_db_outages",] == 2
    emit("database_lost")
    emit("process_stopped", process="dispatcher-1")
    assert told(tmp_path).counts["queued_db_outages",] == 3


def test_a_full_disk_stops_nobody_and_the_next_writing_has_it_all(counting: Counting, tmp_path: Path) -> None:
    counting._directory = counting._path = "/dev/full/none"
    emit("job_crashed")
    counting.write()
    counting._path = str(tmp_path / "later.tally")
    emit("job_crashed")
    counting.write()
    assert told(tmp_path).counts["queued_job_crashes",] == 2


def test_a_forked_child_counts_from_nothing_into_a_file_of_its_own(counting: Counting, tmp_path: Path) -> None:
    emit("job_crashed")
    counting.write()
    pid = os.fork()
    if pid == 0:
        counting.restart()
        emit("job_crashed")
        emit("process_stopped", process="worker-1")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(list(tmp_path.glob("*.tally"))) == 2
    assert told(tmp_path).counts["queued_job_crashes",] == 2


def test_nobody_is_asked_for_events_when_nobody_counts(counting: Counting) -> None:
    assert wanted("jobs_ended")
    counting.end()
    assert not wanted("jobs_ended")


def test_every_event_that_is_counted_is_one_that_is_told_or_is_too_many_to_be() -> None:
    assert set(COUNTED) <= set(LINES) | UNTOLD
