"""Recurring tasks, the schedulers that list them, and their runs.

A task of a file belongs to every owner (a host and its file) that lists it, is run by schedulers of its owners alone, and
goes when its last owner has dropped it: two hosts with different files leave each other's tasks alone. A dynamic task belongs
to nobody and is run by every scheduler that runs such. One moment of a task is run once, whoever looks at it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from queued.domain.errors import NotAllowed, UnknownId
from queued.domain.jobs import NewJob, Stored
from queued.domain.recurring import RecurringTask
from queued.domain.settings import RecurringTaskSettings
from queued.storage import jobs
from queued.storage.session import Row, Session

#: "recurring" in ASCII, shortened: the advisory lock that lets one scheduler at a time compare its file with a database.
LOCK = 0x7265637572
#: An owner is taken to live if it was heard of in so many seconds.
ATTENDED = 300.0
#: An owner that was silent for so many seconds lists nothing any more: its host is gone for good.
FORSAKEN = 30 * 86400.0
#: The newest runs of a task that are kept however old they are.
RUNS_KEPT = 50

ACTIVE = frozenset({"ready", "scheduled", "running"})


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task. `outcome` is the state of its job, or of the run itself where it has none.

    It is `cleared` when the job was deleted before its end was noted.
    """

    run_at: datetime
    started_at: datetime
    job_id: int | None
    manual: bool
    outcome: str
    message: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A task as an operator sees it. `attending` counts the living owners of a task of files."""

    task: RecurringTask
    attending: int
    last: Run | None


@dataclass(frozen=True, slots=True)
class Synced:
    """What the comparison of a file with the database has changed: keys."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    refused: list[str]


# definitions


def sync(session: Session, owner: str, tasks: Iterable[RecurringTaskSettings]) -> Synced:
    """Make the database say what the owner's file says.

    A task that other owners list stays theirs as well; where definitions differ the one stored last holds. A dynamic task
    of the same key stays as it is, and the file's is refused.
    """
    session.run("migrations.lock", lock=LOCK)
    synced = Synced([], [], [], [])
    listed = {task.key: task for task in tasks}
    for key, task in sorted(listed.items()):
        known = find(session, key)
        if known is not None and known.source == "dynamic":
            synced.refused.append(key)
            continue
        if known is None:
            session.run("recurring.insert", source="file", **asdict(task))
            synced.added.append(key)
        elif known.settings != task or known.problem is not None:
            _update(session, known, task)
            synced.changed.append(key)
        session.run("recurring.own", key=key, owner=owner)
    for row in session.all("recurring.owned", owner=owner):
        if row["task_key"] not in listed or row["task_key"] in synced.refused:
            session.run("recurring.disown", owner=owner, key=row["task_key"])
    session.run("recurring.disown_silent", period=FORSAKEN)
    for row in session.all("recurring.unowned"):
        _delete(session, row["key"])
        synced.removed.append(row["key"])
    return synced


def save(session: Session, task: RecurringTaskSettings) -> bool:
    """Store a dynamic task, or give the one of that key this definition; True when it is new.

    Raises NotAllowed when a file has a task of that key.
    """
    known = find(session, task.key)
    if known is None:
        session.run("recurring.insert", source="dynamic", **asdict(task))
        return True
    _refuse_file(known, "change it there")
    if known.settings != task:
        _update(session, known, task)
    return False


def _update(session: Session, known: RecurringTask, task: RecurringTaskSettings) -> None:
    timing = ("schedule", "timezone", "jitter", "enabled")
    anew = known.problem is not None or any(getattr(known.settings, name) != getattr(task, name) for name in timing)
    session.run("recurring.update", source=known.source, anew=anew, **asdict(task))


def unschedule(session: Session, key: str) -> None:
    """Forget a task and its runs. Raises UnknownId, and NotAllowed for a task of a file whose scheduler lives."""
    known = get(session, key)
    attending = [row["owner"] for row in session.all("recurring.owners", key=key) if _attends(session, row)]
    if known.source == "file" and attending:
        _refuse_file(known, f"remove it there ({', '.join(attending)}) and reload the daemon, or pause it")
    _delete(session, key)


