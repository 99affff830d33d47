"""What the clock on the wall does: where it jumps forward, and where it shows the same hour twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the clock: at `moment` (UTC) it would have shown `before` and shows `after` instead."""

    moment: datetime
    before: datetime
    after: datetime

    @property
    def forward(self) -> bool:
        """True when wall times are skipped, false when they are shown twice."""
        return self.after > self.before

    @property
    def low(self) -> datetime:
        """The first wall time that is skipped or shown twice."""
        return min(self.before, self.after)

    @property
    def high(self) -> datetime:
        """The first wall time that is shown once again."""
        return max(self.before, self.after)


def offset_of(wall: datetime, zone: tzinfo, fold: int = 0) -> timedelta:
    """What the zone is ahead of UTC when the wall shows this; `fold` 1 asks for the second time it shows it."""
    return wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta()


def moment_of(wall: datetime, zone: tzinfo, fold: int = 0) -> datetime:
    """The UTC moment at which the wall shows this time."""
    return (wall - offset_of(wall, zone, fold)).replace(tzinfo=timezone.utc)


def shift_at(wall: datetime, zone: tzinfo) -> Shift | None:
    """The change of the clock that skips or repeats this wall time, or None on every other day of the year."""
    old, new = offset_of(wall, zone, 0), offset_of(wall, zone, 1)
    if old == new:
        return None
    # PEP 495: fold 0 is the offset before the change, fold 1 the one after it, for skipped and repeated times alike.
    # zoneinfo does not tell when the change is, so halve the span that must hold it until one second is left.
    early = (wall - max(old, new)).replace(microsecond=0, tzinfo=timezone.utc)
    late = early + abs(new - old)
    while late - early > SECOND:
        middle = early + (late - early) // SECOND // 2 * SECOND
        if middle.astimezone(zone).utcoffset() == old:
            early = middle
        else:
            late = middle
    naive = late.replace(tzinfo=None)
    return Shift(late, naive + old, naive + new)
