"""A database that is away or full: back off, say so once, say once that it is back.

A full one still answers questions, and takes a beat now and then: it counts as back when nothing has failed for a while.
"""

from __future__ import annotations

import random
import time
from typing import Any, Literal

from queued.domain.errors import DatabaseFull, DatabaseMisconfigured, DatabaseUnavailable
from queued.telemetry import emit

#: What an actor that has work in hand waits out. A refusal, too: a right that was taken away, a file made read-only; ending
#: would forget how jobs ended that are not stored yet.
AWAY = (DatabaseUnavailable, DatabaseMisconfigured)

#: Seconds: the first wait, and the longest.
SHORTEST, LONGEST = 0.1, 5.0
#: Seconds without a failure after which a full disk counts as having room: twice the longest wait between two attempts.
QUIET = 10.0


def delay(failures: int, jitter: float) -> float:
    """Seconds before the next attempt after so many failures in a row; `jitter` (0 to 1) spreads actors over half of it."""
    return float(min(SHORTEST * 2.0 ** min(failures - 1, 10), LONGEST)) * (1.0 - jitter / 2)


class Outage:
    """What one actor knows of its database being away."""

    def __init__(self, **facts: Any) -> None:
        self._facts = facts
        self._failures = 0
        self._since = self._failed_at = 0.0
        self._told: Literal["lost", "full"] | None = None
        #: What the last attempt failed with; None when it is over, and has been told so.
        self.error: str | None = None

    @property
    def going_on(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def failed(self, error: Exception) -> float:
        """The database could not be reached: the seconds to wait before the next attempt."""
        self._failures += 1
        self.error = str(error)
        self._failed_at = time.monotonic()
        kind: Literal["lost", "full"] = "full" if isinstance(error, DatabaseFull) else "lost"
        if self._told is None:
            self._since = self._failed_at
        if self._told is None or (kind, self._told) == ("full", "lost"):
            self._told = kind
            emit(f"database_{kind}", error=str(error), **self._facts)
        return delay(self._failures, random.random())

    def succeeded(self) -> None:
        """The database answered."""
        self._failures = 0
        if self._told is None:
            return
        now = time.monotonic()
        if self._told == "full" and now - self._failed_at < QUIET:
            return
        emit(
            "database_back" if self._told == "lost" else "database_room",
            seconds=round(now - self._since, 1),
            **self._facts,
        )
        self._told = self.error = None
