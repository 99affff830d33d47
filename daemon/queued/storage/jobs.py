"""The durable record of a job: written once at enqueue, read at claim, deleted when its time is over.

Jobs without ties are stored in one statement, however many; those that differ in nothing but their arguments, which is how
thousands usually come, in a cheaper one. The others take some more for the whole batch: they are written down in steps that a
sync and an async connection can both run, and then let in.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from queued.domain.batches import NewBatch
from queued.domain.jobs import BATCHED, Arrival, Entrant, NewJob, Note, Stored
from queued.storage import batches, limits, ties, unique
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
    notes: dict[int, Note] = field(default_factory=dict)
    #: The ids of the batches that were opened, by their numbers.
    batches: Mapping[int, int] = field(default_factory=dict)


def plain(jobs: Sequence[NewJob]) -> bool:
    """Whether one statement stores all of them."""
    return not any(job.batch is not None or job.special for job in jobs)


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


def submit(session: Session, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()) -> Stored:
    """As `enqueue`, and tells of each job what else became of it than being stored. `batches` are opened for them."""
    written = write(session, jobs, opened=batches)
    settled = ties.settle(session, written.moves)
    discarded = set(settled.discarded)
    notes = dict(written.notes)
    notes.update({n: "discarded" for n, job_id in enumerate(written.ids) if job_id in discarded and n not in notes})
    return Stored(written.ids, [*written.arrivals, *settled.arrivals], notes, written.batches)


def lone(job: NewJob) -> dict[str, Any] | None:
    """The parameters of the statement `jobs.enqueue_one`, for a job that it can store; None of any other."""
    if job.run_at is not None or job.wait is not None or job.batch is not None or job.special:
        return None
    return _shared(job)


def submit_plain(session: Session, jobs: Sequence[NewJob]) -> Stored:
    """As `submit`, for jobs of which `plain` is true: exactly one statement."""
    name, params = storing(session.dialect, jobs)
    ids, arrivals = receipts(jobs, session.all(name, **params))
    return Stored(ids, arrivals)


def write(
    session: Session,
    jobs: Sequence[NewJob],
    deferred: bool = False,
    opened: Sequence[NewBatch] = (),
    following: bool = False,
) -> Written:
    """Store jobs; those with ties are due in `moves`, for a transaction that has more to settle. The options: see `writing`."""
    if not jobs and not opened:
        return Written([], [])
    arrivals: list[Arrival] = []

    def end_blocked(ids: list[int]) -> list[int]:
        settled = limits.settle(session, limits.Changes(ends=ids))
        arrivals.extend(settled.arrivals)
        return settled.ended

    steps = writing(session.dialect, jobs, deferred, None if deferred else end_blocked, opened, following)
    name, params = next(steps)
    while True:
        try:
            name, params = steps.send(session.all(name, **params))
        except StopIteration as end:
            written: Written = end.value
            written.arrivals += arrivals
            return written


def writing(
    dialect: Dialect,
    jobs: Sequence[NewJob],
    deferred: bool = False,
    end_blocked: unique.EndBlocked | None = None,
    opened: Sequence[NewBatch] = (),
    following: bool = False,
) -> Steps:
    """The statements that store jobs. Raises BatchFinished.

    With `deferred` jobs with limits of any kind are scheduled for at once, and a dispatcher lets them in: for a transaction that is
    not ours, may last, and must not hold the lock on a key that workers need. With `following` they follow batches, are known to
    those that these lie in, and counted there.
    """
    enrolment = None
    if opened or (not following and any(job.batch is not None for job in jobs)):
        enrolment, jobs = yield from batches.opening(opened, jobs)
    special = [job for job in jobs if job.special]
    simple = [job for job in jobs if not job.special] if special else jobs
    members = [job for job in simple if job.batch is not None] if following or enrolment is not None else []
    free = [job for job in simple if job.batch is None] if members else simple
    written = Written([], [], batches=enrolment.opened if enrolment is not None else {})
    if free:
        written.ids, written.arrivals = receipts(free, (yield storing(dialect, free)))
    if not special and not members and not opened:
        return written
    free_ids, member_ids = written.ids, list[int]()
    if members:
        member_ids, arrivals = receipts(members, (yield storing(dialect, members, BATCHED)))
        written.arrivals += arrivals
    rows = (yield "jobs.store", parameters(dialect, special)) if special else []
    stored = [(row["id"], job) for row, job in zip(rows, special, strict=True)]
    lies_ahead = {row["id"] for row in rows if row["lies_ahead"]}
    taken = unique.Taken()
    if any(job.unique is not None for job in special):
        taken = yield from unique.taking(dialect, stored, end_blocked)
    kept = [(job_id, job) for job_id, job in stored if job_id not in taken.refused]
    joining = [
        (job_id, job.batch) for job_id, job in [*zip(member_ids, members, strict=True), *kept] if job.batch is not None
    ]
    if following and joining:
        yield "batches.join", listed(dialect, joining, "ids", "batches")
    elif enrolment is not None:
        follow = yield from batches.enrolling(dialect, enrolment, joining, taken.replaced)
        if follow:
            written.arrivals += (yield from writing(dialect, follow, deferred=True, following=True)).arrivals
    if special:
        yield from _tie(dialect, stored, kept, lies_ahead, taken, deferred, written)
    _merge(jobs, (free_ids, member_ids, [job_id for job_id, _ in stored]), taken.refused, written)
    return written


def _tie(
    dialect: Dialect,
    stored: Sequence[tuple[int, NewJob]],
    kept: Sequence[tuple[int, NewJob]],
    lies_ahead: set[int],
    taken: unique.Taken,
    deferred: bool,
    written: Written,
) -> Generator[tuple[str, dict[str, Any]], list[Row], None]:
    """Tell the side tables of jobs that are stored, and put them where they wait."""
    noted = [
        (job_id, limit.key, limit.capacity, seconds(limit.duration), limit.on_conflict)
        for job_id, job in kept
        for limit in job.limits
    ]
    if noted:
        yield "limits.note", listed(dialect, noted, "ids", "keys", "capacities", "durations", "on_conflicts")
    expiring = [(job_id, float(job.expires)) for job_id, job in kept if job.expires is not None]
    if expiring:
        yield "expiries.note", listed(dialect, expiring, "ids", "seconds")
    rated = [
        (job_id, job.rate.key, job.rate.starts, float(job.rate.period)) for job_id, job in kept if job.rate is not None
    ]
    if rated:
        yield "rates.note", listed(dialect, rated, "ids", "keys", "starts", "periods")
    later = [
        (job_id, job.queue, job.priority, job.ties)
        for job_id, job in kept
        if job_id in lies_ahead or (deferred and (job.limits or job.rate))
    ]
    if later:
        yield "scheduled.put_new", listed(dialect, later, "ids", "queues", "priorities", "ties")
        written.arrivals.append(Arrival("", 0, 0))
    waiting = {job_id for job_id, *_ in later}
    entrants = [Entrant(job_id, job.queue, job.priority, 1, job.ties) for job_id, job in kept if job_id not in waiting]
    if deferred:
        # None of these has limits of any kind, and the key that they want they have.
        put = [(e.job_id, e.queue, e.priority, e.attempt, e.ties) for e in entrants]
        if put:
            names = ("ids", "queues", "priorities", "attempts", "ties")
            rows = yield "ready.put_many", listed(dialect, put, *names)
            written.arrivals += [Arrival(row["queue"], row["priority"], row["seq"]) for row in rows]
        if taken.replaced:
            held = yield from batches.holding(taken.replaced)
            follow = yield from batches.leaving(held, (), (), taken.replaced)
            if follow:
                written.arrivals += (yield from writing(dialect, follow, deferred=True, following=True)).arrivals
            yield "limits.forget", {"ids": taken.replaced}
            yield "unique.forget", {"ids": taken.replaced}
            yield "expiries.forget", {"ids": taken.replaced}
            yield "rates.forget", {"ids": taken.replaced}
    else:
        written.moves.entrants = entrants
        written.moves.over = taken.replaced
        written.moves.sizes = {limit.key: limit.capacity for _, job in kept for limit in job.limits}


def seconds(value: float | None) -> float | None:
    """A list of them must hold numbers of one kind, or PostgreSQL's driver refuses it."""
    return None if value is None else float(value)


