"""When to beat, and who may be called dead. Decisions only; the moments come in from outside, in monotonic seconds."""

from __future__ import annotations

from queued.domain.errors import QueuedError


class RegistrationLost(QueuedError):
    """Somebody has declared this process dead and given its jobs away; it must end, and another takes its place."""


class Heartbeat:
    """Says when the next beat is due. The first is due one interval after the registration, which is a beat itself."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._next: float | None = None

    def registered(self, now: float) -> None:
        """The row is fresh."""
        self._next = now + self.interval

    def due(self, now: float) -> bool:
        """Whether to beat now; never before the registration."""
        return self._next is not None and now >= self._next

    def beaten(self, now: float) -> None:
        """A beat was stored."""
        self._next = now + self.interval

    def missed(self, now: float) -> None:
        """A beat could not be stored: try again soon, for the time until we are called dead runs on."""
        self._next = now + min(1.0, self.interval)

    def rest(self, now: float) -> float:
        """Seconds until the next beat is due."""
        return self.interval if self._next is None else max(0.0, self._next - now)


class Contact:
    """How long this process has been able to speak to the database without a break.

    After an outage every process looks dead, for none could beat. Only who has watched the table for a whole threshold may
    judge the others by their beats.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def made(self, now: float) -> None:
        """A statement succeeded."""
        if self._since is None:
            self._since = now

    def lost(self) -> None:
        """A statement failed for want of a database."""
        self._since = None

    def unbroken(self, now: float, seconds: float) -> bool:
        """Whether contact has held for that long."""
        return self._since is not None and now - self._since >= seconds
