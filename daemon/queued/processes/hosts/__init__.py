"""What carries an actor: a process of its own (`fork`) or a thread (`thread`). One contract, one suite for both.

A supervisor starts, stops, kills and reaps through a `Host` and need not know which it is. Each actor gets the write end of
a pipe; the supervisor reads the other end (`Role` says what comes through it), and end of file means that the actor has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from queued.processes.role import Role


@dataclass(frozen=True, slots=True)
class Exit:
    """An actor has ended. `clean` when it ended as roles do, without an error; `reason` is for people."""

    name: str
    clean: bool
    reason: str


class Host(Protocol):
    """Carries actors; they are known by their role's name."""

    @property
    def kind(self) -> str:
        """`fork` or `async`, as the configuration calls it."""

    def start(self, role: Role) -> int:
        """Start it; the read end of its liveness pipe, which is the caller's to close."""

    def stop(self, name: str) -> None:
        """Ask it to finish and end."""

    def kill(self, name: str) -> None:
        """End it now. A thread cannot be ended: it is asked to drop what it has, and may not hear."""

    def exits(self) -> list[Exit]:
        """Who has ended since the last call; does not wait."""

    def pid(self, name: str) -> int:
        """The process that carries it."""
