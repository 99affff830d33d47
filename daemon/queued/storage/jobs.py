"""The durable record of a job: written once at enqueue, read at claim, deleted when its time is over.

Jobs without ties are stored in one statement, however many. The others take some more for the whole batch: they are written
down in steps that a sync and an async connection can both run, and then let in.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from queued.domain.jobs import Arrival, Entrant, NewJob, Stored
from queued.storage import ties
from queued.storage.session import Row, Session, listed
from queued.storage.sql import Dialect

#: Statements to run one by one: (name, parameters) out, its rows in.
Steps = Generator[tuple[str, dict[str, Any]], list[Row], "Written"]


@dataclass(slots=True)
class Written:
    """Jobs that are stored. `moves` holds those that wait to be let in."""

    ids: list[int]
    arrivals: list[Arrival]
    moves: ties.Moves = field(default_factory=ties.Moves)


def parameters(dialect: Dialect, jobs: Sequence[NewJob]) -> dict[str, Any]:
    """The parameters of the statements `jobs.enqueue` and `jobs.store`."""
    rows = [
        (
            job.class_name,
            job.queue,
            job.priority,
            job.arguments,
            job.options,
            job.run_at,
            None if job.wait is None else float(job.wait),
        )
        for job in jobs
    ]
    if dialect == "sqlite":
        return {"rows": rows, "count": len(rows)}
    names = ("class_names", "queues", "priorities", "arguments", "options", "run_ats", "waits")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def enqueue(session: Session, jobs: Sequence[NewJob]) -> tuple[list[int], list[Arrival]]:
    """Store jobs, each as ready or, when its moment lies ahead, as scheduled, by the database's clock.

    Returns the ids in the order given, and what to announce once the transaction has committed. Jobs with ties want a
    transaction of several statements, and that nothing else is done with jobs in it afterwards.
    """
    stored = submit(session, jobs)
    return stored.ids, stored.arrivals


def submit(session: Session, jobs: Sequence[NewJob]) -> Stored:
    """As `enqueue`, and tells of each job what else became of it than being stored."""
    written = write(session, jobs)
    settled = ties.settle(session, written.moves)
    discarded = set(settled.discarded)
    notes: dict[int, Any] = {n: "discarded" for n, job_id in enumerate(written.ids) if job_id in discarded}
    return Stored(written.ids, [*written.arrivals, *settled.arrivals], notes)


def write(session: Session, jobs: Sequence[NewJob], deferred: bool = False) -> Written:
    """Store jobs; those with ties are due in `moves`, for a transaction that has more to settle. `deferred`: see `writing`."""
    if not jobs:
        return Written([], [])
    steps = writing(session.dialect, jobs, deferred)
    name, params = next(steps)
    while True:
        try:
            name, params = steps.send(session.all(name, **params))
        except StopIteration as end:
            written: Written = end.value
            return written


def writing(dialect: Dialect, jobs: Sequence[NewJob], deferred: bool = False) -> Steps:
    """The statements that store jobs.

    With `deferred` jobs with ties are scheduled for at once, and a dispatcher lets them in: for a transaction that is not ours and
    may last, and must not hold the lock on a key that workers need.
    """
    tied = [job for job in jobs if job.ties]
    plain = [job for job in jobs if not job.ties] if tied else jobs
    written = Written([], [])
    if plain:
        rows = yield storing(dialect, plain)
        written.ids, written.arrivals = receipts(rows)
    if not tied:
        return written
    rows = yield "jobs.store", parameters(dialect, tied)
    ids = [row["id"] for row in rows]
    limits = [
        (job_id, limit.key, limit.capacity, limit.duration, limit.on_conflict)
        for job_id, job in zip(ids, tied, strict=True)
        for limit in job.limits
    ]
    yield "limits.note", listed(dialect, limits, "ids", "keys", "capacities", "durations", "on_conflicts")
    later = [
        (row["id"], job.queue, job.priority, job.ties)
        for row, job in zip(rows, tied, strict=True)
        if deferred or row["lies_ahead"]
    ]
    if later:
        yield "scheduled.put_new", listed(dialect, later, "ids", "queues", "priorities", "ties")
        written.arrivals.append(Arrival("", 0, 0))
    waiting = {job_id for job_id, *_ in later}
    written.moves.entrants = [
        Entrant(job_id, job.queue, job.priority, 1, job.ties)
        for job_id, job in zip(ids, tied, strict=True)
        if job_id not in waiting
    ]
    written.moves.sizes = {limit.key: limit.capacity for job in tied for limit in job.limits}
    plain_ids, tied_ids = iter(written.ids), iter(ids)
    written.ids = [next(tied_ids if job.ties else plain_ids) for job in jobs]
    return written


def storing(dialect: Dialect, jobs: Sequence[NewJob]) -> tuple[str, dict[str, Any]]:
    """The statement that stores jobs without ties, and its parameters."""
    first = jobs[0]
    if len(jobs) > 1 or first.run_at is not None or first.wait is not None:
        return "jobs.enqueue", parameters(dialect, jobs)
    return "jobs.enqueue_one", {
        "class_name": first.class_name,
        "queue": first.queue,
        "priority": first.priority,
        "arguments": first.arguments,
        "options": first.options,
    }


def receipts(rows: Sequence[Row]) -> tuple[list[int], list[Arrival]]:
    """The ids, and the first arrival in each lane, from the rows of `jobs.enqueue`. Ids rise in the order given."""
    arrivals: dict[tuple[str, int], Arrival] = {}
    for row in rows:
        seq = row["seq"] or 0
        lane = (row["queue"], row["priority"]) if seq else ("", 0)
        if lane not in arrivals or arrivals[lane].seq > seq:
            arrivals[lane] = Arrival(lane[0], lane[1], seq)
    return sorted(row["id"] for row in rows), list(arrivals.values())
