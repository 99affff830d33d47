"""Which runs of a recurring task are due, what becomes of those that were missed, and how much each is delayed on purpose.

All of it is arithmetic on moments that the caller gives, so that every host decides alike.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import Literal

from queued.domain.schedule.schedule import Schedule

#: What becomes of missed runs: they are left out, the last of them is made up, or all of them are.
MisfirePolicy = Literal["skip", "once", "all"]
POLICIES: tuple[MisfirePolicy, ...] = ("skip", "once", "all")

#: Seconds by which a run may be late and still counts as on time. A scheduler looks every few seconds, not in every one.
GRACE = 60.0


def due_between(
    schedule: Schedule,
    since: datetime,
    until: datetime,
    policy: MisfirePolicy,
    limit: int,
    grace: float = GRACE,
) -> list[datetime]:
    """The runs to enqueue now, oldest first, at most `limit`: those after `since` up to and including `until`.

    `since` is the task's last run, or the moment it was first known; `until` is now. A run is missed when it is more than
    `grace` seconds old. `skip` leaves missed runs out; `once` makes up the newest of them, unless a run is on time anyway;
    `all` makes up every one, the oldest first, so that the next call goes on where the limit cut. A clock that was set
    back makes `since` lie after `until`, and then nothing is due: what ran does not run again.
    """
    if since >= until or limit < 1:
        return []
    if policy == "all":
        return schedule.between(since, until, limit)
    # A run of exactly `grace` seconds ago is on time; runs are on whole seconds, so a microsecond tells them apart.
    missed_until = until - timedelta(seconds=grace, microseconds=1)
    on_time = schedule.between(max(since, missed_until), until, limit)
    if on_time or policy == "skip":
        return on_time
    last = schedule.previous_before(until)
    return [last] if last is not None and last > since else []


def jitter_of(key: str, moment: datetime, jitter_seconds: float) -> float:
    """Seconds by which this run of the task is delayed: from 0 up to, not including, `jitter_seconds`.

    It follows from the task's key and the run's moment alone: the same on every host and in every release of Python,
    different from task to task and from run to run. The run keeps its own moment as its name; only its start is later.
    """
    if jitter_seconds <= 0:
        return 0.0
    name = f"{key}\0{moment.astimezone(timezone.utc).isoformat()}".encode("utf-8", "surrogatepass")
    share = int.from_bytes(blake2b(name, digest_size=6).digest(), "big") / 2**48
    return share * jitter_seconds
