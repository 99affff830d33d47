"""What an operator reads: one job, queues, processes, and the overview. Lists of jobs are found by `queued.storage.search`.

No read here grows with the number of stored jobs: counts stop at a cap.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from queued.domain.batches import joined
from queued.domain.errors import DatabaseUnavailable, UnknownId
from queued.domain.insights import (
    ALIVE_THRESHOLD,
    COUNT_CAP,
    Attempt,
    Backlog,
    Count,
    Interruptions,
    JobDetail,
    LimitInfo,
    Lock,
    Overview,
    ProcessInfo,
    Progress,
    QueueInfo,
    RateInfo,
    Steps,
    UniqueInfo,
    serves,
)
from queued.domain.jobs import Failure, parse_options
from queued.storage.session import Row, Session

#: Whether a process of that pid and identity has certainly ended.
Gone = Callable[[int, str], bool]
#: Lanes (queue and priority) looked at for the oldest ready job.
LANES = 1_000
#: The most ready jobs that a status line counts: 1 ms on either database.
BACKLOG_CAP = 10_000
#: Holders of a key that are named.
FEW = 5
#: Ready jobs of each queue that are counted whatever the budget.
FAIR_SHARE = 1_000


def unknown(pid: int, identity: str) -> bool:
    """Of processes elsewhere nothing is known but what they tell."""
    return False


def now(session: Session) -> datetime:
    """The database's clock."""
    row = session.one("insights.now")
    assert row is not None
    return cast(datetime, row["now_at"])


def schema(session: Session) -> str:
    """The name of the newest migration applied."""
    rows = session.all("migrations.applied")
    return str(rows[-1]["name"]) if rows else "none"


# one job


def job(session: Session, job_id: int, threshold: float = ALIVE_THRESHOLD) -> JobDetail:
    """Everything known of one job. Raises UnknownId."""
    row, place = _locate(session, job_id)
    attempts = tuple(_attempt(attempt) for attempt in session.all("insights.attempts", id=job_id))
    queue = session.one("insights.queue", queue=place["queue"])
    process = None
    holder = row["process_id"] if place["state"] == "running" else row["end_process_id"]
    if holder is not None:
        found = session.one("insights.process", id=holder)
        process = _process(found, threshold) if found is not None else None
    return JobDetail(
        id=job_id,
        class_name=row["class_name"],
        arguments=row["arguments"],
        options=row["options"],
        enqueued_at=row["enqueued_at"],
        now=row["now_at"],
        run_at=row["due_at"] or row["run_at"],
        claimed_at=row["claimed_at"],
        started_at=row["started_at"] or row["end_started_at"],
        cancel_at=row["cancel_at"],
        failed_at=row["failed_at"],
        finished_at=row["finished_at"],
        process=process,
        queue_paused_at=queue["paused_at"] if queue is not None else None,
        failure=_failure(row, attempts),
        attempts=attempts,
        dispatched=place["state"] != "scheduled" or _has_dispatcher(session, threshold),
        blocked_at=row["blocked_at"],
        limits=_limits(session, job_id),
        ahead=_ahead(session, job_id) if place["state"] == "blocked" else None,
        interruptions=_interruptions(session, job_id),
        task=_task(session, job_id),
        **_ties(session, job_id, row["options"]),
        **_checkpoint(session, job_id),
        **place,
    )


def _checkpoint(session: Session, job_id: int) -> dict[str, Any]:
    row = session.one("insights.checkpoint", id=job_id)
    if row is None:
        return {}
    progress = Progress(row["done"], row["total"], row["message"]) if row["done"] is not None else None
    return {"steps": _steps(row["steps"]), "progress": progress, "saved_at": row["saved_at"]}


def _task(session: Session, job_id: int) -> str | None:
    row = session.one("insights.task", id=job_id)
    return None if row is None else row["task_key"]


def _steps(text: str | None) -> Steps | None:
    if text is None:
        return None
    told = json.loads(text)
    return Steps(tuple(name for name, _ in told["finished"]), told["step"], told["cursor"])


