"""Failed jobs by cause, the newest failures first, as many as time allows."""

from __future__ import annotations

import time

from queued.domain.failures import Groups
from queued.domain.query import Query
from queued.storage.conditions import conditions
from queued.storage.insights import now
from queued.storage.orders import ByFailure, Position
from queued.storage.session import Session

#: Seconds after which no further failures are read, and how many are read at a time: backtraces are long.
BUDGET, STRETCH = 0.15, 500


def grouped(session: Session, query: Query, budget: float = BUDGET) -> tuple[Groups, bool]:
    """The causes of the failures that match, and whether all of those were read: else the newest."""
    found = Groups()
    if "failed" not in query.states:
        return found, True
    order, deadline = ByFailure(), time.monotonic() + budget
    met = conditions(query.with_state("failed"), session.dialect, now(session))
    wanted = {"arguments": int("arguments" in query.needs), "backtrace": 1}
    position: Position | None = order.begin(None)
    while position is not None:
        end = order.end(session, position, STRETCH)
        rows = order.rows(session, position, end, STRETCH, STRETCH, met, wanted)
        found.add(row for row in rows if not query.needs or query.exact(row["class_name"], row["error_class"], row))
        position = end
        if position is not None and time.monotonic() >= deadline:
            return found, False
    return found, True
