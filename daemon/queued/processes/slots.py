"""Reading the slot file of a runner: what it was doing, also when nobody is left to ask."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from queued.processes.identity import is_hidden
from queued.runner.slots import HEADER, MAGIC, RING, SLOT, VERSION, WORD, process_start_time, ring_size
from queued.runner.wire import END

__all__ = ["Slot", "SlotFile", "count_running", "kill_and_wait", "kill_process", "process_start_time", "read", "write"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One running attempt. `started` is CLOCK_MONOTONIC seconds, comparable on one host between two boots."""

    job_id: int
    lease: int
    started: float


#: How often a file is read that makes no sense.
TRIES = 3


@dataclass(frozen=True, slots=True)
class SlotFile:
    """What a slot file says.

    `outcomes` are attempts that had ended and were not sent, as in an `out` frame. Such a job is not among the `slots`,
    even when the runner died before it could free the slot.
    """

    pid: int
    start_time: int
    slots: tuple[Slot, ...]
    outcomes: tuple[dict[str, Any], ...] = ()

    @property
    def running(self) -> dict[int, int]:
        """The lease of each job that was running."""
        return {slot.job_id: slot.lease for slot in self.slots}

    @property
    def alive(self) -> bool:
        """Whether the runner still is a process, a zombie included."""
        return process_start_time(self.pid) == self.start_time


def read(path: str) -> SlotFile | None:
    """The file's content; None when it is missing or is not a slot file.

    A live runner may empty its journal and begin it anew while the file is read, so what makes no sense is read again.
    """
    return next((found for _ in range(TRIES) if (found := _read(path)) is not None), None)


def _read(path: str) -> SlotFile | None:
    try:
        with open(path, "rb") as file:
            data = file.read()
        magic, version, pid, start_time, count, ends = HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION:
            return None
        rings = HEADER.size + SLOT.size * count
        slots = tuple(Slot(*fields) for fields in SLOT.iter_unpack(data[HEADER.size : rings]) if fields[0])
        journal = rings + ring_size(ends) * count
        plain = [end for at in range(rings, journal, ring_size(ends)) for end in _unsent(data, at, ends)]
        (length,) = WORD.unpack_from(data, journal)
        start = journal + WORD.size
        if length > len(data) - start:
            return None
        outcomes = (*plain, *json.loads(b"[" + data[start : start + length] + b"]"))
    except (OSError, ValueError, OverflowError, struct.error):
        return None
    finished = {(outcome["id"], outcome["lease"]) for outcome in outcomes}
    running = tuple(slot for slot in slots if (slot.job_id, slot.lease) not in finished)
    return SlotFile(pid, start_time, running, outcomes)


def _unsent(data: bytes, ring: int, ends: int) -> list[dict[str, Any]]:
    """The ends of one ring that were not sent. Raises ValueError where there can be no such ring."""
    written, sent = RING.unpack_from(data, ring)
    if not 0 <= written - sent <= ends:
        raise ValueError(f"a ring of {ends} ends cannot hold those from {sent} to {written}")
    places = (ring + RING.size + END.size * (number % ends) for number in range(sent, written))
    return [plain_end(*END.unpack_from(data, place)) for place in places]


def plain_end(job_id: int, lease: int, start: float, end: float) -> dict[str, Any]:
    """The end of a job that is done, as an `out` frame tells others."""
    return {"id": job_id, "lease": lease, "kind": "done", "start": start, "end": end}


def count_running(directory: Path) -> int:
    """How many attempts the runners of a supervisor's directory are at."""
    files = (read(str(path)) for path in directory.glob("*.slots"))
    return sum(len(file.slots) for file in files if file is not None and file.pid)


def write(path: str, slots: Sequence[Slot], outcomes: Sequence[dict[str, Any]]) -> None:
    """Make a slot file of no process: what a worker that ends leaves to whoever settles its claims. Raises OSError."""
    journal = ",".join(json.dumps(outcome) for outcome in outcomes).encode("ascii")
    entries = b"".join(SLOT.pack(slot.job_id, slot.lease, slot.started) for slot in slots)
    fresh = path + ".new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        header = HEADER.pack(MAGIC, VERSION, 0, 0, len(slots), 0)
        rings = RING.pack(0, 0) * len(slots)
        file.write(header + entries + rings + WORD.pack(len(journal)) + journal)
    os.rename(fresh, path)


def kill_process(pid: int, start_time: int) -> None:
    """Kill the process and its group, if the pid still is that process's."""
    if process_start_time(pid) != start_time:
        return
    for kill in (os.killpg, os.kill):  # the second for the moment between fork and setsid
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def kill_and_wait(file: SlotFile, timeout: float = 5.0) -> bool:
    """Kill the runner with what it has started; False when it still runs after `timeout` seconds.

    For whoever takes over the jobs of a worker that died. A runner that was reaped long ago is no trouble, and one that is
    a zombie runs no more. One that /proc hides from us is not killed, for its pid may be another's by now, and counts as running.
    """
    kill_process(file.pid, file.start_time)
    deadline = monotonic() + timeout
    while _runs(file):
        if monotonic() >= deadline:
            return False
        sleep(0.002)
    return True


def _runs(file: SlotFile) -> bool:
    try:
        with open(f"/proc/{file.pid}/stat", "rb") as stat:
            state = stat.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return file.pid > 0 and is_hidden(file.pid)
    return state not in (b"Z", b"X") and file.alive
