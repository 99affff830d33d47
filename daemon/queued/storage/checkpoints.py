"""How far jobs have come: where the next attempt goes on, and what an operator sees of it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from queued.domain.jobs import Checkpoint
from queued.storage.session import Session, listed


def save(session: Session, checkpoints: Sequence[Checkpoint]) -> set[int]:
    """Store checkpoints; the ids of the jobs that are still held under the lease named. Nothing is stored of the others.

    What a checkpoint does not tell (steps, or progress) stays as it was. At most one of each job and lease.
    """
    if not checkpoints:
        return set()
    rows = [(c.job_id, c.lease, c.steps, c.done, c.total, c.message) for c in checkpoints]
    given = listed(session.dialect, rows, "ids", "leases", "steps", "dones", "totals", "messages")
    return {row["job_id"] for row in session.all("checkpoints.save", **given)}
