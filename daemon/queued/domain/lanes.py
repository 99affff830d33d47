"""Where a worker looks for work: the lanes it knows, in which order, and from where in each.

A lane is a queue and a priority. The low-water mark of a lane is the seq from which a claim starts; rows left of it were taken,
or belong to a transaction that committed late. Such a row is found by the next full search, which starts every lane at
zero: late, never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from queued.domain.jobs import Arrival
from queued.domain.queues import Selector

#: A full search is due at the latest after so many seconds of claiming from the marks.
FULL_SEARCH = 2.0
#: And not before so many times the length of the last one, so that it never takes more than a twentieth of the time.
FULL_SEARCH_SHARE = 20.0


class Lane(NamedTuple):
    """A queue and a priority (smaller first)."""

    queue: str
    priority: int


class Mark(NamedTuple):
    """A lane to claim from: its rank in the worker's queue list and the seq to start at."""

    lane: Lane
    rank: int
    seq: int


class Lanes:
    """One worker's knowledge of the lanes it serves."""

    def __init__(self, selector: Selector) -> None:
        self._selector = selector
        self._marks: dict[Lane, int] = {}
        self._searched_at = float("-inf")
        self._search_took = 0.0

    def search_due(self, now: float) -> bool:
        """Whether a full search may be made again (monotonic seconds)."""
        return now - self._searched_at >= self._search_took * FULL_SEARCH_SHARE

    def search_overdue(self, now: float) -> bool:
        """Whether a full search must be made, though the marks still yield."""
        return now - self._searched_at >= max(FULL_SEARCH, self._search_took * FULL_SEARCH_SHARE)

    def searched(self, found: Iterable[Lane], now: float, took: float) -> None:
        """A full search found these lanes; each is claimed from its beginning again."""
        self._marks = {lane: 0 for lane in found if self._selector.rank(lane.queue) is not None}
        self._searched_at = now
        self._search_took = took

    def arrived(self, arrival: Arrival) -> bool:
        """New work was announced; True when it is for this worker."""
        if self._selector.rank(arrival.queue) is None:
            return False
        lane = Lane(arrival.queue, arrival.priority)
        self._marks[lane] = min(self._marks.get(lane, arrival.seq), arrival.seq)
        return True

    def taken(self, largest: Mapping[Lane, int]) -> None:
        """A claim took jobs up to these seqs."""
        for lane, seq in largest.items():
            if lane in self._marks:
                self._marks[lane] = max(self._marks[lane], seq + 1)

    def forget(self, queue: str) -> None:
        """A queue was paused or resumed: look again before claiming from it."""
        for lane in [lane for lane in self._marks if lane.queue == queue]:
            del self._marks[lane]
        self._searched_at = float("-inf")

    def marks(self) -> list[Mark]:
        """The lanes to claim from, best rank and smallest priority first."""
        ranked = []
        for lane, seq in self._marks.items():
            rank = self._selector.rank(lane.queue)
            if rank is not None:
                ranked.append(Mark(lane, rank, seq))
        ranked.sort(key=lambda mark: (mark.rank, mark.lane.priority))
        return ranked
