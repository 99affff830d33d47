"""The outcome of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check `looked_at`, what it `found`, and the `advice` where something is to be done."""

    check: str
    outcome: Outcome
    looked_at: str
    found: str
    advice: str | None = None


def few(names: list[str], most: int = 5) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def size(number: float) -> str:
    """Bytes as people say them: `812 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
