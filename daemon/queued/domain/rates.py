"""Rate limits: at most so many jobs of a key become ready in any period of a length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `starts` jobs of `key` in any `period` (seconds)."""

    key: str
    starts: int
    period: float


def turn(turns: Sequence[float], starts: int, period: float, now: float) -> float:
    """The moment of the next turn; `turns` are the latest ones given, in order.

    Not before now, not before a turn that was given already, and a period after the turn `starts` places back: so no window of that
    length holds more.
    """
    moment = max(now, turns[-1]) if turns else now
    return max(moment, turns[-starts] + period) if len(turns) >= starts else moment
