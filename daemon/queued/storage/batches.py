"""Batches: who belongs to one, how its members have ended, and what follows when the last of them has.

`batch_jobs` holds the members that have not ended. Its rows and the counts change only under the lock on the row of their batch;
several batches are locked in the order of their ids, after keys of unique jobs and before those of limits. Whoever brings the
count of ended members up to the total finishes the batch in the same transaction, and no other can.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from queued.domain.batches import FAILURES, Counts, NewBatch, callback, due_callbacks, facts_of, with_facts
from queued.domain.errors import BatchFinished
from queued.domain.jobs import NewJob
from queued.storage.session import Row, Session, listed
from queued.storage.sql import Dialect

T = TypeVar("T")
#: Statements to run one by one: (name, parameters) out, its rows in.
Steps = Generator[tuple[str, dict[str, Any]], list[Row], T]


@dataclass(slots=True)
class Held:
    """The batches of some jobs, locked: the batch of each job, and the rows of the batches."""

    of: dict[int, int] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """A batch as an operator sees it, with ids of the first members that failed and of some that have not ended."""

    id: int
    description: str | None
    metadata: str | None
    counts: Counts
    opened_at: datetime
    finished_at: datetime | None
    now: datetime
    failures: tuple[int, ...] = ()
    outstanding: tuple[int, ...] = ()
    callbacks: Mapping[str, str] = field(default_factory=dict)


def opening(batch: NewBatch, jobs: Sequence[NewJob]) -> Steps[tuple[int, list[NewJob]]]:
    """Open a batch; its id, and the jobs as its members."""
    rows = yield "batches.open", asdict(batch)
    batch_id: int = rows[0]["id"]
    facts = facts_of(batch_id, batch.description, batch.metadata)
    known: dict[str | None, str | None] = {}
    return batch_id, [_member(job, batch_id, facts, known) for job in jobs]


def joining(jobs: Sequence[NewJob]) -> Steps[list[NewJob]]:
    """The jobs, knowing the batches that they join. Raises BatchFinished."""
    wanted = sorted({job.batch for job in jobs if job.batch is not None})
    rows = yield "batches.facts", {"ids": wanted}
    _refuse_finished(wanted, rows)
    facts = {row["id"]: facts_of(row["id"], row["description"], row["metadata"]) for row in rows}
    known: dict[int, dict[str | None, str | None]] = {batch_id: {} for batch_id in facts}
    return [job if job.batch is None else _member(job, job.batch, facts[job.batch], known[job.batch]) for job in jobs]


def _member(job: NewJob, batch_id: int, facts: Mapping[str, Any], known: dict[str | None, str | None]) -> NewJob:
    """The job as a member that knows its batch. The options of most members are the same, so `known` keeps them."""
    if job.options not in known:
        known[job.options] = with_facts(job, facts).options
    # dataclasses.replace takes twice as long, and a batch may have many thousands of members.
    return NewJob(
        job.class_name,
        job.arguments,
        job.queue,
        job.priority,
        job.run_at,
        job.wait,
        known[job.options],
        job.limits,
        job.unique,
        job.expires,
        rate=job.rate,
        batch=batch_id,
    )


def _refuse_finished(wanted: Iterable[int], rows: Sequence[Row]) -> None:
    finished = {row["id"]: row["finished_at"] for row in rows}
    for batch_id in wanted:
        if batch_id not in finished:
            raise BatchFinished(f"there is no batch {batch_id} any more; open a new one for these jobs")
        if finished[batch_id] is not None:
            raise BatchFinished(
                f"batch {batch_id} has finished, and its callbacks are under way; open a new one for these jobs"
            )


def enrolling(dialect: Dialect, members: Sequence[tuple[int, int]], leaving_too: Sequence[int]) -> Steps[None]:
    """Make jobs, given as (job, batch), members. `leaving_too` are jobs whose batches this transaction will want as well."""
    others = (yield "batches.of_jobs", {"ids": list(leaving_too)}) if leaving_too else []
    joined = sorted({batch_id for _, batch_id in members})
    rows = yield "batches.lock", {"ids": sorted({*joined, *(row["batch_id"] for row in others)})}
    _refuse_finished(joined, rows)
    yield "batches.join", listed(dialect, members, "ids", "batches")
    for batch_id in joined:
        yield "batches.grow", {"id": batch_id, "count": sum(batch == batch_id for _, batch in members)}


def holding(ids: Sequence[int]) -> Steps[Held]:
    """Lock the batches that these jobs are members of."""
    if not ids:
        return Held()
    members = yield "batches.of_jobs", {"ids": list(ids)}
    if not members:
        return Held()
    rows = yield "batches.lock", {"ids": sorted({row["batch_id"] for row in members})}
    return Held({row["job_id"]: row["batch_id"] for row in members}, {row["id"]: row for row in rows})


def leaving(held: Held, done: Sequence[int], failed: Sequence[int], discarded: Sequence[int]) -> Steps[list[NewJob]]:
    """Members have ended for good, each in one of three ways; the callbacks of the batches that have finished by that."""
    ends = dict.fromkeys(done, "done") | dict.fromkeys(failed, "failed")
    ends |= dict.fromkeys(discarded, "discarded")
    ids = [job_id for job_id in ends if job_id in held.of]
    if not ids:
        return []
    gone = yield "batches.leave", {"ids": ids}
    touched: dict[int, list[int]] = {}
    for row in gone:
        touched.setdefault(row["batch_id"], []).append(row["job_id"])
    due: list[NewJob] = []
    for batch_id, own in sorted(touched.items()):
        row = held.rows[batch_id]
        for job_id in sorted(own):
            row[ends[job_id]] += 1
        known = json.loads(row["failures"])
        row["failures"] = json.dumps([*known, *(one for one in sorted(own) if ends[one] == "failed")][:FAILURES])
        counts = _counts(row)
        yield (
            "batches.count",
            {
                "id": batch_id,
                "done": counts.done,
                "failed": counts.failed,
                "discarded": counts.discarded,
                "failures": row["failures"],
            },
        )
        if counts.complete:
            yield "batches.finish", {"id": batch_id}
            due += callbacks(row, batch_id, counts)
    return due


def callbacks(batch: Mapping[str, Any], batch_id: int, counts: Counts) -> list[NewJob]:
    """What follows the end of a batch; each of them knows how it went."""
    facts = {**facts_of(batch_id, batch["description"], batch["metadata"]), **asdict(counts)}
    return [callback(batch[name], facts) for name in due_callbacks(counts) if batch[name] is not None]


def hold(session: Session, ids: Sequence[int]) -> Held:
    """As `holding`, on a session."""
    return _run(session, holding(ids))


def leave(
    session: Session, held: Held, done: Sequence[int], failed: Sequence[int], discarded: Sequence[int]
) -> list[NewJob]:
    """As `leaving`, on a session."""
    return _run(session, leaving(held, done, failed, discarded))


def _run(session: Session, steps: Steps[T]) -> T:
    try:
        name, params = next(steps)
        while True:
            name, params = steps.send(session.all(name, **params))
    except StopIteration as end:
        result: T = end.value
        return result


def _counts(row: Mapping[str, Any]) -> Counts:
    return Counts(row["total"], row["done"], row["failed"], row["discarded"])


# what an operator sees


def newest(session: Session, limit: int, before: int | None = None, unfinished: bool = False) -> list[BatchSummary]:
    """Up to `limit` batches, the newest first, with ids below `before`; with `unfinished` only such."""
    rows = session.all(
        "batches.newest", before=before if before is not None else 2**62, unfinished=int(unfinished), page=limit
    )
    return [_summary(row) for row in rows]


def find(session: Session, batch_id: int, few: int = FAILURES) -> BatchSummary | None:
    """One batch, with ids of some of its members."""
    row = session.one("batches.find", id=batch_id)
    if row is None:
        return None
    outstanding = tuple(member["job_id"] for member in session.all("batches.outstanding", id=batch_id, few=few))
    return replace(_summary(row), outstanding=outstanding)


def _summary(row: Row) -> BatchSummary:
    return BatchSummary(
        row["id"],
        row["description"],
        row["metadata"],
        _counts(row),
        row["opened_at"],
        row["finished_at"],
        row["now_at"],
        failures=tuple(json.loads(row["failures"])),
        callbacks={
            name: json.loads(row[name])["class_name"]
            for name in ("on_success", "on_failure", "on_finish")
            if row[name] is not None
        },
    )
