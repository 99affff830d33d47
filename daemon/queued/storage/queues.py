"""The registry of queues, and which of them are paused. A queue enters it when a worker first sees it, or when it is paused."""

from __future__ import annotations

from collections.abc import Iterable

from queued.storage.session import Session


def note(session: Session, names: Iterable[str]) -> None:
    """Enter queues that are not in the registry yet."""
    for name in sorted(set(names)):
        session.run("queues.note", name=name)


def pause(session: Session, name: str) -> bool:
    """Stop claims from a queue until it is resumed; running jobs go on. False when it was paused already."""
    session.run("queues.note", name=name)
    return session.run("queues.pause", name=name) > 0


def resume(session: Session, name: str) -> bool:
    """Allow claims again. False when the queue was not paused."""
    return session.run("queues.resume", name=name) > 0


def paused(session: Session) -> list[str]:
    """The names of the paused queues."""
    return [row["name"] for row in session.all("queues.paused")]


def names(session: Session) -> list[str]:
    """Every queue in the registry."""
    return [row["name"] for row in session.all("queues.names")]
