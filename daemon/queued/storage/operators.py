"""What an operator does to jobs: retry, dispatch, discard, cancel.

Every function works inside the caller's transaction and says of each id what became of it. A job that a worker takes at
the same moment ends up on one side only: the row that a DELETE returns decides, and the loser is told the job's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from queued.domain.jobs import Arrival, State
from queued.storage import ties
from queued.storage.session import Row, Session

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


def retry(session: Session, ids: Sequence[int], from_start: bool = False) -> Acted:
    """Make failed jobs ready again, with a new start for their retry policies; one whose limits are full is blocked.

    Jobs go on where their steps stand; with `from_start` that is forgotten. Ring for `arrivals` after the commit.
    """
    rows = session.all("operators.retry", ids=list(ids))
    if from_start:
        session.run("checkpoints.forget", ids=[row["job_id"] for row in rows])
    return _let_in(session, ids, rows, failed_before=True)


def retry_from_start(session: Session, ids: Sequence[int]) -> Acted:
    """As `retry`, from the first step of each job: how far it had come is forgotten."""
    return retry(session, ids, from_start=True)


def dispatch(session: Session, ids: Sequence[int]) -> Acted:
    """Have scheduled jobs run now, whatever time they wait for.

    As when that comes, one whose limits are full is blocked, and one whose rate has no turn left waits for its next. One that
    waits for its turn already is refused, for it must not come earlier. Ring for `arrivals` after the commit.
    """
    return _let_in(session, ids, session.all("operators.dispatch", ids=list(ids)), failed_before=False)


def _let_in(session: Session, ids: Sequence[int], rows: Sequence[Row], failed_before: bool) -> Acted:
    """What became of the ids, of which these rows have left their state for ready; those with ties ask their limits first."""
    acted, moves = Acted(), ties.Moves()
    for row in rows:
        acted.done.append(row["job_id"])
        if row["seq"] is None:
            moves.entrants.append(replace(ties.entrant(row), failed_before=failed_before))
        else:
            acted.arrivals.append(Arrival(row["queue"], row["priority"], row["seq"]))
    acted.arrivals += ties.settle(session, moves).arrivals
    _sort_out(session, ids, acted)
    return acted


def discard(session: Session, ids: Sequence[int]) -> Acted:
    """End ready, scheduled, blocked and failed jobs as discarded. A running job is refused."""
    return _end(session, ids, "discarded", ("failed", "scheduled", "ready", "blocked"))


def cancel_waiting(session: Session, ids: Sequence[int]) -> Acted:
    """End ready, scheduled and blocked jobs as cancelled. Running ones are refused; give each of them to `cancel_one`."""
    return _end(session, ids, "cancelled", ("scheduled", "ready", "blocked"))


def cancel_one(session: Session, job_id: int) -> Acted:
    """Cancel one job, waiting or running. A running one is asked to end; tell workers `cancel ID` after the commit.

    One job a transaction: holding several claimed rows could deadlock with a worker that reports on the same jobs. The claim comes
    first, for a worker's report takes it before the locks of the job's limits.
    """
    acted = Acted()
    for _ in range(ROUNDS):
        if session.all("operators.interrupt", id=job_id):
            return Acted(interrupted=[job_id])
        acted = cancel_waiting(session, [job_id])
        if acted.refused.get(job_id) != "running":
            break
    return acted


def _end(
    session: Session,
    ids: Sequence[int],
    state: Literal["discarded", "cancelled"],
    sources: tuple[State, ...],
) -> Acted:
    acted, moves = Acted(), ties.Moves()
    left = list(dict.fromkeys(ids))
    for number in range(1, ROUNDS + 1):
        ended: list[Row] = []
        for source in sources:
            if source not in {"ready", "blocked"}:
                ended += session.all(f"operators.end_{source}", ids=left, state=state)
        done = {row["job_id"] for row in ended}
        ended += _end_ready(session, [job_id for job_id in left if job_id not in done], state)
        acted.done += [row["job_id"] for row in ended]
        moves.over += [row["job_id"] for row in ended if row["ties"]]
        _sort_out(session, left, acted)
        left = [job_id for job_id, found in acted.refused.items() if found in sources and found != "blocked"]
        if not left or number == ROUNDS:
            break
        for job_id in left:  # it moved while it was looked for: another look decides
            del acted.refused[job_id]
    blocked = [job_id for job_id, found in acted.refused.items() if found == "blocked" and found in sources]
    settled = ties.settle(session, moves, blocked, state)
    acted.done += settled.ended
    acted.arrivals += settled.arrivals
    for job_id in settled.ended:
        del acted.refused[job_id]
    return acted


def _end_ready(session: Session, ids: Sequence[int], state: str) -> list[Row]:
    """End those of the ids that are ready."""
    rows = {job_id: session.one("insights.state", id=job_id) for job_id in ids}
    waiting = {job_id: row["queue"] for job_id, row in rows.items() if row is not None and row["state"] == "ready"}
    if not waiting:
        return []
    queues = sorted(set(waiting.values()))
    ended = session.all("operators.end_ready", ids=sorted(waiting), queues=queues, state=state)
    moved = sorted(set(waiting) - {row["job_id"] for row in ended})
    if moved:
        ended += session.all("operators.end_ready_anywhere", ids=moved, state=state)
    return ended


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
