"""A database that is away: back off, say so once, say once that it is back."""

from __future__ import annotations

import random
import time
from typing import Any

from queued.domain.errors import DatabaseMisconfigured, DatabaseUnavailable
from queued.telemetry import emit

#: What an actor that has work in hand waits out. A refusal, too: a right that was taken away, a file made read-only; ending
#: would forget how jobs ended that are not stored yet.
AWAY = (DatabaseUnavailable, DatabaseMisconfigured)

#: Seconds: the first wait, and the longest.
SHORTEST, LONGEST = 0.1, 5.0


def delay(failures: int, jitter: float) -> float:
    """Seconds before the next attempt after so many failures in a row; `jitter` (0 to 1) spreads actors over half of it."""
    return float(min(SHORTEST * 2.0 ** min(failures - 1, 10), LONGEST)) * (1.0 - jitter / 2)


class Outage:
    """What one actor knows of its database being away."""

    def __init__(self, **facts: Any) -> None:
        self._facts = facts
        self._failures = 0
        self._since = 0.0
        #: What the last attempt failed with; None after one that succeeded.
        self.error: str | None = None

    @property
    def going_on(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def failed(self, error: Exception) -> float:
        """The database could not be reached: the seconds to wait before the next attempt."""
        self._failures += 1
        self.error = str(error)
        if self._failures == 1:
            self._since = time.monotonic()
            emit("database_lost", error=str(error), **self._facts)
        return delay(self._failures, random.random())

    def succeeded(self) -> None:
        """The database answered."""
        if self._failures:
            emit("database_back", seconds=round(time.monotonic() - self._since, 1), **self._facts)
            self._failures = 0
            self.error = None
