"""Jobs whose moment lies ahead; a dispatcher makes them ready when it comes, by the database's clock."""

from __future__ import annotations

from queued.domain.jobs import Arrival
from queued.storage import ties
from queued.storage.session import Session
from queued.storage.ties import entrant


def dispatch(session: Session, batch_size: int) -> list[Arrival]:
    """Make up to `batch_size` due jobs ready, the longest due first; one arrival for each, to announce after the commit.

    A job whose limits have no free slot is blocked instead, and may let in another one. Several dispatchers share the work: a job
    that another one is moving is passed over.
    """
    rows = session.all("scheduled.dispatch", batch_size=batch_size)
    arrivals = [Arrival(row["queue"], row["priority"], row["seq"]) for row in rows if row["seq"] is not None]
    moves = ties.Moves(entrants=[entrant(row) for row in rows if row["seq"] is None])
    return [*arrivals, *ties.settle(session, moves).arrivals]


def next_due(session: Session) -> float | None:
    """Seconds until the next job is due, zero or less when one is due already; None when nothing is scheduled."""
    row = session.one("scheduled.next_due")
    return None if row is None or row["seconds"] is None else float(row["seconds"])
