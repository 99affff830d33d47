"""Postponed: what could not be stored because somebody else's open transaction has a row that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: Seconds until a thing is tried again: after the first time, and at most.
SHORTEST, LONGEST = 0.5, 5.0


@dataclass(slots=True)
class _Entry(Generic[T]):
    what: T
    tries: int
    due: float


class Postponed(Generic[T]):
    """Things to be tried again, each at its time (monotonic seconds) and less often the longer it lasts."""

    def __init__(self) -> None:
        self._entries: list[_Entry[T]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return (entry.what for entry in self._entries)

    def put(self, what: T, tries: int, now: float) -> None:
        """It has been tried so often, in vain. One that has not been tried itself is due at once."""
        rest = min(SHORTEST * 2.0 ** min(tries - 1, 10), LONGEST) if tries else 0.0
        self._entries.append(_Entry(what, tries, now + rest))

    def rest(self, now: float) -> float | None:
        """Seconds until the first is to be tried; None when there is none."""
        return max(0.0, min(entry.due for entry in self._entries) - now) if self._entries else None

    def take(self, now: float) -> tuple[T, int] | None:
        """One whose time has come, which is not kept any more, and how often it has been tried."""
        for place, entry in enumerate(self._entries):
            if entry.due <= now:
                del self._entries[place]
                return entry.what, entry.tries
        return None

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Forget some."""
        self._entries = [entry for entry in self._entries if not unwanted(entry.what)]
