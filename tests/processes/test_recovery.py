"""What becomes of the jobs of a process that is gone, by its slot file or without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queued.domain.jobs import ClaimedJob, NewJob
from queued.domain.lanes import Mark
from queued.domain.settings import Settings
from queued.processes import slots
from queued.processes.identity import hostname, identity
from queued.processes.recovery import recover, remove
from queued.processes.slots import process_start_time
from queued.runner.slots import Slots
from queued.storage import claimed, processes, ready
from queued.storage.session import Row
from queued.storage.store import Store


@pytest.fixture
def runner() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps where a runner would work."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def worker(store: Store, paths: list[str], **changes: Any) -> tuple[Row, list[ClaimedJob]]:
    """A registered worker that has claimed three jobs."""
    store.enqueue([NewJob(f"test.job{number}") for number in range(3)])
    with store.transaction() as session:
        process_id = processes.register(
            session,
            name="worker-dead",
            kind="Worker",
            supervisor=None,
            pid=os.getpid(),
            hostname=hostname(),
            identity={**identity(), **changes},
            metadata={"slots": paths},
        )
        marks = [Mark(lane, 0, 0) for lane in ready.lanes(session)]
        jobs, _, _ = ready.claim(session, marks, 3, process_id, process_id << 32)
        row = processes.find(session, "worker-dead")
    assert row is not None
    assert len(jobs) == 3
    return row, jobs


def slot_file(path: Path, runner: subprocess.Popen[bytes]) -> Slots:
    started = process_start_time(runner.pid)
    assert started is not None
    return Slots(str(path), 2, runner.pid, started)


def test_its_runner_is_killed_first_and_only_what_ran_has_crashed(
    store: Store, tmp_path: Path, runner: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "w.slots"
    row, jobs = worker(store, [str(path), str(tmp_path / "never-made.slots")])
    slot_file(path, runner).begin(0, jobs[1].id, jobs[1].lease, time.monotonic())
    recovered = recover(store, row, "it was killed", crash_limit=3)
    assert runner.poll() is not None
    assert (recovered.crashed, recovered.released, recovered.failed) == ([jobs[1].id], [jobs[0].id, jobs[2].id], [])
    assert not path.exists()
    again = recover(store, row, "it was killed", crash_limit=3)
    assert (again.crashed, again.released) == ([], [])


def test_without_blame_what_ran_is_ready_again(store: Store, tmp_path: Path, runner: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "w.slots"
    row, jobs = worker(store, [str(path)])
    slot_file(path, runner).begin(0, jobs[1].id, jobs[1].lease, time.monotonic())
    recovered = recover(store, row, "it was stopped", crash_limit=3, blame=False)
    assert runner.poll() is not None
    assert (recovered.crashed, recovered.released) == ([], [job.id for job in jobs])


def test_an_end_that_nobody_heard_of_is_stored_and_the_job_not_run_again(
    store: Store, tmp_path: Path, runner: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "w.slots"
    row, jobs = worker(store, [str(path)])
    now = time.monotonic()
    end = {"id": jobs[0].id, "lease": jobs[0].lease, "kind": "done", "start": now - 1.0, "end": now}
    assert slot_file(path, runner).note(json.dumps(end).encode())
    recovered = recover(store, row, "it was killed", crash_limit=3)
    assert (recovered.crashed, recovered.released) == ([], [jobs[1].id, jobs[2].id])
    with store.reading() as session:
        assert session.all("insights.state", id=jobs[0].id)[0]["state"] == "finished"


def test_an_end_that_stands_in_two_files_is_stored_once_and_keeps_no_other_from_it(
    store: Store, tmp_path: Path, runner: subprocess.Popen[bytes]
) -> None:
    path, untold = tmp_path / "w.slots", tmp_path / "w-untold.slots"
    row, jobs = worker(store, [str(path), str(untold)])
    now = time.monotonic()
    ends = [slots.plain_end(job.id, job.lease, now - 1.0, now) for job in jobs[:2]]
    slot_file(path, runner).note(json.dumps(ends[0]).encode())
    slots.write(str(untold), [], ends)
    recovered = recover(store, row, "it was killed", crash_limit=3)
    assert (recovered.crashed, recovered.released) == ([], [jobs[2].id])
    with store.reading() as session:
        states = [session.all("insights.state", id=job.id)[0]["state"] for job in jobs]
    assert states == ["finished", "finished", "ready"]


def test_a_stale_lease_in_a_slot_file_blames_nobody(
    store: Store, tmp_path: Path, runner: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "w.slots"
    row, jobs = worker(store, [str(path)])
    slot_file(path, runner).begin(0, jobs[1].id, jobs[1].lease + 1000, time.monotonic())
    assert recover(store, row, "it was killed", crash_limit=3).crashed == []


def test_of_another_host_the_database_says_what_had_started_and_its_paths_and_pids_mean_nothing(
    store: Store, tmp_path: Path, runner: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "w.slots"
    row, jobs = worker(store, [str(path)], boot="another")
    slot_file(path, runner).begin(0, jobs[1].id, jobs[1].lease, time.monotonic())
    with store.transaction() as session:
        claimed.mark_started(session, [(jobs[2].id, jobs[2].lease, 1.0)])
    recovered = recover(store, row, "it was not heard of", crash_limit=3)
    assert (recovered.crashed, recovered.released) == ([jobs[2].id], [jobs[0].id, jobs[1].id])
    assert runner.poll() is None
    assert path.exists()


def test_a_job_that_crashed_too_often_has_failed(
    store: Store, settings: Settings, tmp_path: Path, runner: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "w.slots"
    row, jobs = worker(store, [str(path)])
    slot_file(path, runner).begin(0, jobs[1].id, jobs[1].lease, time.monotonic())
    assert recover(store, row, "it was killed", crash_limit=1).failed == [jobs[1].id]


def test_slot_files_that_cannot_be_removed_are_left_to_the_next_start_of_their_daemon(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "own.slots").touch()
    remove([tmp_path / "file/of-another.slots", tmp_path / "missing.slots", tmp_path / "own.slots"])
    assert not (tmp_path / "own.slots").exists()
