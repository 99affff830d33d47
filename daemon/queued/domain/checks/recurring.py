"""Checks of what runs on a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from queued.domain.checks.verdict import Verdict, few

#: Seconds after its moment from which on a run is late: a scheduler looks far more often.
LATE = 60.0


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task: when it is due, and what keeps it from running."""

    key: str
    due_at: datetime | None
    stopped: bool
    problem: str | None = None
    attended: bool = True


def tasks(known: Sequence[TaskFacts], now: datetime) -> Verdict:
    """Every task runs when it is due, unless somebody stopped it."""
    looked = f"{len(known)} recurring task{'' if len(known) == 1 else 's'}"
    wrong = [f"{task.key}: {task.problem}" for task in known if task.problem]
    if wrong:
        advice = "correct the schedule; queuectl recurring show KEY"
        return Verdict("recurring.tasks", "problem", looked, few(wrong, 3), advice)
    left = [task.key for task in known if not task.stopped and not task.attended]
    if left:
        advice = "start a daemon that has their file, or forget them: queuectl recurring unschedule"
        return Verdict("recurring.tasks", "problem", looked, f"no living scheduler has {few(left)}", advice)
    late = [(task.key, (now - task.due_at).total_seconds()) for task in known if task.due_at and not task.stopped]
    late = [(key, seconds) for key, seconds in late if seconds > LATE]
    if late:
        told = [f"{key} by {seconds / 60:.0f} min" for key, seconds in late]
        return Verdict("recurring.tasks", "problem", looked, f"late: {few(told)}", "a scheduler must run; see its log")
    return Verdict("recurring.tasks", "ok", looked, "none is late" if known else "there is none")


def heartbeat(age: float | None, ran: float | None) -> Verdict:
    """A run of the recurring heartbeat leaves one. `age` is the newest's, `ran` how long ago its task ran last, both in seconds."""
    looked = "the newest heartbeat"
    if ran is None:
        return Verdict("recurring.heartbeat", "ok", looked, "no task has had to leave any")
    if ran > LATE and (age is None or age > ran + LATE):
        found = f"{'there is none' if age is None else f'{age:.0f} s old'}, and its task ran {ran:.0f} s ago"
        advice = "its runs do not end well: queuectl recurring list, and the scheduler's log"
        return Verdict("recurring.heartbeat", "problem", looked, found, advice)
    return Verdict("recurring.heartbeat", "ok", looked, "on its way" if age is None else f"{age:.0f} s old")
