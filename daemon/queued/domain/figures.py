"""What ended jobs add up to: how many, how they ended, how long they waited and ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

#: What jobs can be told apart by.
By = Literal["class", "queue", "host"]
COLUMNS: dict[By, str] = {"class": "class_name", "queue": "queue", "host": "hostname"}


@dataclass(slots=True)
class Figure:
    """The jobs of one class, queue or host. Lengths are seconds; a job that never ran has none."""

    name: str
    states: dict[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.states.values())

    @property
    def busy(self) -> float:
        """Seconds of threads that these jobs took."""
        return sum(self.runs)

    @property
    def failure_ratio(self) -> float:
        """The share that failed for good, of those that were not discarded or cancelled."""
        failed, done = self.states.get("failed", 0), self.states.get("finished", 0)
        return failed / (failed + done) if failed + done else 0.0


class Figures:
    """Adds up jobs one after the other."""

    def __init__(self, by: By) -> None:
        self._column = COLUMNS[by]
        self._figures: dict[str, Figure] = {}
        self.count = 0

    def add(self, rows: Iterable[Mapping[str, Any]], since: datetime) -> int:
        """Take in those of the jobs that ended since then; how many they are."""
        before = self.count
        for row in rows:
            if row["ended_at"] < since:
                continue
            self.count += 1
            name = str(row[self._column] or "unknown")
            figure = self._figures.get(name)
            if figure is None:
                figure = self._figures[name] = Figure(name)
            figure.states[row["state"]] = figure.states.get(row["state"], 0) + 1
            if row["started_at"] is not None:
                figure.runs.append(max(0.0, (row["ended_at"] - row["started_at"]).total_seconds()))
                figure.waits.append(max(0.0, (row["started_at"] - row["due_at"]).total_seconds()))
        return self.count - before

    def listed(self) -> list[Figure]:
        """The figures, those that took the most time first."""
        return sorted(self._figures.values(), key=lambda figure: (-figure.busy, -figure.count, figure.name))


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of the values do not exceed; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
