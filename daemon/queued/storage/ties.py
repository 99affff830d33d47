"""Jobs with ties: what side tables know of them must be told of every move, in the transaction of the move.

A transaction collects its moves in `Moves` and calls `settle` once, last. Jobs without ties never come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from queued.domain.jobs import BATCHED, LIMITED, RATED, UNIQUE, WAITING, Arrival, Entrant
from queued.storage import batches, limits, rates, unique
from queued.storage.session import Row, Session, listed


@dataclass(slots=True)
class Moves:
    """The moves of jobs with ties in one transaction."""

    #: They are about to become ready; none of the state tables holds them.
    entrants: list[Entrant] = field(default_factory=list)
    #: They wait for a retry.
    left: list[int] = field(default_factory=list)
    #: They were claimed, and wait again without having to be let in.
    again: list[int] = field(default_factory=list)
    #: They failed.
    failed: list[int] = field(default_factory=list)
    #: They ended for good.
    over: list[int] = field(default_factory=list)
    #: Those of `over` that ended well.
    done: list[int] = field(default_factory=list)
    #: What the newest enqueue says of the size of keys.
    sizes: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.entrants or self.left or self.again or self.failed or self.over)


@dataclass(slots=True)
class Settled:
    """What came of the moves; `discarded` are entrants that a conflict ended."""

    arrivals: list[Arrival] = field(default_factory=list)
    discarded: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


def settle(session: Session, moves: Moves, ends: Sequence[int] = (), end_state: str = "discarded") -> Settled:
    """Tell the side tables; `ends` are jobs to be ended where they are blocked."""
    settled = Settled()
    if not moves and not ends:
        return settled
    again = [entrant.job_id for entrant in moves.entrants if entrant.failed_before and entrant.ties & UNIQUE]
    again += moves.again
    unique.settle(session, moves.over, moves.failed, again)
    # Whoever holds a batch may ask for keys of limits, never the other way round: so those that a limit may end come along.
    refusable = [one.job_id for one in moves.entrants if one.ties & LIMITED and one.ties & BATCHED]
    held = batches.hold(session, [*moves.over, *moves.failed, *refusable, *ends])
    callbacks = batches.leave(session, held, moves.done, moves.failed, sorted({*moves.over} - {*moves.done}))
    if moves.over:
        session.run("expiries.forget", ids=moves.over)
        session.run("rates.forget", ids=moves.over)
    entrants = moves.entrants
    rated = [entrant for entrant in entrants if entrant.ties & RATED]
    if rated:
        due, others_wait = rates.settle(session, rated)
        entrants = [entrant for entrant in entrants if not entrant.ties & RATED or entrant.job_id in due]
        if others_wait:
            settled.arrivals.append(Arrival("", 0, 0))
    limited = [entrant for entrant in entrants if entrant.ties & LIMITED]
    free = [entrant for entrant in entrants if not entrant.ties & LIMITED]
    if free:
        rows = [(e.job_id, e.queue, e.priority, e.attempt, e.ties) for e in free]
        put = session.all(
            "ready.put_many", **listed(session.dialect, rows, "ids", "queues", "priorities", "attempts", "ties")
        )
        settled.arrivals += [Arrival(row["queue"], row["priority"], row["seq"]) for row in put]
    changes = limits.Changes(limited, [*moves.left, *moves.failed], moves.over, moves.sizes, list(ends), end_state)
    found = limits.settle(session, changes)
    settled.arrivals += found.arrivals
    settled.discarded = found.refused
    settled.ended = found.ended
    gone = [*found.refused, *found.ended]
    if gone:
        unique.settle(session, gone, (), ())
        session.run("expiries.forget", ids=gone)
        session.run("rates.forget", ids=gone)
        callbacks += batches.leave(session, held, (), (), gone)
    if callbacks:
        from queued.storage import jobs  # which settles what it stores, but not these: they wait for nobody

        settled.arrivals += jobs.write(session, callbacks, deferred=True, following=True).arrivals
    return settled


def waits_again(moves: Moves, job_id: int, ties: int) -> None:
    """A job that was claimed waits again; one whose key is held while it waits takes it."""
    if ties & WAITING:
        moves.again.append(job_id)


def entrant(row: Row) -> Entrant:
    """The job of a row that a statement did not make ready, because it has ties."""
    return Entrant(row["job_id"], row["queue"], row["priority"], row["attempt"], row["ties"])
