"""What becomes of the jobs of a process that is gone.

Its runners are killed first and waited for: a job that is given away must not still be running here. Their slot files say
exactly which jobs were running, and those crashed; how others had ended, and that is stored where nobody has done so, for who
heard of it may have been killed before. All the rest go back to ready, untouched.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

from queued.domain.errors import BatchFinished, DatabaseError, DatabaseUnavailable
from queued.domain.jobs import Failure, Outcome
from queued.processes import slots
from queued.processes.checkpoints import checkpoint_of
from queued.processes.identity import is_local
from queued.processes.slots import SlotFile
from queued.processes.worker import new_job
from queued.storage import claimed
from queued.storage.claimed import Recovered
from queued.storage.session import Row
from queued.storage.store import Store
from queued.telemetry import emit

#: Seconds to wait for a killed runner to be gone. Only a process that hangs in the kernel takes longer.
PATIENCE = 5.0


def recover(store: Store, process: Row, reason: str, crash_limit: int, *, blame: bool = True) -> Recovered:
    """Settle the claims of a dead process and delete its row; announce what is ready again.

    Without `blame` (we stopped it on purpose) nothing counts as crashed. Raises DatabaseUnavailable; then nothing is
    settled, and it may be called again. Idempotent.
    """
    paths = slot_files(process) if is_local(process["identity"]) else []
    end_runners(paths)
    files = read(paths)
    running = running_jobs(files) if blame else {}
    recovered = _settle_all(store, process, outcomes_of(files), running, reason, crash_limit)
    remove(paths)
    return recovered


def give_back(store: Store, process: Row, reason: str) -> Recovered:
    """Store what has ended and make all its other claims ready again, without blame, and delete its row; its runners are the
    caller's to freeze before and to kill."""
    files = read(slot_files(process)) if is_local(process["identity"]) else []
    return _settle_all(store, process, outcomes_of(files), {}, reason, crash_limit=0)


def slot_files(process: Row) -> list[Path]:
    """Where the runners of this process say what they run: `metadata["slots"]`."""
    try:
        metadata = json.loads(process["metadata"])
    except (TypeError, ValueError):
        return []
    named = metadata.get("slots", []) if isinstance(metadata, dict) else []
    return [Path(path) for path in named if isinstance(path, str)]


def read(paths: Iterable[Path]) -> list[SlotFile]:
    """The slot files that are there, with all that they tell."""
    return [file for path in paths if (file := slots.read(str(path), told=True)) is not None]


def outcomes_of(files: Sequence[SlotFile]) -> list[Outcome]:
    """How jobs ended, each job once: of its attempts at one process the one with the largest lease can be the last alone.

    What a worker could not tell may stand in its runner's file as well: told twice, the database would take none of it.
    """
    found = sorted((frame for file in files for frame in (*file.told, *file.outcomes)), key=itemgetter("lease"))
    return [outcome_of(frame) for frame in {frame["id"]: frame for frame in found}.values()]


def running_jobs(files: Sequence[SlotFile]) -> dict[int, int] | None:
    """The lease of each job that was running; None when there is no file to tell, and the database has to."""
    slots = sorted((slot for file in files for slot in file.slots), key=attrgetter("lease"))
    return {slot.job_id: slot.lease for slot in slots} if files else None


def end_runners(paths: Iterable[Path], patience: float = PATIENCE) -> None:
    """Kill the runners that these files name, with all they have started, and return when they are gone."""
    files = read(paths)
    for file in files:
        slots.kill_process(file.pid, file.start_time)
    for file in files:
        if not slots.kill_and_wait(file, patience):
            emit("runner_remains", pid=file.pid)


def freeze_runners(paths: Iterable[Path]) -> None:
    """Stop the runners that these files name where they stand, so that they can be settled before they are killed."""
    for file in read(paths):
        if file.alive:
            try:
                os.killpg(file.pid, signal.SIGSTOP)
            except (ProcessLookupError, PermissionError):
                pass


def remove(paths: Iterable[Path]) -> None:
    """Slot files whose claims are settled have nothing more to say.

    Those of another daemon on this host may lie where we must not write (each unit has a runtime directory of its own); its next
    start sweeps them.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            pass


def outcome_of(frame: Mapping[str, Any]) -> Outcome:
    """How an attempt ended, as its runner noted it; its moments are of this host's monotonic clock, which we share."""
    error = frame.get("error")
    return Outcome(
        job_id=frame["id"],
        lease=frame["lease"],
        kind=frame["kind"],
        duration=max(0.0, frame["end"] - frame["start"]),
        ended_ago=max(0.0, time.monotonic() - frame["end"]),
        failure=None
        if error is None
        else Failure(error["class"], error["message"], tuple(error.get("backtrace") or ())),
        wait=float(frame.get("wait") or 0.0),
        policy=frame.get("policy"),
        queue=frame.get("queue"),
        priority=frame.get("priority"),
        enqueue=tuple(new_job(job) for job in frame.get("enqueue") or ()),
        checkpoint=checkpoint_of(frame, frame.get("checkpoint")),
        attempt=frame.get("attempt", 1),
    )


def _settle_all(
    store: Store,
    process: Row,
    outcomes: Sequence[Outcome],
    running: dict[int, int] | None,
    reason: str,
    crash_limit: int,
) -> Recovered:
    """As `_settle`; but an outcome that cannot be stored keeps no other job from being settled: that one runs again."""
    if outcomes:
        with store.reading() as session:  # most of what a slot file tells was stored long ago
            held = claimed.held(session, process["id"])
        outcomes = [outcome for outcome in outcomes if (outcome.job_id, outcome.lease) in held]
    try:
        return _settle(store, process, outcomes, running, reason, crash_limit)
    except DatabaseUnavailable:
        raise
    except (DatabaseError, BatchFinished):
        worker = claimed.Worker(process["hostname"], process["name"])
        for outcome in outcomes:
            try:
                with store.transaction() as session:
                    report = claimed.finish(session, [outcome], worker)
            except DatabaseUnavailable:
                raise
            except (DatabaseError, BatchFinished):
                continue
            store.ring(report.arrivals)
        return _settle(store, process, [], running, reason, crash_limit)


def _settle(
    store: Store,
    process: Row,
    outcomes: Sequence[Outcome],
    running: dict[int, int] | None,
    reason: str,
    crash_limit: int,
) -> Recovered:
    worker = claimed.Worker(process["hostname"], process["name"])
    with store.transaction() as session:
        report, moves = claimed.end(session, outcomes, worker)
        recovered = claimed.recover(
            session, process["id"], running, reason, crash_limit, process["hostname"], process["name"], moves
        )
    store.ring([*report.arrivals, *recovered.arrivals])
    if recovered.crashed or recovered.failed or recovered.released or recovered.cancelled:
        emit(
            "jobs_recovered",
            process=process["name"],
            reason=reason,
            crashed=recovered.crashed,
            failed=recovered.failed,
            released=recovered.released,
            cancelled=recovered.cancelled,
        )
    return recovered
