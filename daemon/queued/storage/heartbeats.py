"""Signs of life of the whole: that a scheduler runs its tasks, and that the database takes what it writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from queued.storage.session import Session

#: How long they are kept.
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life. `age` is seconds by the database's clock."""

    environment: str
    hostname: str
    message: str
    beaten_at: datetime
    age: float


@dataclass(frozen=True, slots=True)
class Host:
    """The newest sign of life of a host in an environment, and how many of it are kept."""

    environment: str
    hostname: str
    beaten_at: datetime
    age: float
    count: int


def beat(session: Session, environment: str, hostname: str, message: str) -> datetime:
    """Leave a sign of life; its moment."""
    row = session.one("heartbeats.beat", environment=environment, hostname=hostname, message=message)
    assert row is not None
    return cast(datetime, row["beaten_at"])


def recent(session: Session, limit: int) -> list[Beat]:
    """The newest, newest first."""
    return [
        Beat(
            row["environment"],
            row["hostname"],
            row["message"],
            row["beaten_at"],
            (row["now_at"] - row["beaten_at"]).total_seconds(),
        )
        for row in session.all("heartbeats.recent", limit=limit)
    ]


def by_host(session: Session) -> list[Host]:
    """The newest of each host and environment."""
    return [
        Host(
            row["environment"],
            row["hostname"],
            row["beaten_at"],
            (row["now_at"] - row["beaten_at"]).total_seconds(),
            row["n"],
        )
        for row in session.all("heartbeats.by_host")
    ]


def prune(session: Session) -> int:
    """Forget the old ones; how many."""
    now = session.one("insights.now")
    assert now is not None
    return session.run("heartbeats.prune", before=now["now_at"] - KEPT)