def _merge(
    jobs: Sequence[NewJob],
    ids: tuple[Sequence[int], Sequence[int], Sequence[int]],
    refused: Mapping[int, int],
    written: Written,
) -> None:
    """The ids in the order of the jobs, from those of free jobs, of simple members and of special jobs.

    A refused one has the id of the job that holds its key, and a note.
    """
    free, members, special = map(iter, ids)
    written.ids = [next(special if job.special else free if job.batch is None else members) for job in jobs]
    if not refused:
        return
    for n, (job_id, job) in enumerate(zip(written.ids, jobs, strict=True)):
        if job_id in refused and job.unique is not None:
            holder = refused[job_id]
            written.ids[n] = refused.get(holder, holder)
            written.notes[n] = "refused" if job.unique.on_conflict == "raise" else "existing"


def storing(dialect: Dialect, jobs: Sequence[NewJob], tied: int = 0) -> tuple[str, dict[str, Any]]:
    """The statement that stores jobs that all have the same ties, and may be ready at once, and its parameters."""
    first = jobs[0]
    if not _alike(jobs):
        return "jobs.enqueue", {**parameters(dialect, jobs), "ties": tied}
    params = _shared(first)
    if len(jobs) == 1 and not tied:
        return "jobs.enqueue_one", params
    params["arguments"] = [job.arguments for job in jobs]
    params["ties"] = tied
    if dialect == "sqlite":
        params["count"] = len(jobs)
    return "jobs.enqueue_alike", params