def _delete(session: Session, key: str) -> None:
    session.run("recurring.delete", key=key)
    session.run("recurring.delete_owners", key=key)
    session.run("recurring.delete_runs", key=key)


def _refuse_file(known: RecurringTask, remedy: str) -> None:
    if known.source == "file":
        raise NotAllowed(f"the recurring task {known.key} comes from a file; {remedy}")


def _attends(session: Session, row: Row) -> bool:
    now = session.one("insights.now")
    assert now is not None
    return bool(row["seen_at"] > now["now_at"] - timedelta(seconds=ATTENDED))


def pause(session: Session, key: str) -> bool:
    """Start no run on schedule until it is resumed. False when it was paused already. Raises UnknownId."""
    get(session, key)
    return session.run("recurring.pause", key=key) > 0


def resume(session: Session, key: str) -> bool:
    """Run on schedule again, from the next moment on. False when it was not paused. Raises UnknownId."""
    get(session, key)
    return session.run("recurring.resume", key=key) > 0


def ask(session: Session, key: str) -> RecurringTask:
    """Have a scheduler start one run at once, paused or not; the task. Raises UnknownId."""
    known = get(session, key)
    session.run("recurring.ask", key=key)
    return known


# what a scheduler does


def due(session: Session, owner: str, dynamic: bool, passed: Collection[str]) -> tuple[RecurringTask, datetime] | None:
    """The next task to look at and the database's clock; the task is ours until the end of the transaction."""
    row = session.one("recurring.due", owner=owner, dynamic=dynamic, passed=list(passed))
    return None if row is None else (task_of(row), row["now_at"])


def next_due(session: Session, owner: str, dynamic: bool, passed: Collection[str]) -> float | None:
    """Seconds until a task has to be looked at; None when there is none."""
    row = session.one("recurring.next_due", owner=owner, dynamic=dynamic, passed=list(passed))
    return None if row is None or row["seconds"] is None else float(row["seconds"])


def reserve(session: Session, key: str, by: str, seconds: float) -> None:
    """Have the other schedulers leave a task alone for so long, but not after we have said what became of it."""
    session.run("recurring.reserve", key=key, by=by, seconds=float(seconds))


def reserved(session: Session, key: str, by: str) -> RecurringTask | None:
    """The task that we have reserved, held until the end of the transaction; None when it is ours no more."""
    row = session.one("recurring.find", key=key)
    return task_of(row) if row is not None and row["reserved_by"] == by else None


def unreserve(session: Session, by: str, key: str | None = None) -> None:
    """Leave a task, or all that we have reserved, to whoever looks next."""
    session.run("recurring.unreserve", by=by, key=key)


def hold(session: Session, key: str, why: str) -> None:
    """Note why a run that is due cannot be started yet. It is made up for, and any scheduler may try."""
    session.run("recurring.hold", key=key, why=why)


def planned(
    session: Session,
    key: str,
    next_run_at: datetime | None,
    due_at: datetime | None,
    last_run_at: datetime | None = None,
    problem: str | None = None,
) -> None:
    """Note when the task is next due, or why that cannot be said."""
    session.run(
        "recurring.planned",
        key=key,
        next_run_at=next_run_at,
        due_at=due_at,
        last_run_at=last_run_at,
        problem=problem,
    )


def answered(session: Session, key: str) -> None:
    """The run that was asked for has been started."""
    session.run("recurring.answered", key=key)


def record(
    session: Session,
    key: str,
    run_at: datetime,
    *,
    manual: bool = False,
    outcome: str | None = None,
    message: str | None = None,
) -> bool:
    """Claim a moment of a task. False when it was claimed before: then nothing may be started for it."""
    row = session.one("recurring.record", key=key, run_at=run_at, manual=manual, outcome=outcome, message=message)
    return row is not None


