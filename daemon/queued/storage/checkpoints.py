"""How far jobs have come: where the next attempt goes on, and what an operator sees of it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from queued.domain.jobs import Checkpoint
from queued.storage.session import Session


def save(session: Session, checkpoints: Sequence[Checkpoint]) -> set[int]:
    """Store checkpoints; the ids of the jobs that are still held under the lease named. Nothing is stored of the others.

    What a checkpoint does not tell (steps, or progress) stays as it was. At most one of each job and lease.
    """
    if not checkpoints:
        return set()
    if session.dialect == "sqlite":
        rows = [(c.job_id, c.lease, c.steps, c.done, c.total, c.message) for c in checkpoints]
        return {row["job_id"] for row in session.all("checkpoints.save", rows=rows)}
    saved = session.all(
        "checkpoints.save",
        ids=[c.job_id for c in checkpoints],
        leases=[c.lease for c in checkpoints],
        steps=[c.steps for c in checkpoints],
        dones=[c.done for c in checkpoints],
        totals=[c.total for c in checkpoints],
        messages=[c.message for c in checkpoints],
    )
    return {row["job_id"] for row in saved}
