"""Figures of ended jobs, from the newest on, as many as time allows."""

from __future__ import annotations

import time
from datetime import datetime

from queued.domain.figures import By, Figures
from queued.storage.orders import NO_ID
from queued.storage.session import Session

#: Seconds after which no further jobs are read, and how many are read at a time.
BUDGET, STRETCH = 0.2, 2_000


def figures(session: Session, by: By, since: datetime, budget: float = BUDGET) -> tuple[Figures, bool]:
    """What the jobs that ended since then add up to, and whether all of them were read: else those with the newest ids.

    A stretch in which nothing ended since then is the last one: jobs of a long ago that ended lately lie far behind.
    """
    found, complete = Figures(by), True
    deadline = time.monotonic() + budget
    for statement in ("stats.failed", "stats.ended"):
        before = NO_ID
        while True:
            rows = session.all(statement, before=before, most=STRETCH)
            added = found.add(rows, since)
            if len(rows) < STRETCH or not added:
                break
            before = min(row["id"] for row in rows)
            if time.monotonic() >= deadline:
                complete = False
                break
    return found, complete
