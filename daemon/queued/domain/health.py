"""Is it alive, has it started, can it work, is the whole healthy: four questions, answered from what is known.

`live` asks whether this daemon's own loop turns, and nothing of the database: a blip there must not have every host's
daemon killed. `ready` asks whether this daemon can do its work. `healthy` is the verdict of `queuectl status` on the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from queued.domain.gauges import target_of
from queued.domain.insights import Overview, diagnose

#: Seconds that the supervisor's loop may pause. It turns once a second; but a database that hangs, without refusing, holds it up
#: for the 25 s after which a statement or a dead connection is given up, and that is no reason to kill it.
LONGEST_PAUSE = 45.0
#: Readings of the database that may fail or be late before it counts as away.
MISSED_READINGS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, and why when it is no. `last_heartbeat` is the newest of the processes looked at, if known."""

    ok: bool
    reasons: tuple[str, ...] = ()
    last_heartbeat: datetime | None = None


def live(pause: float | None) -> Verdict:
    """Whether the daemon's loop turns, by the seconds since it did; None when that cannot be told."""
    if pause is not None and pause > LONGEST_PAUSE:
        return Verdict(False, (f"the supervisor has not moved for {pause:.0f} s",))
    return Verdict(True)


def reachable(age: float | None, interval: float, error: str | None) -> Verdict:
    """Whether the database has answered lately; `age` is the seconds since, None before the first time."""
    if age is None:
        return Verdict(False, (f"the database has not been read yet{f': {error}' if error else ''}",))
    if age > MISSED_READINGS * interval:
        return Verdict(False, (f"the database has not answered for {age:.0f} s{f': {error}' if error else ''}",))
    return Verdict(True)


def complete(overview: Overview, supervisor: str | None, expected: Mapping[str, int]) -> Verdict:
    """Whether every actor that the configuration asks for is registered and alive, and the application is loaded."""
    reasons = []
    for process in overview.processes:
        if process.name == supervisor and process.application is not None:
            state, error = process.application
            if state != "RUNNING":
                reasons.append(f"the application is {state}{f': {error}' if error else ''}")
    for kind, wanted in expected.items():
        alive = sum(
            process.alive and process.kind == kind and process.supervisor == supervisor
            for process in overview.processes
        )
        if alive < wanted:
            reasons.append(f"{alive} of {wanted} {kind}s are up")
    own = [process for process in overview.processes if supervisor in {process.name, process.supervisor}]
    return Verdict(not reasons, tuple(reasons), max((process.last_heartbeat_at for process in own), default=None))


def whole(overview: Overview, targets: Mapping[str, float]) -> Verdict:
    """The whole system: what keeps jobs from running, and queues over their target. Paused queues wait because somebody said so."""
    reasons = [finding.text for finding in diagnose(overview) if finding.severity == "problem"]
    for queue in overview.queues:
        target = target_of(targets, queue.name)
        if target is not None and queue.latency is not None and queue.latency > target and queue.paused_at is None:
            reasons.append(
                f"queue {queue.name}: the oldest ready job has waited {queue.latency:.0f} s, more than the {target:g} s promised"
            )
    last = max((process.last_heartbeat_at for process in overview.processes), default=None)
    return Verdict(not reasons, tuple(reasons), last)


def both(first: Verdict, second: Verdict) -> Verdict:
    """Yes when both are."""
    return Verdict(
        first.ok and second.ok, first.reasons + second.reasons, second.last_heartbeat or first.last_heartbeat
    )


def as_json(verdict: Verdict) -> dict[str, object]:
    """The documented object of a verdict: what /health and the like answer, and `queuectl status --check --json`."""
    last = verdict.last_heartbeat
    return {
        "healthy": verdict.ok,
        "last_heartbeat": None if last is None else last.astimezone(timezone.utc).isoformat().replace("+00:00", "Z"),
        "reasons": list(verdict.reasons),
    }
