"""Tally: what one process has counted, and how it is left in a file and read again.

Observations are only collected, and put into buckets when the tally is written: a sort of ten thousand of them costs less
than ten thousand searches for the bucket.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from queued.metrics.catalogue import BY_NAME, OTHER

#: A metric's family name, and the values of its labels in the catalogue's order.
Key = tuple[str, ...]

#: Observations kept before they are put into buckets, so that a burst takes no more memory than this.
MOST_PENDING = 4096


@dataclass(slots=True)
class Histogram:
    """Counts by bucket, not cumulative, the last one for what is above all bounds; and the sum of all values."""

    counts: list[int]
    total: float = 0.0

    @classmethod
    def empty(cls, metric: str) -> Histogram:
        return cls([0] * (len(BY_NAME[metric].buckets) + 1))

    def fold(self, metric: str, values: list[float]) -> None:
        """Take in some values."""
        values.sort()
        before = 0
        for place, bound in enumerate(BY_NAME[metric].buckets):
            # A value on the bound belongs below it: `le` means less or equal.
            upto = bisect_right(values, bound, before)
            self.counts[place] += upto - before
            before = upto
        self.counts[-1] += len(values) - before
        self.total += sum(values)

    def add(self, other: Histogram) -> None:
        """Take in another one of the same metric."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Labels:
    """Keeps the values of one label few: the first `limit` that come are let through, all others are one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._admitted: set[str] = set()

    def admit(self, value: str) -> str:
        """The value, or `_other`."""
        if value in self._admitted:
            return value
        if len(self._admitted) >= self._limit:
            return OTHER
        self._admitted.add(value)
        return value


@dataclass(slots=True)
class Tally:
    """Counters, histograms and gauges. A gauge belongs to an actor, and goes with it."""

    counts: dict[Key, float] = field(default_factory=dict)
    histograms: dict[Key, Histogram] = field(default_factory=dict)
    gauges: dict[str, dict[Key, float]] = field(default_factory=dict)
    pending: dict[Key, list[float]] = field(default_factory=dict)

    def count(self, key: Key, by: float = 1.0) -> None:
        """Add to a counter."""
        self.counts[key] = self.counts.get(key, 0.0) + by

    def observe(self, key: Key, *values: float) -> None:
        """Note values of a histogram."""
        pending = self.pending.setdefault(key, [])
        pending.extend(values)
        if len(pending) >= MOST_PENDING:
            self.settle()

    def settle(self) -> None:
        """Put what was observed into buckets."""
        for key, values in self.pending.items():
            histogram = self.histograms.get(key)
            if histogram is None:
                histogram = self.histograms[key] = Histogram.empty(key[0])
            histogram.fold(key[0], values)
        self.pending.clear()

    def add(self, other: Tally) -> None:
        """Take in what another process has counted; its gauges are left where they are."""
        for key, value in other.counts.items():
            self.count(key, value)
        for key, histogram in other.histograms.items():
            mine = self.histograms.get(key)
            if mine is None:
                mine = self.histograms[key] = Histogram.empty(key[0])
            mine.add(histogram)

    def text(self, **facts: object) -> str:
        """The tally as a file holds it, with facts of the caller's beside it."""
        self.settle()
        return json.dumps(
            {
                **facts,
                "counts": [[*key, value] for key, value in self.counts.items()],
                "histograms": [[*key, h.total, h.counts] for key, h in self.histograms.items()],
                "gauges": {actor: [[*key, value] for key, value in of.items()] for actor, of in self.gauges.items()},
            },
            separators=(",", ":"),
        )


def parse(text: str) -> tuple[Tally, Mapping[str, object]]:
    """The tally of a file, and all that stands beside it. ValueError when the text is not one.

    Series that this release does not know, for a reload may bring another, are passed over.
    """
    try:
        document = json.loads(text)
        tally = Tally(
            counts={key: float(value) for key, value in _keyed(document["counts"])},
            gauges={actor: dict(_keyed(of)) for actor, of in document["gauges"].items()},
        )
        for *key, total, counts in document["histograms"]:
            if _known(tuple(key)) and len(counts) == len(BY_NAME[key[0]].buckets) + 1:
                tally.histograms[tuple(key)] = Histogram([int(count) for count in counts], float(total))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a tally: {error!r}") from error
    return tally, document


def _keyed(rows: Iterable[list[object]]) -> Iterator[tuple[Key, float]]:
    for *key, value in rows:
        if _known(tuple(key)) and isinstance(value, int | float):
            yield tuple(str(part) for part in key), float(value)


def _known(key: tuple[object, ...]) -> bool:
    return key[0] in BY_NAME and len(key) == 1 + len(BY_NAME[str(key[0])].labels)


def write(path: str, text: str) -> None:
    """Replace a file in one step: whoever reads it finds the old text or the new one. Raises OSError."""
    fresh = f"{path}.new"
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(fresh, path)
