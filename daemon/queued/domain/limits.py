"""Concurrency limits: at most so many jobs of a key are ready or running at once; the others wait in line.

A key names what must not be done too often at once: an account, a printer, a foreign API. A job may have several.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

OnConflict = Literal["block", "discard"]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `capacity` jobs hold `key`. `duration` (seconds) is kept with the job and decides nothing."""

    key: str
    capacity: int
    duration: float | None = None
    on_conflict: OnConflict = "block"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job in line: it waits for `waits_for`, one of its `keys`, and needs a slot of each of them at the same moment."""

    job_id: int
    priority: int
    waits_for: str
    keys: tuple[str, ...]


@dataclass(slots=True)
class Admission:
    """What becomes of jobs in line. `moved` wait for another of their keys; `unknown` are keys whose room was not told."""

    admitted: list[int] = field(default_factory=list)
    moved: list[tuple[int, str]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)


def admit(candidates: Sequence[Candidate], room: MutableMapping[str, int]) -> Admission:
    """Fill the free slots, smaller priorities first, then the older jobs; `room` is counted down.

    A job that is next in its line but lacks a slot of another key goes over to the line of that one, so that each job in line
    waits for a key that is full: whoever frees a slot finds all who can use it in one line.
    """
    found = Admission()
    for one in sorted(candidates, key=lambda candidate: (candidate.priority, candidate.job_id)):
        if room.get(one.waits_for, 0) <= 0:
            continue
        unknown = {key for key in one.keys if key not in room}
        if unknown:
            found.unknown |= unknown
            continue
        full = next((key for key in one.keys if room[key] <= 0), None)
        if full is not None:
            found.moved.append((one.job_id, full))
            continue
        for key in one.keys:
            room[key] -= 1
        found.admitted.append(one.job_id)
    return found
