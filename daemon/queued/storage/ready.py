"""Ready jobs: which lanes have any, and moving some into a worker's hands.

A lane is a queue and a priority. On PostgreSQL a claim starts each lane at a low-water mark, so that rows deleted while an old
transaction keeps them visible are not walked over again: 2.5 ms against 20 to 57 ms for 100 claims after 80 s of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from queued.domain.jobs import Arrival, ClaimedJob
from queued.domain.lanes import Lane, Mark
from queued.domain.pace import WEIGHT, fitting
from queued.storage.session import Session, listed

#: Which value of a claimed row has the arguments, which one counts the retries so far, and what most jobs have there.
ARGUMENTS, COUNTERS = 6, 9
NONE: Mapping[str, int] = {}


def lanes(session: Session) -> list[Lane]:
    """Every lane that holds a ready job, found by jumping from one to the next in the index."""
    return [Lane(row["queue"], row["priority"]) for row in session.all("ready.lanes")]


class Claim(NamedTuple):
    """Jobs that are now in a process's hands, best first, the largest seq taken in each lane, and those there was no room for."""

    jobs: list[ClaimedJob]
    taken: dict[Lane, int]
    #: Where jobs stand that were put back, one of each lane: others may have looked for them in vain meanwhile.
    left: list[Arrival]


def claim(
    session: Session,
    marks: Sequence[Mark],
    limit: int,
    process_id: int,
    lease: int,
    programs: bool = False,
    starting: int = 0,
) -> Claim:
    """Move up to `limit` ready jobs into a process's hands, best first.

    Lanes are served by rank, then priority, then age of their oldest job; one is emptied before the next is touched. Paused
    queues are passed over. A job that another worker is claiming at this moment is skipped, never waited for. Leases are
    `lease + 1` and up; the caller must not use a number twice. With `programs` it takes programs alone.

    The first `starting` jobs come whatever their arguments weigh, and so does the very first; the others as long as all together
    fit into `pace.WEIGHT`. What does not fit is neither read nor sent, and is put back in its place: by statements of their own,
    which need no transaction around them on PostgreSQL and on SQLite are in that of the claim.
    """
    if not marks or limit <= 0:
        return Claim([], {}, [])
    given = [(mark.lane.queue, mark.lane.priority, mark.rank, mark.seq) for mark in marks]
    lanes = listed(session.dialect, given, "queues", "priorities", "ranks", "marks")
    name = "ready.claim_programs" if programs else "ready.claim"
    rows = session.tuples(name, **lanes, limit=limit, process_id=process_id, lease=lease, light=WEIGHT // limit)
    # The values of a ClaimedJob in their order, then what its arguments weigh if they stayed behind, and seq.
    rows.sort(key=itemgetter(-1))
    if len(marks) > 1:
        order = {(queue, priority): (rank, priority) for queue, priority, rank, _ in given}
        rows.sort(key=lambda row: order[row[3], row[4]])
    heavy = [row for row in rows if row[ARGUMENTS] is None]
    large: dict[int, str] = {}
    left: list[Arrival] = []
    if heavy:
        count = fitting((row[-2] or len(row[ARGUMENTS]) for row in rows), starting)
        kept, left = _put_back(session, rows[count:])
        rows = rows[:count] + kept
        wanted = [row[0] for row in rows if row[ARGUMENTS] is None]
        large = dict(session.tuples("ready.arguments", ids=wanted)) if wanted else {}
        rows = [row for row in rows if row[ARGUMENTS] is not None or row[0] in large]
    jobs = []
    last: dict[tuple[str, int], int] = {}
    for row in rows:
        *values, weight, seq = row
        if weight is not None:
            values[ARGUMENTS] = large[row[0]]
        values[COUNTERS] = json.loads(values[COUNTERS]) if values[COUNTERS] else NONE
        job = ClaimedJob(*values)
        jobs.append(job)
        last[job.queue, job.priority] = seq
    return Claim(jobs, {Lane(*lane): seq for lane, seq in last.items()}, left)


def _put_back(session: Session, rows: Sequence[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], list[Arrival]]:
    """Undo the claim of these rows: those that stay claimed, for somebody has asked to cancel them meanwhile, and the best of each
    lane of the others."""
    if not rows:
        return [], []
    given = [(row[0], row[1], row[-1], row[-3]) for row in rows]
    put = session.tuples("ready.put_back", **listed(session.dialect, given, "ids", "leases", "seqs", "waits"))
    gone = {job_id for (job_id,) in put}
    best: dict[tuple[str, int], Arrival] = {}
    for row in rows:
        if row[0] in gone:
            best.setdefault((row[3], row[4]), Arrival(row[3], row[4], row[-1]))
    return [row for row in rows if row[0] not in gone], list(best.values())


def put(session: Session, job_id: int, queue: str, priority: int, attempt: int, ties: int = 0) -> int:
    """Make a job ready, at the right end of its lane. The new seq. One with ties must have been let in, or keep its place."""
    row = session.one("ready.put", job_id=job_id, queue=queue, priority=priority, attempt=attempt, ties=ties)
    assert row is not None
    return int(row["seq"])
