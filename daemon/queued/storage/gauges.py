"""What monitoring asks of the database: some fifteen statements, each bounded whatever is stored."""

from __future__ import annotations

from queued.domain.gauges import COUNT_BUDGET, COUNT_CAP, Sample, Sizes, TaskGauge
from queued.domain.insights import ALIVE_THRESHOLD, Count, Overview, QueueInfo
from queued.storage import insights, recurring
from queued.storage.insights import Gone
from queued.storage.session import Session

#: Recurring tasks looked at.
MOST_TASKS = 1_000
#: The tables whose size is told: those that grow, or bloat.
TABLES = (
    "jobs", "ready", "scheduled", "claimed", "blocked", "failed", "finished", "attempts", "checkpoints", "batches",
    "batch_jobs", "limits", "slots", "job_limits", "recurring_runs", "processes",
)  # fmt: skip


def read(
    session: Session, threshold: float = ALIVE_THRESHOLD, cap: int = COUNT_CAP, gone: Gone = insights.unknown
) -> Sample:
    """The database at this moment, without its sizes. Each part is read for itself: between two of them jobs move."""
    clock = insights.now(session)
    processes = insights.processes(session, threshold, gone)
    queues = insights.queues(session, processes, cap, COUNT_BUDGET)
    registered = {process.id for process in processes}
    held = session.all("insights.claimed_by_process", cap=cap + 1)
    blocked = session.one("gauges.oldest_blocked")
    enqueued = session.one("gauges.enqueued")
    counts = {state: _sum(queues, state) for state in ("ready", "scheduled", "blocked", "failed")}
    running = sum(queue.running for queue in queues)
    due = insights.oldest_due(session, clock)
    return Sample(
        overview=Overview(
            now=clock,
            running=Count(running, running > cap),
            last_hour={},
            oldest_ready_at=min((queue.oldest_ready_at for queue in queues if queue.oldest_ready_at), default=None),
            queues=queues,
            processes=processes,
            oldest_due_at=due,
            free=None,
            **counts,
        ),
        capped=frozenset(state for state, count in counts.items() if count.capped),
        longest_running={
            row["queue"]: max(0.0, (clock - row["begun_at"]).total_seconds())
            for row in session.all("gauges.running_since", cap=cap)
        },
        scheduled_lag=max(0.0, (clock - due).total_seconds()) if due is not None else 0.0,
        blocked_oldest=max(0.0, (clock - blocked["blocked_at"]).total_seconds()) if blocked is not None else 0.0,
        orphaned=sum(row["n"] for row in held if row["process_id"] not in registered),
        enqueued=int(enqueued["number"] or 0) if enqueued is not None else 0,
        tasks=_tasks(session),
    )


def sizes(session: Session) -> Sizes:
    """How large it is. Cheap, but it asks the file system: some minutes' rest between two calls are well spent."""
    if session.dialect == "sqlite":
        row = session.one("gauges.sizes", tables=list(TABLES))
        assert row is not None
        return Sizes(int(row["bytes"]))
    tables = {
        row["name"]: (int(row["bytes"]), int(row["dead"] or 0))
        for row in session.all("gauges.sizes", tables=list(TABLES))
    }
    return Sizes(sum(size for size, _ in tables.values()), tables)


def _sum(queues: tuple[QueueInfo, ...], state: str) -> Count:
    counts: list[Count] = [getattr(queue, state) for queue in queues]
    return Count(sum(count.value for count in counts), any(count.capped for count in counts))


def _tasks(session: Session) -> tuple[TaskGauge, ...]:
    gauges = []
    for row in session.all("gauges.tasks", cap=MOST_TASKS):
        task = recurring.task_of(row)
        runs = task.settings.enabled and task.paused_at is None and task.problem is None
        gauges.append(TaskGauge(task.settings, runs, row["enqueued_at"], row["succeeded_at"], task.next_run_at))
    return tuple(gauges)
