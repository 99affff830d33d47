"""Ready jobs: which lanes have any, and moving some into a worker's hands.

A lane is a queue and a priority. On PostgreSQL a claim starts each lane at a low-water mark, so that rows deleted while an old
transaction keeps them visible are not walked over again: 2.5 ms against 20 to 57 ms for 100 claims after 80 s of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter

from queued.domain.jobs import ClaimedJob
from queued.domain.lanes import Lane, Mark
from queued.storage.session import Session, listed

#: Which value of a claimed row counts the retries so far, and what most jobs have there.
COUNTERS = 9
NONE: Mapping[str, int] = {}


def lanes(session: Session) -> list[Lane]:
    """Every lane that holds a ready job, found by jumping from one to the next in the index."""
    return [Lane(row["queue"], row["priority"]) for row in session.all("ready.lanes")]


def claim(
    session: Session, marks: Sequence[Mark], limit: int, process_id: int, lease: int, programs: bool = False
) -> tuple[list[ClaimedJob], dict[Lane, int]]:
    """Move up to `limit` ready jobs into a process's hands, best first, and return them with the largest seq taken in each lane.

    Lanes are served by rank, then priority, then age of their oldest job; one is emptied before the next is touched. Paused
    queues are passed over. A job that another worker is claiming at this moment is skipped, never waited for. Leases are
    `lease + 1` and up; the caller must not use a number twice. With `programs` it takes programs alone.
    """
    if not marks or limit <= 0:
        return [], {}
    given = [(mark.lane.queue, mark.lane.priority, mark.rank, mark.seq) for mark in marks]
    lanes = listed(session.dialect, given, "queues", "priorities", "ranks", "marks")
    name = "ready.claim_programs" if programs else "ready.claim"
    rows = session.tuples(name, **lanes, limit=limit, process_id=process_id, lease=lease)
    # The values of a ClaimedJob in their order, and then seq.
    rows.sort(key=itemgetter(-1))
    if len(marks) > 1:
        order = {(queue, priority): (rank, priority) for queue, priority, rank, _ in given}
        rows.sort(key=lambda row: order[row[3], row[4]])
    jobs = []
    last: dict[tuple[str, int], int] = {}
    for row in rows:
        *values, seq = row
        values[COUNTERS] = json.loads(values[COUNTERS]) if values[COUNTERS] else NONE
        job = ClaimedJob(*values)
        jobs.append(job)
        last[job.queue, job.priority] = seq
    return jobs, {Lane(*lane): seq for lane, seq in last.items()}


def put(session: Session, job_id: int, queue: str, priority: int, attempt: int, ties: int = 0) -> int:
    """Make a job ready, at the right end of its lane. The new seq. One with ties must have been let in, or keep its place."""
    row = session.one("ready.put", job_id=job_id, queue=queue, priority=priority, attempt=attempt, ties=ties)
    assert row is not None
    return int(row["seq"])