def _has_dispatcher(session: Session, threshold: float) -> bool:
    known = (_process(row, threshold) for row in session.all("insights.processes"))
    return any(process.alive and process.kind == "dispatcher" for process in known)


def _limits(session: Session, job_id: int) -> tuple[LimitInfo, ...]:
    listed = []
    for row in session.all("insights.limits_of", id=job_id):
        holders = [holder["job_id"] for holder in session.all("insights.holders", key=row["key"], few=FEW)]
        listed.append(
            LimitInfo(
                key=row["key"],
                capacity=row["capacity"],
                held=row["held"],
                holders=tuple(holders),
                waited_for=bool(row["is_waited_for"]),
                on_conflict=row["on_conflict"],
                duration=row["duration"],
            )
        )
    return tuple(listed)


def _ties(session: Session, job_id: int, options: str | None) -> dict[str, Any]:
    """What side tables know of the job, and its batch, which it keeps knowing when it has ended."""
    unique, rate = session.one("insights.unique_of", id=job_id), session.one("insights.rate_of", id=job_id)
    expiry, member = session.one("insights.expiry_of", id=job_id), session.one("batches.of_job", id=job_id)
    return {
        "unique": UniqueInfo(unique["key"], unique["until"], unique["holder"], unique["expires_at"])
        if unique
        else None,
        "rate": RateInfo(rate["key"], rate["starts"], rate["period"], bool(rate["has_turn"])) if rate else None,
        "expires_at": expiry["expires_at"] if expiry else None,
        "batch": member["batch_id"] if member else joined(parse_options(options, json.loads).get("batch")),
        "batch_open": member is not None,
    }


def _interruptions(session: Session, job_id: int) -> Interruptions | None:
    row = session.one("insights.interruptions", id=job_id)
    if row is None:
        return None
    return Interruptions(
        row["times"], row["reason"], row["attempt"], row["hostname"], row["process_name"], row["interrupted_at"]
    )


def _ahead(session: Session, job_id: int) -> Count:
    return _count(session, "insights.ahead_of", id=job_id)


def _failure(row: Row, attempts: tuple[Attempt, ...]) -> Failure | None:
    if row["error_class"] is not None:
        return Failure(row["error_class"], row["message"], tuple(row["backtrace"].splitlines()))
    last = attempts[-1] if attempts else None
    return Failure(last.error_class, last.message, last.backtrace) if last is not None else None


def _locate(session: Session, job_id: int) -> tuple[Row, dict[str, Any]]:
    """A job's row, and its state, queue, priority and attempt from the one table that holds it.

    A worker may take a ready job between the two statements that look for it; then it is looked for again.
    """
    for _ in range(3):
        row = session.one("insights.job", id=job_id)
        if row is None:
            raise UnknownId(
                f"there is no job {job_id}; jobs are deleted some time after their end, or with it (`retention` in queue.yml)"
            )
        place = _place(session, row)
        if place is not None:
            return row, place
    raise DatabaseUnavailable(f"job {job_id} moves faster than it can be read; ask again")


def _place(session: Session, row: Row) -> dict[str, Any] | None:
    if row["end_state"] is not None:
        return {
            "state": row["end_state"],
            "queue": row["queue"],
            "priority": row["priority"],
            "attempt": row["end_attempt"],
        }
    for state, prefix in (("running", "claimed"), ("scheduled", "scheduled"), ("blocked", "blocked")):
        if row[f"{prefix}_attempt"] is not None:
            columns = ("queue", "priority", "attempt")
            return {"state": state, **{column: row[f"{prefix}_{column}"] for column in columns}}
    if row["failed_attempt"] is not None:
        return {
            "state": "failed",
            "queue": row["failed_queue"],
            "priority": row["priority"],
            "attempt": row["failed_attempt"],
        }
    lane = {"queue": row["queue"], "priority": row["priority"]}
    ready = session.one("insights.ready_in_lane", id=row["id"], **lane) or session.one(
        "insights.ready_anywhere", id=row["id"]
    )
    return {"state": "ready", **ready} if ready is not None else None


