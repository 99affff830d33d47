"""Jobs that must have started by a moment, or not at all. The database's clock decides, when a worker claims and in a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from queued.domain.jobs import Arrival
from queued.storage import operators
from queued.storage.session import Session

EXPIRED = "queued.JobExpired"
WHY_EXPIRED = "it had not started when its time (expires=) was over"


def start(session: Session, ids: Sequence[int]) -> set[int]:
    """These jobs are about to start, and cannot expire any more; the ids of those that are too late."""
    return {row["job_id"] for row in session.all("expiries.start", ids=list(ids)) if row["late"] >= 0}


def lapsed(session: Session, batch_size: int = operators.BATCH) -> list[int]:
    """Jobs whose time is over and that nobody has claimed: in a paused queue, behind a limit, or where no worker looks."""
    return [row["job_id"] for row in session.all("expiries.lapsed", batch_size=batch_size)]


def discard(session: Session, ids: Sequence[int]) -> tuple[list[int], list[Arrival]]:
    """Discard those of them that still wait; their ids, and what is ready by that."""
    acted = operators.discard(session, ids)
    if acted.done:
        session.run("attempts.explain", ids=acted.done, error_class=EXPIRED, message=WHY_EXPIRED)
    return acted.done, acted.arrivals