def _shared(job: NewJob) -> dict[str, Any]:
    return {
        "class_name": job.class_name,
        "queue": job.queue,
        "priority": job.priority,
        "arguments": job.arguments,
        "options": job.options,
    }


def receipts(jobs: Sequence[NewJob], rows: Sequence[Row]) -> tuple[list[int], list[Arrival]]:
    """The ids, and the first arrival in each lane, from the rows of the statement that `storing` chose.

    Ids rise in the order given.
    """
    first, row = jobs[0], rows[0]
    if "id" in row:
        return [row["id"]], [Arrival(first.queue, first.priority, row["seq"])]
    if "first_id" in row:
        ids = list(range(row["first_id"], row["first_id"] + len(jobs)))
    else:
        ids = sorted(job_id for row in rows for job_id in row["ids"])
    if "queue" not in row:
        return ids, [Arrival(first.queue, first.priority, row["seq"])]
    return ids, [
        Arrival("", 0, 0) if row["seq"] is None else Arrival(row["queue"], row["priority"], row["seq"]) for row in rows
    ]


def _alike(jobs: Sequence[NewJob]) -> bool:
    """Whether jobs with the same ties differ in nothing but their arguments, and are ready at once."""
    first = jobs[0]
    class_name, queue, priority, options = first.class_name, first.queue, first.priority, first.options
    return not any(
        job.run_at is not None
        or job.wait is not None
        or job.class_name != class_name
        or job.queue != queue
        or job.priority != priority
        or job.options != options
        for job in jobs
    )


def transaction(session: Session) -> str | None:
    """The id of the open transaction, to ask about it later; None on SQLite, where no answer can be lost."""
    row = session.one("jobs.transaction")
    return None if row is None else row["id"]


def transaction_status(session: Session, transaction: str) -> str | None:
    """`committed`, `aborted` or `in progress`; None of one that is too old to be known."""
    row = session.one("jobs.transaction_status", id=transaction)
    return None if row is None else row["status"]
