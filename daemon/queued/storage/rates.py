"""Whose turn it is: jobs with a rate limit that would be ready take the next turn of their key, and wait for it as scheduled jobs.

The keys are locked in their order, after those of unique jobs and before those of limits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from queued.domain.jobs import Entrant
from queued.domain.rates import turn
from queued.storage.session import Session


def settle(session: Session, entrants: Sequence[Entrant]) -> tuple[set[int], bool]:
    """Give each of these jobs a turn, unless it comes with one; the ids of those whose turn is now, and whether others wait."""
    rates = {row["job_id"]: row for row in session.all("rates.of_jobs", ids=[entrant.job_id for entrant in entrants])}
    due = {job_id for job_id, row in rates.items() if row["has_turn"]}
    if due:
        session.run("rates.give", ids=sorted(due), has_turn=False)
    asking = [entrant for entrant in entrants if entrant.job_id not in due]
    if not asking:
        return due, False
    keys = sorted({rates[entrant.job_id]["key"] for entrant in asking})
    turns: dict[str, list[float]] = {}
    clock = 0.0
    while len(turns) < len(keys):  # a sweep may remove a row between the two
        session.run("rates.create", keys=keys)
        for row in session.all("rates.lock", keys=keys):
            turns[row["key"]] = json.loads(row["turns"])
            clock = row["seconds"]
    waiting = []
    ends: dict[str, tuple[int, float]] = {}
    for entrant in sorted(asking, key=lambda one: (one.priority, one.job_id)):
        rate = rates[entrant.job_id]
        given = turns[rate["key"]]
        moment = turn(given, rate["starts"], rate["period"], clock)
        given.append(moment)
        ends[rate["key"]] = (rate["starts"], moment + rate["period"])
        if moment <= clock:
            due.add(entrant.job_id)
            continue
        waiting.append(entrant.job_id)
        session.run(
            "scheduled.put",
            job_id=entrant.job_id,
            queue=entrant.queue,
            priority=entrant.priority,
            attempt=entrant.attempt,
            ties=entrant.ties,
            wait=moment - clock,
        )
    for key, (starts, idle) in sorted(ends.items()):
        session.run("rates.store", key=key, turns=json.dumps(turns[key][-starts:]), idle=idle)
    if waiting:
        session.run("rates.give", ids=waiting, has_turn=True)
    return due, bool(waiting)


def forget_idle(session: Session) -> int:
    """Remove keys whose last turn no longer counts; how many."""
    return session.run("rates.sweep")
