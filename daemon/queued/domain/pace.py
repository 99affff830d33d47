"""How many jobs a worker may hold beyond those it runs: what fits into a tenth of a second, by the measured length of its jobs.

Short jobs then flow in batches and long ones are never hoarded: a slow job pulls the measure up at once, quick ones bring it
down slowly.
"""

from __future__ import annotations

#: Seconds of work that may wait in a runner.
HORIZON = 0.1
#: Most jobs that may wait in a runner, however short they are.
MOST = 1500


class Pace:
    """The length of a worker's recent jobs, in seconds."""

    def __init__(self) -> None:
        self._mean = HORIZON
        self._seen = 0

    def observe(self, duration: float) -> None:
        """A job took this long."""
        share = 0.5 if duration > self._mean else 0.1
        self._mean += (duration - self._mean) * share
        self._seen += 1

    def reset(self) -> None:
        """Jobs waited too long after all: start again from nothing."""
        self._mean = HORIZON
        self._seen = 0

    def allowance(self, capacity: int) -> int:
        """How many jobs may wait beside `capacity` running ones. Grows with experience: twice what was seen, at most."""
        fitting = int(capacity * HORIZON / max(self._mean, 1e-6))
        # One that barely fits is not worth holding: another worker could start it now.
        return min(MOST, self._seen * 2, fitting) if fitting > capacity else 0
