"""Why a text is not a schedule, and what to write instead."""

from __future__ import annotations

from queued.domain.errors import QueuedError

#: Characters of the refused text that a message quotes.
QUOTED = 80


class ScheduleError(QueuedError):
    """A schedule that cannot be used. `problem` says what is wrong, `instead` what to write."""

    def __init__(self, problem: str, instead: str, text: str | None = None) -> None:
        self.problem = problem
        self.instead = instead
        self.text = text
        quoted = "" if text is None else f"{text if len(text) <= QUOTED else text[:QUOTED] + '…'!r}: "
        super().__init__(f"{quoted}{problem}; {instead}")

    def about(self, text: str) -> ScheduleError:
        """The same fault, with the whole schedule in its message."""
        return ScheduleError(self.problem, self.instead, text)
