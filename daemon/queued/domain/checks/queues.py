"""Checks of what waits: queues, scheduled jobs, limits, failures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from shlex import quote

from queued.domain.checks.verdict import Verdict, few
from queued.domain.insights import OVERDUE, Count, QueueInfo

#: Seconds: a ready job waits so long only where there are too few workers; a pause so long may have been forgotten.
LONG_WAIT, LONG_PAUSE = 300.0, 86_400.0


def served(queues: Sequence[QueueInfo]) -> Verdict:
    """Every queue that holds ready jobs has a living worker, or was paused on purpose."""
    looked = f"{len(queues)} queues and the lists of living workers"
    lost = [queue for queue in queues if queue.ready.value and not queue.workers and queue.paused_at is None]
    if lost:
        told = [f"{queue.name} with {queue.ready.of_jobs('ready')}" for queue in lost]
        advice = "add them to a worker's queues: in queue.yml and reload; or start the daemon"
        return Verdict("queues.served", "problem", looked, f"no living worker serves {few(told)}", advice)
    return Verdict("queues.served", "ok", looked, "every queue with ready jobs is served")


def latency(queues: Sequence[QueueInfo]) -> Verdict:
    """Ready jobs do not wait long."""
    looked = "how long the oldest ready job of each queue has waited"
    slow = [queue for queue in queues if queue.workers and queue.paused_at is None and (queue.latency or 0) > LONG_WAIT]
    if slow:
        told = [f"{queue.name} for {(queue.latency or 0) / 60:.0f} min ({queue.ready.of_jobs()})" for queue in slow]
        advice = "more threads or processes in queue.yml; queuectl stats tells which class takes the time"
        return Verdict("queues.latency", "warning", looked, few(told), advice)
    longest = max((queue.latency or 0 for queue in queues), default=0.0)
    return Verdict("queues.latency", "ok", looked, f"{longest:.0f} s at most" if longest else "nothing waits")


def paused(queues: Sequence[QueueInfo], now: datetime) -> Verdict:
    """No queue has been forgotten in a pause."""
    looked = "paused queues"
    held = [queue for queue in queues if queue.paused_at is not None]
    long = [
        one for one in held if one.paused_at and (now - one.paused_at).total_seconds() > LONG_PAUSE and one.ready.value
    ]
    if long:
        told = [f"{one.name} with {one.ready.of_jobs('ready')}" for one in long]
        advice = f"if nobody needs the pause any more: queuectl queues resume {quote(long[0].name)}"
        return Verdict("queues.paused", "warning", looked, f"for more than a day: {few(told)}", advice)
    return Verdict("queues.paused", "ok", looked, few([queue.name for queue in held]) or "none")


def dispatched(due_at: datetime | None, now: datetime) -> Verdict:
    """Scheduled jobs become ready when they are due."""
    looked = "scheduled jobs that are due"
    late = (now - due_at).total_seconds() if due_at is not None else 0.0
    if late > OVERDUE:
        advice = "a dispatcher must run (dispatchers: in queue.yml); if one does, see its log"
        return Verdict("queues.dispatched", "problem", looked, f"the longest is due for {late:.0f} s", advice)
    return Verdict("queues.dispatched", "ok", looked, "none waits for a dispatcher")


def limits(free: Sequence[str], waiting: Count) -> Verdict:
    """No job waits for a slot of a limit that has one free."""
    looked = f"{waiting.of_jobs('blocked')} and the slots of their limits"
    if free:
        advice = "a living dispatcher lets them in within a minute; if they stay, report it with the log of that minute"
        return Verdict("queues.limits", "problem", looked, f"free slots and jobs that wait: {few(list(free))}", advice)
    return Verdict(
        "queues.limits", "ok", looked, "every line waits for a slot that is taken" if waiting.value else "no line"
    )


def failures(last_hour: Count, total: Count) -> Verdict:
    """Few jobs fail."""
    looked = "failed jobs"
    if last_hour.value:
        found = f"{last_hour} in the last hour, {total} in all"
        return Verdict("queues.failures", "warning", looked, found, "queuectl errors tells them apart by cause")
    return Verdict("queues.failures", "ok", looked, f"none in the last hour, {total} in all")
