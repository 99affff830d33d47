"""The slot file: what a runner is doing, in a file that outlives it.

A header, one slot for each job that can run at once, for each slot a ring of ends, then a journal. Ring and journal hold the
outcomes that are not sent yet:

    header   "QSLT", version u32, pid u64, start time in clock ticks u64, number of slots u64, ends in a ring u64
    slot     job_id u64, lease u64, started f64 (CLOCK_MONOTONIC); job_id 0 is a free slot
    ring     ends written so far u64, ends sent so far u64, then the ends: wire.END, number n at place n modulo the ring's size
    journal  length u64, then that many bytes: the other outcomes as JSON objects, joined by commas

In the byte order of the host. The file is mapped, so a write is a copy in memory, and the kernel keeps it when the process is
killed. `job_id` is written last and cleared first, the count of a ring and the length of the journal are written after what they
count, and each of these words in one step (`pack_into` writes zeros first): a reader never sees half an entry. Rings and journal
are what makes it safe to send outcomes in batches: a job that ended is known to have ended, even when its neighbour kills the
process before the batch has gone out.

Nearly all jobs end plainly, and those need no lock: a ring is written by the one attempt that has its slot. Threads of short
jobs that take turns at a lock would sleep and wake each other for each job, at five times the price of the job.
"""

from __future__ import annotations

import mmap
import os
import struct

from .wire import END

MAGIC = b"QSLT"
VERSION = 2
HEADER = struct.Struct("=4sIQQQQ")
SLOT = struct.Struct("=QQd")
RING = struct.Struct("=QQ")
WORD = struct.Struct("=Q")
_LEASE_AND_START = struct.Struct("=Qd")

#: Bytes of outcomes that can wait. When they do not fit they are sent instead.
JOURNAL = 64 * 1024
#: Ends that a ring holds: so many, but of all rings together about as many as a journal would hold, and some in any case. As many
#: as share a worker's ack: with 64 a thread of jobs that do nothing stopped every 0.7 ms to wake its worker, for 1 µs a job.
MOST_ENDS, ALL_ENDS, LEAST_ENDS = 256, 2048, 4


def ring_size(ends: int) -> int:
    """Bytes of one ring."""
    return RING.size + END.size * ends


class Slots:
    """A runner's own slot file, made and mapped. Each slot has one writer at a time; what is sent, and the journal, are under the
    channel's lock."""

    def __init__(self, path: str, count: int, pid: int, start_time: int) -> None:
        self._ends = max(LEAST_ENDS, min(MOST_ENDS, ALL_ENDS // max(1, count)))
        self._rings = HEADER.size + SLOT.size * count
        self._ring_size = ring_size(self._ends)
        self._journal = self._rings + self._ring_size * count
        self._used = 0
        self._written = [0] * count
        self._sent = [0] * count
        #: The slots with ends that are not sent. Adding and removing are one step of C each.
        self._unsent: set[int] = set()
        size = self._journal + WORD.size + JOURNAL
        fresh = path + ".new"
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Written, not truncated to size: a hole that the disk has no room for later would be SIGBUS in a job.
            zeros = memoryview(HEADER.pack(MAGIC, VERSION, pid, start_time, count, self._ends).ljust(size, b"\0"))
            while zeros:
                zeros = zeros[os.write(descriptor, zeros) :]
            self._map = mmap.mmap(descriptor, size)
            #: The same as words of eight bytes; all that stand alone lie at multiples of it.
            self._words = memoryview(self._map).cast("Q")
        finally:
            os.close(descriptor)
        # Whoever opens `path` finds a whole file: the last runner's, or this one's.
        os.rename(fresh, path)

    def begin(self, index: int, job_id: int, lease: int, started: float) -> None:
        """Say that the job runs in slot `index`, before its first step."""
        offset = HEADER.size + SLOT.size * index
        _LEASE_AND_START.pack_into(self._map, offset + 8, lease, started)
        self._words[offset // WORD.size] = job_id

    def end(self, index: int) -> None:
        """Free the slot. The outcome must be sent or in the journal by now."""
        self._words[(HEADER.size + SLOT.size * index) // WORD.size] = 0

    def end_plainly(self, index: int, job_id: int, lease: int, started: float, ended: float) -> int:
        """The job in the slot is done, and the slot is free. Returns how many more ends its ring can take; the last place is for
        whoever makes room."""
        written = self._written[index]
        ring = self._rings + self._ring_size * index
        place = ring + RING.size + END.size * (written % self._ends)
        END.pack_into(self._map, place, job_id, lease, started, ended)
        written += 1
        self._words[ring // WORD.size] = written
        self._written[index] = written  # after the file's: whoever sends by this must not be ahead of that
        self._words[(HEADER.size + SLOT.size * index) // WORD.size] = 0
        self._unsent.add(index)
        return self._ends - (written - self._sent[index])

    def take_ends(self) -> tuple[bytes, list[tuple[int, int]]]:
        """The ends that are not sent yet, one after the other, and the places up to which they go, for `ends_sent`."""
        parts: list[bytes] = []
        places: list[tuple[int, int]] = []
        unsent, size = self._unsent, END.size
        while unsent:
            index = unsent.pop()  # before the look at the count: an end that comes now enters it again
            first, written = self._sent[index], self._written[index]
            start = self._rings + self._ring_size * index + RING.size
            low, high = first % self._ends, written % self._ends
            if low < high:
                parts.append(self._map[start + size * low : start + size * high])
            elif first < written:
                parts.append(self._map[start + size * low : start + size * self._ends])
                parts.append(self._map[start : start + size * high])
            places.append((index, written))
        return b"".join(parts), places

    def ends_sent(self, places: list[tuple[int, int]]) -> None:
        """What `take_ends` returned has been sent, and its room is free."""
        for index, written in places:
            self._words[(self._rings + self._ring_size * index) // WORD.size + 1] = written
            self._sent[index] = written

    def note(self, outcome: bytes) -> bool:
        """Keep an outcome that is to be sent soon; False when there is no room for it."""
        separator = b"," if self._used else b""
        used = self._used + len(separator) + len(outcome)
        if used > JOURNAL:
            return False
        start = self._journal + WORD.size
        self._map[start + self._used : start + used] = separator + outcome
        self._words[self._journal // WORD.size] = used
        self._used = used
        return True

    def forget(self) -> None:
        """The outcomes that were noted have been sent."""
        if self._used:
            self._used = 0
            self._words[self._journal // WORD.size] = 0


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