def _attempt(row: Row) -> Attempt:
    return Attempt(
        attempt=row["attempt"],
        error_class=row["error_class"],
        message=row["message"],
        backtrace=tuple(row["backtrace"].splitlines()),
        hostname=row["hostname"],
        process_name=row["process_name"],
        policy=row["policy"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        counted=bool(row["counted"]),
    )


# processes


def processes(session: Session, threshold: float = ALIVE_THRESHOLD, gone: Gone = unknown) -> tuple[ProcessInfo, ...]:
    """Every registered process, each with the number of jobs it holds and runs in its metadata.

    `gone` tells from the pid and the identity whether a process has certainly ended, as far as the caller can see.
    """
    held = {row["process_id"]: row for row in session.all("insights.claimed_by_process", cap=COUNT_CAP + 1)}
    listed = []
    for row in session.all("insights.processes"):
        jobs = held.get(row["id"])
        counts = {"claimed": jobs["n"] if jobs else 0, "running": jobs["started"] if jobs else 0}
        found = _process(row, threshold, counts if row["kind"] == "worker" or jobs else {})
        listed.append(replace(found, alive=False, gone=True) if gone(row["pid"], row["identity"]) else found)
    return tuple(listed)


def _process(row: Row, threshold: float, counts: dict[str, int] | None = None) -> ProcessInfo:
    age = max(0.0, (row["now_at"] - row["last_heartbeat_at"]).total_seconds())
    try:
        metadata = json.loads(row["metadata"] or "{}")
    except ValueError:
        metadata = {}
    # A supervisor's kind tells its mode too: Supervisor(fork).
    kind, _, mode = str(row["kind"]).partition("(")
    told = {**({"mode": mode.rstrip(")")} if mode else {}), **(metadata if isinstance(metadata, dict) else {})}
    return ProcessInfo(
        id=row["id"],
        name=row["name"],
        kind=kind.lower(),
        supervisor=row["supervisor"],
        pid=row["pid"],
        hostname=row["hostname"],
        started_at=row["started_at"],
        last_heartbeat_at=row["last_heartbeat_at"],
        heartbeat_age=age,
        alive=age < threshold,
        metadata={**told, **(counts or {})},
    )


# queues and the whole


def queues(
    session: Session, known: tuple[ProcessInfo, ...] | None = None, cap: int | None = None, budget: int | None = None
) -> tuple[QueueInfo, ...]:
    """Every queue that holds an unfinished job, or that a worker has seen, or that somebody has paused.

    `known` are the processes, when the caller has read them already. Counts stop at `cap` rows, else at `COUNT_CAP`; those of
    ready jobs share a `budget` of rows, where one is given, of which each queue has `FAIR_SHARE` at least.
    """
    if known is None:
        known = processes(session)
    serving = [process.metadata.get("queues") for process in known if process.alive and process.kind == "worker"]
    clock = now(session)
    paused = {row["name"]: row["paused_at"] for row in session.all("insights.queues")}
    scheduled = _by_queue(session, "insights.scheduled_by_queue", cap)
    blocked = _by_queue(session, "insights.blocked_by_queue", cap)
    running = _by_queue(session, "insights.claimed_by_queue", cap)
    failed = _by_queue(session, "insights.failed_by_queue", cap)
    oldest = _oldest(session)
    most = cap
    if budget is not None:
        most = min(COUNT_CAP if cap is None else cap, max(FAIR_SHARE, budget // max(1, len(oldest))))
    listed = []
    for name in sorted({*paused, *scheduled, *blocked, *running, *failed, *oldest}):
        ready = _count(session, "insights.count_ready_in", most, queue=name) if name in oldest else Count(0)
        ready_at = oldest[name] if ready.value else None
        listed.append(
            QueueInfo(
                name=name,
                paused_at=paused.get(name),
                ready=ready,
                scheduled=scheduled.get(name, Count(0)),
                blocked=blocked.get(name, Count(0)),
                running=running.get(name, Count(0)).value,
                failed=failed.get(name, Count(0)),
                oldest_ready_at=ready_at,
                latency=max(0.0, (clock - ready_at).total_seconds()) if ready_at is not None else None,
                workers=sum(serves(told, name) for told in serving),
            )
        )
    return tuple(listed)


def knows_queue(session: Session, queue: str) -> bool:
    """Whether the queue holds an unfinished job, a worker has seen it, or somebody has paused it before."""
    return any(queue == info.name for info in queues(session, ()))


def _by_queue(session: Session, statement: str, cap: int | None) -> dict[str, Count]:
    """The counts of one table by queue; when the whole table passes the cap, every count may be more than it says."""
    most = COUNT_CAP if cap is None else cap
    counted = {row["queue"]: row["n"] for row in session.all(statement, cap=most + 1)}
    capped = sum(counted.values()) > most
    return {queue: Count(n, capped) for queue, n in counted.items()}


def _oldest(session: Session) -> dict[str, datetime]:
    """When the oldest ready job of each queue became ready."""
    oldest: dict[str, datetime] = {}
    for row in session.all("insights.lanes", lanes=LANES):
        known = oldest.get(row["queue"])
        oldest[row["queue"]] = row["ready_at"] if known is None else min(known, row["ready_at"])
    return oldest


def oldest_due(session: Session, clock: datetime) -> datetime | None:
    """Since when the longest due of the scheduled jobs is due; None while none is."""
    row = session.one("insights.longest_due")
    due: datetime | None = row["due_at"] if row is not None else None
    return due if due is not None and due <= clock else None


def overview(session: Session, threshold: float = ALIVE_THRESHOLD, gone: Gone = unknown) -> Overview:
    """The whole system. Each part is read for itself: the figures of a busy system differ by what moved meanwhile."""
    clock = now(session)
    since = clock - timedelta(hours=1)
    known = processes(session, threshold, gone)
    listed = queues(session, known)
    last_hour = ends(session, since)
    return Overview(
        now=clock,
        ready=_count(session, "insights.count_ready"),
        # These were counted by queue, from the same rows.
        scheduled=Count.of(sum(queue.scheduled.value for queue in listed)),
        blocked=Count.of(sum(queue.blocked.value for queue in listed)),
        running=Count.of(sum(queue.running for queue in listed)),
        failed=Count.of(sum(queue.failed.value for queue in listed)),
        last_hour=last_hour,
        oldest_ready_at=min((queue.oldest_ready_at for queue in listed if queue.oldest_ready_at), default=None),
        queues=listed,
        processes=known,
        oldest_due_at=oldest_due(session, clock),
    )


def ends(session: Session, since: datetime) -> dict[str, Count]:
    """How many jobs have ended since then, by how."""
    counted = {state: Count(0) for state in ("finished", "discarded", "cancelled")}
    for row in session.all("insights.count_ends_since", since=since, cap=COUNT_CAP + 1):
        counted[row["state"]] = Count.of(row["n"])
    counted["failed"] = _count(session, "insights.count_failed_since", since=since)
    return counted


def backlog(session: Session) -> Backlog:
    """What is ready, for a line that is read often: counts no more than `BACKLOG_CAP` rows."""
    row = session.one("insights.count_ready", cap=BACKLOG_CAP + 1)
    assert row is not None
    ready = Count.of(row["n"], BACKLOG_CAP)
    heads = session.all("insights.lanes", lanes=LANES) if ready.value else []
    oldest = min((row["ready_at"] for row in heads), default=None)
    waited = (now(session) - oldest).total_seconds() if oldest is not None else None
    return Backlog(ready.value, ready.capped, waited)


def _count(session: Session, statement: str, cap: int | None = None, **params: Any) -> Count:
    row = session.one(statement, cap=(COUNT_CAP if cap is None else cap) + 1, **params)
    assert row is not None
    return Count.of(row["n"]) if cap is None else Count.of(row["n"], cap)


def locks(session: Session, limit: int, after: str = "") -> list[Lock]:
    """Up to `limit` keys of limits, in their order, from the one that follows `after`."""
    rows = session.all("insights.locks", after=after, page=limit, cap=COUNT_CAP + 1)
    return [
        Lock(
            row["key"],
            row["capacity"],
            row["held"],
            tuple(holder["job_id"] for holder in session.all("insights.holders", key=row["key"], few=FEW)),
            Count.of(row["blocked"]),
        )
        for row in rows
    ]