def start(session: Session, key: str, run_at: datetime, job: NewJob) -> Stored:
    """Store the job of a run that `record` has claimed. Where another has its unique key the run ends here, without a job."""
    stored = jobs.submit(session, [job])
    (job_id,), note = stored.ids, stored.notes.get(0)
    if note == "existing":
        end(session, key, run_at, "skipped", f"job {job_id} has its unique key")
    elif note == "refused":
        end(session, key, run_at, "failed", f"NotUnique: job {job_id} has its unique key")
    else:
        session.run("recurring.started", key=key, run_at=run_at, job_id=job_id)
    return stored


def end(session: Session, key: str, run_at: datetime, outcome: str, message: str | None = None) -> None:
    """Note how a run without a job has ended."""
    session.run("recurring.ended", key=key, run_at=run_at, outcome=outcome, message=message)


def unfinished(session: Session, key: str) -> int | None:
    """The id of the last run's job while that has not ended; one that failed has."""
    row = session.one("recurring.last_job", key=key)
    if row is None or row["outcome"] is not None:
        return None
    state = session.one("insights.state", id=row["job_id"])
    return row["job_id"] if state is not None and state["state"] in ACTIVE else None


def seen(session: Session, owner: str) -> None:
    """A scheduler of this owner lives."""
    session.run("recurring.seen", owner=owner)


def settle(session: Session) -> int:
    """Note how the jobs of runs have ended, for when those are deleted; how many."""
    return session.run("recurring.settle")


def abandon(session: Session, period: float) -> int:
    """Take runs without a job that began more than `period` seconds ago and have not ended for failed; how many."""
    now = session.one("insights.now")
    assert now is not None
    return session.run("recurring.abandon", before=now["now_at"] - timedelta(seconds=period))


def prune(session: Session, period: float, batch_size: int) -> int:
    """Forget a batch of runs older than `period` seconds, but the newest of each task; how many."""
    return session.run("recurring.prune", period=float(period), batch_size=batch_size, kept=RUNS_KEPT - 1)


# reading


def find(session: Session, key: str) -> RecurringTask | None:
    """The task of that key, which nobody else changes until the end of the transaction."""
    row = session.one("recurring.find", key=key)
    return None if row is None else task_of(row)


def get(session: Session, key: str) -> RecurringTask:
    """As `find`; raises UnknownId."""
    known = find(session, key)
    if known is None:
        raise UnknownId(f"there is no recurring task {key}; `queuectl recurring list` shows what there is")
    return known


def listed(session: Session) -> list[Listed]:
    """Every task with its last run, by key."""
    now = session.one("insights.now")
    assert now is not None
    rows = session.all("recurring.list", attended=now["now_at"] - timedelta(seconds=ATTENDED))
    return [
        Listed(task_of(row), row["attending"], None if row["run_at"] is None else _run(session, row)) for row in rows
    ]


def owners(session: Session, key: str) -> dict[str, datetime]:
    """Who lists a task of files, and when each was last heard of."""
    return {row["owner"]: row["seen_at"] for row in session.all("recurring.owners", key=key)}


def runs(session: Session, key: str, limit: int) -> list[Run]:
    """The last runs of a task, newest first."""
    return [_run(session, row) for row in session.all("recurring.runs", key=key, limit=limit)]


def _run(session: Session, row: Row) -> Run:
    outcome = row["outcome"]
    if outcome is None:
        state = session.one("insights.state", id=row["job_id"]) if row["job_id"] is not None else None
        outcome = "cleared" if state is None else state["state"]
    return Run(
        run_at=row["run_at"],
        started_at=row["started_at"],
        job_id=row["job_id"],
        manual=bool(row["manual"]),
        outcome=outcome,
        message=row["message"],
        finished_at=row["finished_at"],
    )


_SETTINGS = tuple(RecurringTaskSettings.__dataclass_fields__)


def task_of(row: Mapping[str, Any]) -> RecurringTask:
    """The task of a row."""
    settings = RecurringTaskSettings(**{name: row[name] for name in _SETTINGS})
    return RecurringTask(
        replace(settings, enabled=bool(row["enabled"])),
        cast(Literal["file", "dynamic"], row["source"]),
        **{
            name: row[name]
            for name in ("version", "paused_at", "next_run_at", "due_at", "last_run_at", "asked_at", "problem", "held")
        },
    )
