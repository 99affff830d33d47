"""What every schedule can answer: when next, when before, and which moments lie between two others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime


class Schedule(ABC):
    """The moments at which a recurring task runs. Make one with `parse`.

    Moments given are aware, in any zone; moments returned are aware, in UTC, on whole seconds. Two schedules of the
    same text and zone answer alike on every host, so that a run is known by its task and its moment.
    """

    __slots__ = ()

    #: The schedule as it was written, with single spaces.
    text: str

    @property
    @abstractmethod
    def cron(self) -> str | None:
        """The same schedule as a cron line, with its own zone but without the default one; None if cron cannot say it."""

    @abstractmethod
    def describe(self) -> str:
        """The schedule in plain words, for the operator."""

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | None:
        """The first run strictly after the moment; None when there is none within 400 years."""

    @abstractmethod
    def previous_before(self, moment: datetime) -> datetime | None:
        """The last run strictly before the moment; None when there is none within 400 years."""

    def between(self, since: datetime, until: datetime, limit: int) -> list[datetime]:
        """The runs after `since` up to and including `until`, oldest first, at most `limit` of them."""
        runs: list[datetime] = []
        while len(runs) < limit:
            run = self.next_after(runs[-1] if runs else since)
            if run is None or run > until:
                break
            runs.append(run)
        return runs
