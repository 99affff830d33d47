"""What an operator does to jobs: retry, discard, cancel.

Every function works inside the caller's transaction and says of each id what became of it. A job that a worker takes at
the same moment ends up on one side only: the row that a DELETE returns decides, and the loser is told the job's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from queued.domain.jobs import Arrival, State
from queued.storage.session import Session

#: Ids handled in one transaction: short enough that no worker waits noticeably.
BATCH = 500
#: On PostgreSQL a job may move from table to table while it is looked for; after so many looks it counts as refused.
ROUNDS = 3


@dataclass(slots=True)
class Acted:
    """What became of the ids of one action. `interrupted` jobs run still and were asked to end."""

    done: list[int] = field(default_factory=list)
    interrupted: list[int] = field(default_factory=list)
    refused: dict[int, State] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    def add(self, other: Acted) -> None:
        self.done += other.done
        self.interrupted += other.interrupted
        self.refused.update(other.refused)
        self.missing += other.missing
        self.arrivals += other.arrivals


def retry(session: Session, ids: Sequence[int]) -> Acted:
    """Make failed jobs ready again, with a new start for their retry policies.

    Ring for `arrivals` after the commit.
    """
    acted = Acted()
    for row in session.all("operators.retry", ids=list(ids)):
        acted.done.append(row["job_id"])
        acted.arrivals.append(Arrival(row["queue"], row["priority"], row["seq"]))
    _sort_out(session, ids, acted)
    return acted


def discard(session: Session, ids: Sequence[int]) -> Acted:
    """End ready, scheduled and failed jobs as discarded. A running job is refused."""
    return _end(session, ids, "discarded", ("failed", "scheduled", "ready"))


def cancel_waiting(session: Session, ids: Sequence[int]) -> Acted:
    """End ready and scheduled jobs as cancelled. Running ones are refused here; give each of them to `cancel_one`."""
    return _end(session, ids, "cancelled", ("scheduled", "ready"))


def cancel_one(session: Session, job_id: int) -> Acted:
    """Cancel one job, waiting or running. A running one is asked to end; tell workers `cancel ID` after the commit.

    One job a transaction: holding several claimed rows could deadlock with a worker that reports on the same jobs.
    """
    acted = Acted()
    for _ in range(ROUNDS):
        acted = cancel_waiting(session, [job_id])
        if acted.refused.get(job_id) != "running":
            return acted
        if session.all("operators.interrupt", id=job_id):
            return Acted(interrupted=[job_id])
    return acted


def _end(
    session: Session,
    ids: Sequence[int],
    state: Literal["discarded", "cancelled"],
    sources: tuple[State, ...],
) -> Acted:
    acted = Acted()
    left = list(dict.fromkeys(ids))
    for number in range(1, ROUNDS + 1):
        for source in sources:
            if source != "ready":
                acted.done += _ids(session.all(f"operators.end_{source}", ids=left, state=state))
        acted.done += _end_ready(session, [i for i in left if i not in acted.done], state)
        _sort_out(session, left, acted)
        left = [job_id for job_id, found in acted.refused.items() if found in sources]
        if not left or number == ROUNDS:
            break
        for job_id in left:  # it moved while it was looked for: another look decides
            del acted.refused[job_id]
    return acted


def _end_ready(session: Session, ids: Sequence[int], state: str) -> list[int]:
    """End those of the ids that are ready."""
    rows = {job_id: session.one("insights.state", id=job_id) for job_id in ids}
    waiting = {job_id: row["queue"] for job_id, row in rows.items() if row is not None and row["state"] == "ready"}
    if not waiting:
        return []
    queues = sorted(set(waiting.values()))
    done = _ids(session.all("operators.end_ready", ids=sorted(waiting), queues=queues, state=state))
    moved = sorted(set(waiting) - set(done))
    if moved:
        done += _ids(session.all("operators.end_ready_anywhere", ids=moved, state=state))
    return done


def _sort_out(session: Session, ids: Sequence[int], acted: Acted) -> None:
    """Say of every id that was not done whether it is in another state or not there at all."""
    done = set(acted.done)
    for job_id in dict.fromkeys(ids):
        if job_id not in done:
            row = session.one("insights.state", id=job_id)
            if row is None:
                acted.missing.append(job_id)
            else:
                acted.refused[job_id] = cast(State, row["state"])


def _ids(rows: list[dict[str, int]]) -> list[int]:
    return [row["job_id"] for row in rows]
