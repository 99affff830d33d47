"""Batches: who belongs to one, how its members have ended, and what follows when the last of them has.

`batch_jobs` holds the members that have not ended. Its rows and the counts change only under the lock on the row of their batch and
of all those that it lies in; several batches are locked in the order of their ids, after keys of unique jobs and before those
of limits. Whoever brings the count of ended members up to the total finishes the batch in the same transaction, and no other can.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from queued.domain.batches import (
    FAILURES,
    BatchState,
    Counts,
    End,
    Enrolment,
    NewBatch,
    end_members,
    finish,
    grow,
    referred,
)
from queued.domain.jobs import NewJob
from queued.storage.session import Row, Session, listed
from queued.storage.sql import Dialect

T = TypeVar("T")
#: Statements to run one by one: (name, parameters) out, its rows in.
Steps = Generator[tuple[str, dict[str, Any]], list[Row], T]
#: Batches inside one that are named, and in a list those of all that it shows.
FEW, BELOW = 20, 500


@dataclass(slots=True)
class Held:
    """The batches of some jobs, locked with those that they lie in: the batch of each job, and how the batches stand."""

    of: dict[int, int] = field(default_factory=dict)
    states: dict[int, BatchState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """A batch as an operator sees it, with ids of the first members that failed and of some that have not ended.

    Counts and failures are those of the batches inside it too.
    """

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
    parent: int | None = None
    #: The first batches inside it.
    inside: tuple[BatchSummary, ...] = ()


def opening(batches: Sequence[NewBatch], jobs: Sequence[NewJob]) -> Steps[tuple[Enrolment, Sequence[NewJob]]]:
    """Open batches, and have jobs know the batches that they join. Raises BatchFinished."""
    enrolment = Enrolment()
    wanted = referred(batches, jobs)
    if wanted:
        enrolment.states = _states((yield "batches.lineage", {"ids": sorted(wanted)}))
    for batch in batches:
        texts = {name: value for name, value in asdict(batch).items() if name not in {"number", "parent"}}
        row = (yield "batches.open", {**texts, "parent_id": enrolment.parent(batch)})[0]
        enrolment.open(batch, row["id"])
    return enrolment, enrolment.members(jobs)


def enrolling(
    dialect: Dialect, enrolment: Enrolment, members: Sequence[tuple[int, int]], leaving_too: Sequence[int]
) -> Steps[list[NewJob]]:
    """Make stored jobs, given as (job, batch), members; what follows the opened batches that have none.

    `leaving_too` are jobs whose batches this transaction will want as well.
    """
    states = enrolment.states
    others = (yield "batches.of_jobs", {"ids": list(leaving_too)}) if leaving_too else []
    touched = enrolment.joined | {row["batch_id"] for row in others}
    if touched:
        parents = [row["parent_id"] for row in others] + [states[batch_id].parent for batch_id in enrolment.joined]
        states.update((yield from _locking(touched, any(parent is not None for parent in parents))))
        enrolment.refuse_finished()
    if members:
        yield "batches.join", listed(dialect, members, "ids", "batches")
    before = {batch_id: state.total for batch_id, state in states.items()}
    grow(states, Counter(batch_id for _, batch_id in members))
    finished, follow = finish(states, enrolment.opened.values())
    totals = [(state.id, state.total) for state in states.values() if state.total != before[state.id]]
    if totals:
        yield "batches.grow", listed(dialect, totals, "ids", "totals")
    for batch_id in finished:
        yield "batches.finish", {"id": batch_id}
    return follow


def _locking(ids: Iterable[int], nested: bool) -> Steps[dict[int, BatchState]]:
    """Lock batches and those that they lie in, in one order; who lies in whom never changes."""
    wanted = sorted(ids)
    if nested:
        wanted = sorted(row["id"] for row in (yield "batches.lineage", {"ids": wanted}))
    return _states((yield "batches.lock", {"ids": wanted}))


def holding(ids: Sequence[int]) -> Steps[Held]:
    """Lock the batches that these jobs are members of, and those that they lie in."""
    if not ids:
        return Held()
    members = yield "batches.of_jobs", {"ids": list(ids)}
    if not members:
        return Held()
    nested = any(row["parent_id"] is not None for row in members)
    states = yield from _locking({row["batch_id"] for row in members}, nested)
    return Held({row["job_id"]: row["batch_id"] for row in members}, states)


def leaving(held: Held, done: Sequence[int], failed: Sequence[int], discarded: Sequence[int]) -> Steps[list[NewJob]]:
    """Members have ended for good, each in one of three ways; what follows the batches that have finished by that."""
    ends: dict[int, End] = dict.fromkeys(done, "done")
    ends.update(dict.fromkeys(failed, "failed"))
    ends.update(dict.fromkeys(discarded, "discarded"))
    ids = [job_id for job_id in ends if job_id in held.of]
    if not ids:
        return []
    gone = yield "batches.leave", {"ids": ids}
    ended = sorted((row["job_id"], row["batch_id"]) for row in gone)
    changed = end_members(held.states, ((job_id, batch_id, ends[job_id]) for job_id, batch_id in ended))
    finished, follow = finish(held.states, changed)
    for batch_id in sorted(changed):
        state = held.states[batch_id]
        yield (
            "batches.count",
            {
                "id": batch_id,
                "total": state.total,
                "done": state.done,
                "failed": state.failed,
                "discarded": state.discarded,
                "failures": json.dumps(state.failures),
            },
        )
    for batch_id in finished:
        yield "batches.finish", {"id": batch_id}
    return follow


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


def _states(rows: Sequence[Row]) -> dict[int, BatchState]:
    return {
        row["id"]: BatchState(
            row["id"],
            row["parent_id"],
            row["description"],
            row["metadata"],
            row["on_success"],
            row["on_failure"],
            row["on_finish"],
            row["total"],
            row["done"],
            row["failed"],
            row["discarded"],
            json.loads(row["failures"]),
            row["finished_at"] is not None,
        )
        for row in rows
    }


# what an operator sees


def newest(session: Session, limit: int, before: int | None = None, unfinished: bool = False) -> list[BatchSummary]:
    """Up to `limit` batches that lie in no other, the newest first, with ids below `before`; with `unfinished` only such."""
    rows = session.all(
        "batches.newest", before=before if before is not None else 2**62, unfinished=int(unfinished), page=limit
    )
    return [_summary(row) for row in rows]


def below(session: Session, ids: Sequence[int], unfinished: bool = False) -> list[BatchSummary]:
    """The batches that lie in these, at whatever depth, the oldest first; at most `BELOW`."""
    if not ids:
        return []
    rows = session.all("batches.below", ids=list(ids), unfinished=int(unfinished), few=BELOW)
    return [_summary(row) for row in rows]


def find(session: Session, batch_id: int, few: int = FAILURES) -> BatchSummary | None:
    """One batch, with ids of some of its members and the first batches inside it."""
    row = session.one("batches.find", id=batch_id)
    if row is None:
        return None
    outstanding = tuple(member["job_id"] for member in session.all("batches.outstanding", id=batch_id, few=few))
    inside = tuple(_summary(child) for child in session.all("batches.inside", id=batch_id, few=FEW))
    return replace(_summary(row), outstanding=outstanding, inside=inside)


def _summary(row: Row) -> BatchSummary:
    return BatchSummary(
        row["id"],
        row["description"],
        row["metadata"],
        Counts(row["total"], row["done"], row["failed"], row["discarded"]),
        row["opened_at"],
        row["finished_at"],
        row["now_at"],
        failures=tuple(json.loads(row["failures"])),
        callbacks={
            name: json.loads(row[name])["class_name"]
            for name in ("on_success", "on_failure", "on_finish")
            if row[name] is not None
        },
        parent=row["parent_id"],
    )
