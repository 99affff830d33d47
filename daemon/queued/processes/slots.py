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
from queued.runner.slots import AREAS, HEADER, MAGIC, RING, SLOT, VERSION, process_start_time, ring_size
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

    `outcomes` are attempts that had ended and were not sent, as in an `out` frame. `told`, where it was asked for, are the last
    that were sent: whoever heard of them may have been killed before they were stored. Such a job is not among the `slots`,
    even when the runner died before it could free the slot.
    """

    pid: int
    start_time: int
    slots: tuple[Slot, ...]
    outcomes: tuple[dict[str, Any], ...] = ()
    told: tuple[dict[str, Any], ...] = ()

    @property
    def running(self) -> dict[int, int]:
        """The lease of each job that was running."""
        return {slot.job_id: slot.lease for slot in self.slots}

    @property
    def alive(self) -> bool:
        """Whether the runner still is a process, a zombie included."""
        return process_start_time(self.pid) == self.start_time


def read(path: str, told: bool = False) -> SlotFile | None:
    """The file's content; None when it is missing or is not a slot file. What was sent is read only if it is asked for.

    A live runner may empty its journal and begin it anew while the file is read, so what makes no sense is read again.
    """
    return next((found for _ in range(TRIES) if (found := _read(path, told)) is not None), None)


def _read(path: str, with_told: bool) -> SlotFile | None:
    try:
        with open(path, "rb") as file:
            data = file.read()
        magic, version, pid, start_time, count, ends, size = HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION:
            return None
        rings = HEADER.size + SLOT.size * count
        slots = tuple(Slot(*fields) for fields in SLOT.iter_unpack(data[HEADER.size : rings]) if fields[0])
        journal = rings + ring_size(ends) * count
        told: list[dict[str, Any]] = []
        unsent: list[dict[str, Any]] = []
        for ring in range(rings, journal, ring_size(ends)):
            sent, others = _ends(data, ring, ends, with_told)
            told += sent
            unsent += others
        words = AREAS.unpack_from(data, journal)
        for area in (0, 1):
            start = journal + AREAS.size + size * area
            sent, others = _noted(data[start : start + size], words[2 * area], words[2 * area + 1], with_told)
            told += sent
            unsent += others
    except (OSError, ValueError, OverflowError, struct.error):
        return None
    finished = {(outcome["id"], outcome["lease"]) for outcome in (*told, *unsent)}
    running = tuple(slot for slot in slots if (slot.job_id, slot.lease) not in finished)
    return SlotFile(pid, start_time, running, tuple(unsent), tuple(told))


Frames = list[dict[str, Any]]


def _ends(data: bytes, ring: int, ends: int, with_told: bool) -> tuple[Frames, Frames]:
    """The ends of one ring that were sent, and those that were not. Raises ValueError where there can be no such ring."""
    written, sent = RING.unpack_from(data, ring)
    if not 0 <= written - sent <= ends:
        raise ValueError(f"a ring of {ends} ends cannot hold those from {sent} to {written}")
    # The oldest may just have been written over in part.
    first = min(sent, max(0, written - ends + 1)) if with_told else sent
    places = (ring + RING.size + END.size * (number % ends) for number in range(first, written))
    found = [plain_end(*END.unpack_from(data, place)) for place in places]
    return found[: sent - first], found[sent - first :]


def _noted(area: bytes, used: int, sent: int, with_told: bool) -> tuple[Frames, Frames]:
    """The outcomes of one area of the journal that were sent, and those that were not. ValueError where there can be none."""
    if used > len(area):
        raise ValueError(f"{len(area)} bytes cannot hold {used}")
    sent = min(sent, used)
    told = json.loads(b"[" + area[:sent] + b"]") if with_told else []
    return told, json.loads(b"[" + area[sent:used].removeprefix(b",") + b"]")


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
        header = HEADER.pack(MAGIC, VERSION, 0, 0, len(slots), 0, len(journal))
        rings = RING.pack(0, 0) * len(slots)
        file.write(header + entries + rings + AREAS.pack(len(journal), 0, 0, 0) + journal)
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
