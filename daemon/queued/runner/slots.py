"""The slot file: what a runner is doing, in a file that outlives it.

A header, one slot for each job that can run at once, then a journal of outcomes that are not sent yet:

    header   "QSLT", version u32, pid u64, start time in clock ticks u64, number of slots u64
    slot     job_id u64, lease u64, started f64 (CLOCK_MONOTONIC); job_id 0 is a free slot
    journal  length u64, then that many bytes: outcomes as JSON objects, joined by commas

All little-endian. The file is mapped, so a write is a copy in memory, and the kernel keeps it when the process is killed.
`job_id` is written last and cleared first, the journal's length is written after its bytes: a reader never sees half an entry.
The journal is what makes it safe to send outcomes in batches: a job that ended is known to have ended, even when its neighbour
kills the process before the batch has gone out.
"""

from __future__ import annotations

import mmap
import os
import struct

MAGIC = b"QSLT"
VERSION = 1
HEADER = struct.Struct("<4sIQQQ")
SLOT = struct.Struct("<QQd")
WORD = struct.Struct("<Q")
_LEASE_AND_START = struct.Struct("<Qd")

#: Bytes of outcomes that can wait. When they do not fit they are sent instead.
JOURNAL = 64 * 1024


class Slots:
    """A runner's own slot file, made and mapped. Each slot has one writer at a time; the journal is under the channel's lock."""

    def __init__(self, path: str, count: int, pid: int, start_time: int) -> None:
        self._journal = HEADER.size + SLOT.size * count
        self._used = 0
        size = self._journal + WORD.size + JOURNAL
        fresh = path + ".new"
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Written, not truncated to size: a hole that the disk has no room for later would be SIGBUS in a job.
            zeros = memoryview(HEADER.pack(MAGIC, VERSION, pid, start_time, count).ljust(size, b"\0"))
            while zeros:
                zeros = zeros[os.write(descriptor, zeros) :]
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        # Whoever opens `path` finds a whole file: the last runner's, or this one's.
        os.rename(fresh, path)

    def begin(self, index: int, job_id: int, lease: int, started: float) -> None:
        """Say that the job runs in slot `index`, before its first step."""
        offset = HEADER.size + SLOT.size * index
        _LEASE_AND_START.pack_into(self._map, offset + 8, lease, started)
        WORD.pack_into(self._map, offset, job_id)

    def end(self, index: int) -> None:
        """Free the slot. The outcome must be sent or in the journal by now."""
        WORD.pack_into(self._map, HEADER.size + SLOT.size * index, 0)

    def note(self, outcome: bytes) -> bool:
        """Keep an outcome that is to be sent soon; False when there is no room for it."""
        separator = b"," if self._used else b""
        used = self._used + len(separator) + len(outcome)
        if used > JOURNAL:
            return False
        start = self._journal + WORD.size
        self._map[start + self._used : start + used] = separator + outcome
        WORD.pack_into(self._map, self._journal, used)
        self._used = used
        return True

    def forget(self) -> None:
        """The outcomes that were noted have been sent."""
        if self._used:
            self._used = 0
            WORD.pack_into(self._map, self._journal, 0)


def process_start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process.

    Together with the pid it names a process for good: pids come round again, the pair does not.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The second field is the command in parentheses and may hold spaces and parentheses itself.
    return int(stat[stat.rindex(b")") + 2 :].split()[19])
