"""Keys of unique jobs. The database decides who has one: its primary key, also between transactions that are still open.

A transaction takes and frees keys before it locks those of limits, so the two kinds never wait for each other crosswise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from queued.domain.errors import LockNotAvailable
from queued.domain.jobs import NewJob
from queued.domain.unique import Unique
from queued.storage.session import Row, Session, listed
from queued.storage.sql import Dialect

#: A key may be freed between two looks at it; after so many it counts as taken by who had it last.
ROUNDS = 5
#: Seconds that jobs which wait again wait for keys that open transactions have: together, and then each.
WAIT, WAIT_EACH = 0.05, 0.005
REPLACED = "queued.Replaced"
WHY_REPLACED = "a newer job with the same unique key has taken its place"

#: Ends those of the ids that are blocked, and answers which.
EndBlocked = Callable[[list[int]], list[int]]


@dataclass(slots=True)
class Taken:
    """What came of it: the jobs that have no key, each with the one that has it, and the ids of those that were replaced."""

    refused: dict[int, int] = field(default_factory=dict)
    replaced: list[int] = field(default_factory=list)


Steps = Generator[tuple[str, dict[str, Any]], list[Row], Taken]


def taking(dialect: Dialect, jobs: Sequence[tuple[int, NewJob]], end_blocked: EndBlocked | None) -> Steps:
    """The statements that take the keys of stored jobs, given with their ids.

    A job that gets none is taken back. `end_blocked` is None in a transaction that must not lock the keys of limits: there a job
    that is blocked, or ready with a slot, is not replaced.
    """
    taken = Taken()
    wanted = _once(jobs, taken)
    takers: dict[str, int] = {}
    for _ in range(ROUNDS):
        if not wanted:
            break
        yield "unique.lapse", {"keys": sorted({unique.key for unique in wanted.values()})}
        rows = sorted(
            (unique.key, job_id, None if unique.period is None else float(unique.period))
            for job_id, unique in wanted.items()
        )
        for row in (yield "unique.take", listed(dialect, rows, "keys", "ids", "periods")):
            del wanted[row["job_id"]]
        if not wanted:
            break
        found = {
            row["key"]: row["job_id"]
            for row in (yield "unique.takers", {"keys": sorted({unique.key for unique in wanted.values()})})
        }
        takers.update(found)
        replaceable = {found[one.key] for one in wanted.values() if one.key in found and one.on_conflict == "replace"}
        ended = yield from _ending(sorted(replaceable), end_blocked, taken)
        for job_id, unique in list(wanted.items()):
            if unique.key in found and found[unique.key] not in ended:
                taken.refused[job_id] = found[unique.key]
                del wanted[job_id]
    for job_id, unique in wanted.items():
        taken.refused[job_id] = takers[unique.key]
    if taken.refused:
        yield "unique.unstore", {"ids": sorted(taken.refused)}
    notes = [
        (job_id, job.unique.key, job.unique.until)
        for job_id, job in jobs
        if job.unique is not None and job.unique.until is not None and job_id not in taken.refused
    ]
    if notes:
        yield "unique.note", listed(dialect, notes, "ids", "keys", "untils")
    return taken


def _once(jobs: Sequence[tuple[int, NewJob]], taken: Taken) -> dict[int, Unique]:
    """The jobs that ask for a key: of several in one batch the first, or the last where that replaces the others."""
    winners: dict[str, int] = {}
    uniques = {job_id: job.unique for job_id, job in jobs if job.unique is not None}
    for job_id, unique in uniques.items():
        if unique.key not in winners or unique.on_conflict == "replace":
            winners[unique.key] = job_id
    taken.refused = {job_id: winners[one.key] for job_id, one in uniques.items() if winners[one.key] != job_id}
    return {job_id: one for job_id, one in uniques.items() if winners[one.key] == job_id}


def _ending(
    old: Sequence[int], end_blocked: EndBlocked | None, taken: Taken
) -> Generator[tuple[str, dict[str, Any]], list[Row], set[int]]:
    """End those that wait; their ids. The slot of a limited one can be freed only where `end_blocked` may be called."""
    if not old:
        return set()
    rows = yield "operators.end_scheduled", {"ids": list(old), "state": "discarded"}
    left = sorted(set(old) - {row["job_id"] for row in rows})
    if left and end_blocked is None:
        limited = {row["job_id"] for row in (yield "limits.of_jobs", {"ids": left})}
        left = [job_id for job_id in left if job_id not in limited]
    if left:
        queues = [row["queue"] for row in (yield "unique.lanes", {"ids": left})]
        rows = [*rows, *(yield "operators.end_ready", {"ids": left, "queues": queues, "state": "discarded"})]
        left = sorted(set(left) - {row["job_id"] for row in rows})
    ended = {row["job_id"] for row in rows}
    if left and end_blocked is not None:
        ended.update(end_blocked(left))
    if ended:
        taken.replaced += sorted(ended)
        yield "unique.free", {"ids": sorted(ended)}
        yield "attempts.explain", {"ids": sorted(ended), "error_class": REPLACED, "message": WHY_REPLACED}
    return ended


def started(session: Session, ids: Sequence[int]) -> None:
    """These jobs are about to start: those that are unique until then free their keys."""
    session.run("unique.free", ids=list(ids))


def settle(session: Session, over: Sequence[int], failed: Sequence[int], again: Sequence[int]) -> None:
    """Free the keys of jobs that ended or failed; those that wait again take theirs, where nobody else has it."""
    if over or failed:
        session.run("unique.free", ids=[*over, *failed])
    if over:
        session.run("unique.forget", ids=list(over))
    if again:
        _retake(session, sorted(again))


def _retake(session: Session, ids: Sequence[int]) -> None:
    """A key that an open transaction has counts as taken: an application's may last, and all outcomes of a worker with it."""
    try:
        with session.waiting_at_most(WAIT):
            session.run("unique.retake", ids=list(ids))
    except LockNotAvailable:
        for job_id in ids if len(ids) > 1 else ():
            with suppress(LockNotAvailable), session.waiting_at_most(WAIT_EACH):
                session.run("unique.retake", ids=[job_id])


def forget_lapsed(session: Session) -> int:
    """Remove keys whose period is over; how many."""
    return session.run("unique.sweep")
