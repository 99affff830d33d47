"""Unique jobs: of those with one key only one is there at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Until = Literal["start", "waiting", "finish"]
OnTaken = Literal["keep", "replace", "raise"]


@dataclass(frozen=True, slots=True)
class Unique:
    """The job holds `key` until its start or its end, or while it waits, or for `period` seconds after its enqueue.

    When another job holds it: "keep" stores nothing, "replace" discards the other one if it waits, "raise" refuses.
    """

    key: str
    until: Until | None = "finish"
    period: float | None = None
    on_conflict: OnTaken = "keep"
