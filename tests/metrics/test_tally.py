"""Tallies and their sum: what was counted is counted once, whoever ends how."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from queued.metrics.book import ENDED, Book
from queued.metrics.tally import Labels, Tally, parse, write

PROCESSED = ("queued_jobs_processed", "mail", "app.send", "succeeded")
DURATION = ("queued_job_duration_seconds", "app.send")


class Processes:
    """Which processes have ended, as the tests say."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ended: set[int] = set()
        self.book = Book(str(directory), self.gone)

    def gone(self, facts: Mapping[str, object]) -> bool:
        return facts.get("pid") in self.ended

    def leave(self, pid: int, tally: Tally) -> Path:
        path = self.directory / f"{pid}.tally"
        write(str(path), tally.text(pid=pid))
        return path

    def count(self) -> float:
        return self.book.total().counts.get(PROCESSED, 0.0)

    def names(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


def counted(number: float) -> Tally:
    tally = Tally()
    tally.count(PROCESSED, number)
    tally.observe(DURATION, *[0.2] * int(number))
    return tally


def test_a_tally_comes_out_of_its_file_as_it_went_in(tmp_path: Path) -> None:
    tally = counted(3)
    tally.gauges["worker-1"] = {("queued_worker_threads", "*"): 3.0}
    write(str(tmp_path / "t"), tally.text(pid=7))
    found, facts = parse((tmp_path / "t").read_text())
    assert (found.counts, found.histograms, found.gauges) == (tally.counts, tally.histograms, tally.gauges)
    assert facts["pid"] == 7


def test_a_value_on_a_bound_is_in_the_bucket_below_it_and_one_above_all_in_the_last() -> None:
    tally = Tally()
    tally.observe(DURATION, 0.01, 0.010001, 1800.0, 1801.0)
    tally.settle()
    counts = tally.histograms[DURATION].counts
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (1, 1, 1, 1)
    assert sum(counts) == 4
    assert tally.histograms[DURATION].total == pytest.approx(3601.020001)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"counts": 1}', '{"counts":[],"histograms":[[1]],"gauges":{}}', "\0"]
)
def test_what_is_no_tally_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(text)


def test_series_of_another_release_are_passed_over() -> None:
    text = json.dumps(
        {
            "counts": [["queued_unknown", 1], [*PROCESSED, 2], ["queued_job_crashes", "with", "labels", 5]],
            "histograms": [[*DURATION, 1.0, [1, 2]]],
            "gauges": {"worker-1": [["queued_gone", 3]]},
        }
    )
    tally, _ = parse(text)
    assert (tally.counts, tally.histograms, tally.gauges) == ({PROCESSED: 2.0}, {}, {"worker-1": {}})


def test_labels_beyond_the_limit_are_one() -> None:
    labels = Labels(2)
    assert [labels.admit(name) for name in ("a", "b", "c", "a", "d", "b")] == ["a", "b", "_other", "a", "_other", "b"]


def test_the_sum_is_over_all_processes_and_does_not_fall_when_one_ends(processes: Processes) -> None:
    processes.leave(1, counted(5))
    processes.leave(2, counted(7))
    assert processes.count() == 12
    processes.ended.add(1)
    assert processes.count() == 12
    processes.book.close_accounts()
    assert processes.names() == {ENDED, "2.tally"}
    assert processes.count() == 12
    assert sum(processes.book.total().histograms[DURATION].counts) == 12
    processes.leave(3, counted(1))
    processes.ended |= {2, 3}
    processes.book.close_accounts()
    assert processes.names() == {ENDED}
    assert processes.count() == 13
    assert Book(str(processes.directory), processes.gone).total().counts[PROCESSED] == 13


def test_the_gauges_of_the_dead_are_gone(processes: Processes) -> None:
    for pid in (1, 2):
        tally = Tally()
        tally.gauges[f"worker-{pid}"] = {("queued_worker_threads", "*"): 3.0}
        processes.leave(pid, tally)
    assert set(processes.book.total().gauges) == {"worker-1", "worker-2"}
    processes.ended.add(1)
    assert set(processes.book.total().gauges) == {"worker-2"}


def test_killed_while_it_closes_accounts_it_counts_nothing_twice(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.leave(1, counted(5))
    processes.leave(2, counted(7))
    processes.ended |= {1, 2}

    class Killed(BaseException):
        pass

    def die(path: str) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", die)
        with pytest.raises(Killed):
            processes.book.close_accounts()
    assert processes.names() == {ENDED, "1.tally", "2.tally"}
    again = Book(str(processes.directory), processes.gone)
    assert again.total().counts[PROCESSED] == 12
    again.close_accounts()
    assert processes.names() == {ENDED}
    assert again.total().counts[PROCESSED] == 12


def test_the_last_words_of_a_process_that_has_just_ended_are_not_lost(processes: Processes) -> None:
    processes.leave(1, counted(5))
    assert processes.count() == 5

    def ends_when_it_is_asked_about(facts: Mapping[str, object]) -> bool:
        if not processes.ended:
            processes.leave(1, counted(6))
            processes.ended.add(1)
        return True

    Book(str(processes.directory), ends_when_it_is_asked_about).close_accounts()
    assert processes.count() == 6


def test_a_file_that_cannot_be_read_costs_only_its_own_counts(processes: Processes) -> None:
    processes.leave(1, counted(5))
    (processes.directory / "2.tally").write_text("{half")
    assert processes.count() == 5
    processes.leave(2, counted(1))
    assert processes.count() == 6


def test_a_directory_that_is_gone_has_counted_nothing(tmp_path: Path) -> None:
    assert Book(str(tmp_path / "none"), lambda facts: False).total() == Tally()
