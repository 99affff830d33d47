"""The slot file: what a runner is doing, in a file that outlives it.

A header, one slot for each job that can run at once, for each slot a ring of ends, then a journal of two areas. Rings and journal
hold the outcomes that are not sent yet, and behind them the last that were:

    header   "QSLT", version u32, pid u64, start time in clock ticks u64, number of slots u64, ends in a ring u64, bytes of an
             area u64
    slot     job_id u64, lease u64, started f64 (CLOCK_MONOTONIC); job_id 0 is a free slot
    ring     ends written so far u64, ends sent so far u64, then the ends: wire.END, number n at place n modulo the ring's size
    journal  of each area: its length u64, how much of it is sent u64; then the areas: the other outcomes as JSON objects, joined by
             commas

In the byte order of the host. The file is mapped, so a write is a copy in memory, and the kernel keeps it when the process is
killed. `job_id` is written last and cleared first, the count of a ring and the length of the journal are written after what they
count, and each of these words in one step (`pack_into` writes zeros first): a reader never sees half an entry. Rings and journal
are what makes it safe to send outcomes in batches: a job that ended is known to have ended, even when its neighbour kills the
process before the batch has gone out. What was sent is kept because the worker that has read it may be killed before it has stored
it: of 500 short jobs 300 ran again then. Who settles the claims of a dead worker offers the database all that is here, and the
leases tell what it knows already.

Nearly all jobs end plainly, and those need no lock: a ring is written by the one attempt that has its slot. Threads of short
jobs that take turns at a lock would sleep and wake each other for each job, at five times the price of the job.
"""

from __future__ import annotations

import mmap
import os
import struct

from .wire import END

MAGIC = b"QSLT"
VERSION = 3
HEADER = struct.Struct("=4sIQQQQQ")
SLOT = struct.Struct("=QQd")
RING = struct.Struct("=QQ")
AREAS = struct.Struct("=QQQQ")
WORD = struct.Struct("=Q")
_LEASE_AND_START = struct.Struct("=Qd")

#: Bytes of an area of the journal. When one is full the other is begun anew, if all in there is sent; else outcomes are sent first.
JOURNAL = 128 * 1024
#: Ends that a ring holds: so many, but of all rings together twice what a worker may have in its hands, and some in any case.
MOST_ENDS, ALL_ENDS, LEAST_ENDS = 4096, 8192, 4
#: Ends of one slot that may wait to be sent, as many as share a worker's ack: with 64 a thread of jobs that do nothing stopped
#: every 0.7 ms to wake its worker, for 1 µs a job.
MOST_UNSENT = 256


def ring_size(ends: int) -> int:
    """Bytes of one ring."""
    return RING.size + END.size * ends


class Slots:
    """A runner's own slot file, made and mapped. Each slot has one writer at a time; what is sent, and the journal, are under the
    channel's lock."""

    def __init__(self, path: str, count: int, pid: int, start_time: int) -> None:
        self._ends = max(LEAST_ENDS, min(MOST_ENDS, ALL_ENDS // max(1, count)))
        self._most_unsent = min(self._ends, MOST_UNSENT)
        self._rings = HEADER.size + SLOT.size * count
        self._ring_size = ring_size(self._ends)
        self._journal = self._rings + self._ring_size * count
        #: Of each area: how much is used, and how much of that is sent; and the area that is written to.
        self._used, self._told, self._area = [0, 0], [0, 0], 0
        self._written = [0] * count
        self._sent = [0] * count
        #: The slots with ends that are not sent. Adding and removing are one step of C each.
        self._unsent: set[int] = set()
        size = self._journal + AREAS.size + 2 * JOURNAL
        fresh = path + ".new"
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Written, not truncated to size: a hole that the disk has no room for later would be SIGBUS in a job.
            zeros = memoryview(
                HEADER.pack(MAGIC, VERSION, pid, start_time, count, self._ends, JOURNAL).ljust(size, b"\0")
            )
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
        """The job in the slot is done, and the slot is free. Returns how many more ends may wait; the last place is for whoever
        makes room."""
        written = self._written[index]
        ring = self._rings + self._ring_size * index
        place = ring + RING.size + END.size * (written % self._ends)
        END.pack_into(self._map, place, job_id, lease, started, ended)
        written += 1
        self._words[ring // WORD.size] = written
        self._written[index] = written  # after the file's: whoever sends by this must not be ahead of that
        self._words[(HEADER.size + SLOT.size * index) // WORD.size] = 0
        self._unsent.add(index)
        return self._most_unsent - (written - self._sent[index])

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
        """Keep an outcome that is to be sent soon; False when there is no room for it until what waits is sent."""
        if len(outcome) > JOURNAL:
            return False
        if self._used[self._area] + 1 + len(outcome) > JOURNAL:
            other = 1 - self._area
            if self._told[other] < self._used[other]:
                return False
            self._area = other
            self._note_words(other, 0, 0)
        area = self._area
        used = self._used[area]
        entry = b"," + outcome if used else outcome
        start = self._journal + AREAS.size + JOURNAL * area + used
        self._map[start : start + len(entry)] = entry
        self._note_words(area, used + len(entry), self._told[area])
        return True

    def forget(self) -> None:
        """The outcomes that were noted have been sent."""
        for area in (0, 1):
            if self._told[area] < self._used[area]:
                self._note_words(area, self._used[area], self._used[area])

    def _note_words(self, area: int, used: int, told: int) -> None:
        self._used[area], self._told[area] = used, told
        place = self._journal // WORD.size + 2 * area
        self._words[place] = used
        self._words[place + 1] = told


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
