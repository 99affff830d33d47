"""How many jobs a worker may hold beyond those it runs: what fits into a tenth of a second and into some memory.

Short jobs then flow in batches, and neither long nor large ones are hoarded: a slow job, or a claim of large ones, pulls the
measure up at once, quick and small ones bring it down slowly. The first jobs count as what they are: without that a worker
fetched the first seven one by one, at 1 to 2 ms each.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Seconds of work that may wait in a runner.
HORIZON = 0.1
#: Most jobs that may wait in a runner, however short they are.
MOST = 1500
#: Characters of arguments, options and steps that may wait in a runner, and bytes of arguments that one claim may bring. Worker and
#: runner have each job in memory three to five times: as it was read, in the frame, and taken apart.
WEIGHT = 8 * 1024 * 1024
#: Most that may wait after a claim that found less than it asked for: what comes after a pause may be of another kind, and larger.
FIRST = 100


def fitting(weights: Iterable[int], starting: int) -> int:
    """How many of the jobs that were found are taken in: `starting` of them, or one, and those after them as long as all fit."""
    total = 0
    count = 0
    for weight in weights:
        total += weight
        if total > WEIGHT and count >= max(starting, 1):
            break
        count += 1
    return count


class Pace:
    """The length of a worker's recent jobs, in seconds, and their weight, in characters."""

    def __init__(self) -> None:
        self._mean = HORIZON
        self._weight = 0.0
        self._trusted = FIRST
        self._seen = 0

    def observe(self, duration: float) -> None:
        """A job took this long."""
        self._seen += 1
        share = 0.5 if duration > self._mean else max(0.1, 1 / self._seen)
        self._mean += (duration - self._mean) * share

    def claimed(self, asked: int, found: int, characters: int) -> None:
        """A claim that asked for so many jobs found so many, of so many characters together."""
        self._trusted = self._trusted + found if found >= asked else FIRST
        if found:
            mean = characters / found
            self._weight = max(mean, self._weight + (mean - self._weight) * 0.1)

    def reset(self) -> None:
        """Jobs waited too long after all: start again from nothing."""
        self._mean = HORIZON
        self._seen = 0

    def allowance(self, capacity: int) -> int:
        """How many jobs may wait beside `capacity` running ones. Grows with experience: twice what was seen, at most."""
        fitting = int(capacity * HORIZON / max(self._mean, 1e-6))
        light = int(WEIGHT / max(self._weight, 1.0))
        # One that barely fits is not worth holding: another worker could start it now.
        return min(MOST, self._seen * 2, self._trusted, fitting, light) if fitting > capacity else 0
