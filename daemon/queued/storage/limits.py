"""Who holds a slot of a key, and who waits in line for one.

Slots and lines change only inside `settle`, which locks the rows of all keys that it touches, in their order. A transaction calls
it once, last, after all that it does to other tables: so no two can wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from queued.domain.jobs import Arrival, Entrant
from queued.domain.limits import Candidate, admit
from queued.storage.session import Row, Session, listed

#: Most jobs of one line that are looked at in one go.
PAGE = 500
#: Further ones to look at when some of the first lacked a slot of another key.
FURTHER = 100
#: Keys and slots that one sweep deals with.
SWEEP = 500
#: What is told of a job that a conflict discarded.
REFUSED = "queued.LimitReached"
WHY_REFUSED = "no slot of its limit was free when it asked for one, and the limit says on_conflict=discard"


@dataclass(slots=True)
class Changes:
    """What has happened to limited jobs in this transaction."""

    #: They would be ready now.
    entrants: list[Entrant] = field(default_factory=list)
    #: They gave up their slots: waiting for a retry, or failed.
    left: list[int] = field(default_factory=list)
    #: They ended.
    over: list[int] = field(default_factory=list)
    #: How many may hold a key from now on: the newest enqueue decides.
    sizes: dict[str, int] = field(default_factory=dict)
    #: Jobs in line that an operator ends, and how.
    ends: list[int] = field(default_factory=list)
    end_state: str = "discarded"
    #: Keys to look at, and slots to look at, because of a suspicion.
    keys: list[str] = field(default_factory=list)
    suspects: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class Settled:
    """What came of it. `refused` are entrants that do not wait; `ended` those of `ends` that were still in line."""

    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    evicted: int = 0


def settle(session: Session, changes: Changes) -> Settled:
    """Free slots, put jobs in line, and let in as many of each line as there is room for, in the order of priority and age."""
    ids = [*(entrant.job_id for entrant in changes.entrants), *changes.left, *changes.over, *changes.ends]
    limits = session.all("limits.of_jobs", ids=ids) if ids else []
    sizes = {row["key"]: row["capacity"] for row in limits} | dict.fromkeys(changes.keys, 1)
    sizes |= {key: 1 for key, _ in changes.suspects if key not in sizes} | changes.sizes
    if not sizes:
        return Settled()
    session.run("limits.begin")
    while True:
        settled = _settle(session, changes, limits, sizes)
        if settled is not None:
            break
        session.run("limits.again")
    if settled.refused:
        session.all("limits.refuse", ids=settled.refused, error_class=REFUSED, message=WHY_REFUSED)
    return settled


def _settle(session: Session, changes: Changes, limits: Sequence[Row], sizes: dict[str, int]) -> Settled | None:
    """One go; None when it must be done again with the keys that `sizes` holds now."""
    if not _lock(session, sizes, changes.sizes):
        return None
    settled = Settled()
    for key, job_id in changes.suspects:
        settled.evicted += session.run("limits.evict", key=key, job_id=job_id)
    if changes.ends:
        rows = session.all("limits.end_blocked", ids=changes.ends, state=changes.end_state)
        settled.ended = [row["job_id"] for row in rows]
    leaving = [*changes.left, *changes.over]
    if leaving:
        session.run("limits.free", ids=leaving)
    if changes.over or settled.ended:
        session.run("limits.forget", ids=[*changes.over, *settled.ended])
    _put_in_line(session, changes.entrants, limits)
    admitted = _fill(session, sizes, settled)
    if admitted is None:
        return None
    # Whether a conflict discards a job is judged when it first asks, never again after it has run or waited.
    fresh = {entrant.job_id for entrant in changes.entrants if entrant.attempt == 1} - admitted
    settled.refused = sorted({row["job_id"] for row in limits if row["on_conflict"] == "discard"} & fresh)
    return settled


def _lock(session: Session, sizes: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    """Lock the rows of these keys, made where they are missing; False when a sweep has just removed one."""
    session.run("limits.create", **listed(session.dialect, sorted(sizes.items()), "keys", "capacities"))
    found = {row["key"]: row["capacity"] for row in session.all("limits.lock", keys=sorted(sizes))}
    changed = [(key, capacity) for key, capacity in sorted(wanted.items()) if found.get(key) != capacity]
    if changed:
        session.run("limits.resize", **listed(session.dialect, changed, "keys", "capacities"))
    return len(found) == len(sizes)


def _put_in_line(session: Session, entrants: Sequence[Entrant], limits: Sequence[Row]) -> None:
    if not entrants:
        return
    first: dict[int, str] = {}
    for row in limits:
        first.setdefault(row["job_id"], row["key"])
    rows = [(e.job_id, first[e.job_id], e.queue, e.priority, e.attempt, e.ties) for e in entrants]
    session.run(
        "limits.block", **listed(session.dialect, rows, "ids", "keys", "queues", "priorities", "attempts", "ties")
    )


def _fill(session: Session, sizes: dict[str, int], settled: Settled) -> set[int] | None:
    """Let in whom there is room for; their ids, or None when a key is needed that is not locked."""
    room = {row["key"]: row["room"] for row in session.all("limits.room", keys=list(sizes))}
    lines = [key for key in sizes if room[key] > 0]
    admitted: set[int] = set()
    further = 0
    while lines:
        count = min(max(room[key] for key in lines) + further, PAGE)
        candidates, capacities = _candidates(session.all("limits.heads", keys=lines, count=count))
        found = admit(candidates, room)
        if found.unknown:
            sizes.update({key: capacities[key] for key in found.unknown})
            return None
        if found.admitted:
            rows = session.all("limits.admit", ids=found.admitted)
            settled.arrivals += [Arrival(row["queue"], row["priority"], row["seq"]) for row in rows]
            admitted.update(found.admitted)
        if found.moved:
            session.run("limits.wait_for", **listed(session.dialect, found.moved, "ids", "keys"))
            further = FURTHER
        lengths: dict[str, int] = {}
        for one in candidates:
            lengths[one.waits_for] = lengths.get(one.waits_for, 0) + 1
        lines = [key for key in lines if room[key] > 0 and lengths.get(key, 0) >= count]
    return admitted


def _candidates(rows: Iterable[Row]) -> tuple[list[Candidate], dict[str, int]]:
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["job_id"], []).append(row)
    found = [
        Candidate(job_id, own[0]["priority"], own[0]["waits_for"], tuple(sorted(row["key"] for row in own)))
        for job_id, own in grouped.items()
    ]
    return found, {row["key"]: row["capacity"] for own in grouped.values() for row in own}


def sweep(session: Session) -> Settled:
    """The safety net: take slots from jobs that are neither ready nor running, and fill free slots that have a line.

    Both happen with the change that makes them due, so this finds nothing unless somebody changed rows by hand.
    """
    suspects = [(row["key"], row["job_id"]) for row in session.all("limits.strays", batch_size=SWEEP)]
    keys = [row["key"] for row in session.all("limits.waited_for", batch_size=SWEEP)]
    return settle(session, Changes(keys=keys, suspects=suspects))


def forget_idle(session: Session) -> int:
    """Remove keys that nobody holds or waits for, at most so many in one go; how many."""
    keys = [row["key"] for row in session.all("limits.idle", batch_size=SWEEP)]
    return session.run("limits.remove", keys=keys) if keys else 0
