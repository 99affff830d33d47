"""The durable record of a job: written once at enqueue, read at claim, deleted when its time is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queued.domain.jobs import Arrival, NewJob
from queued.storage.session import Row, Session
from queued.storage.sql import Dialect


def parameters(dialect: Dialect, jobs: Sequence[NewJob]) -> dict[str, Any]:
    """The parameters of the statement `jobs.enqueue`, for callers that have to run it on a connection of their own."""
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

    Returns the ids in the order given, and what to announce once the transaction has committed.
    """
    if not jobs:
        return [], []
    first = jobs[0]
    if len(jobs) == 1 and first.run_at is None and first.wait is None:
        return receipts(
            session.all(
                "jobs.enqueue_one",
                class_name=first.class_name,
                queue=first.queue,
                priority=first.priority,
                arguments=first.arguments,
                options=first.options,
            )
        )
    return receipts(session.all("jobs.enqueue", **parameters(session.dialect, jobs)))


def receipts(rows: Sequence[Row]) -> tuple[list[int], list[Arrival]]:
    """The ids, and the first arrival in each lane, from the rows of `jobs.enqueue`. Ids rise in the order given."""
    arrivals: dict[tuple[str, int], Arrival] = {}
    for row in rows:
        seq = row["seq"] or 0
        lane = (row["queue"], row["priority"]) if seq else ("", 0)
        if lane not in arrivals or arrivals[lane].seq > seq:
            arrivals[lane] = Arrival(lane[0], lane[1], seq)
    return sorted(row["id"] for row in rows), list(arrivals.values())


def transaction(session: Session) -> str | None:
    """The id of the open transaction, to ask about it later; None on SQLite, where no answer can be lost."""
    row = session.one("jobs.transaction")
    return None if row is None else row["id"]


def transaction_status(session: Session, transaction: str) -> str | None:
    """`committed`, `aborted` or `in progress`; None of one that is too old to be known."""
    row = session.one("jobs.transaction_status", id=transaction)
    return None if row is None else row["status"]
