"""The record of what operators did: who, from where, what, to how many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from queued.domain.audit import Actor, Deed
from queued.storage.session import Row, Session

#: Characters of a target that are kept: a list of a thousand ids tells no more than its beginning.
LONGEST = 1_000
_EVER = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NO_ID = 2**63 - 1


@dataclass(slots=True)
class Record:
    """One action, noted in the transactions that do it: it is there exactly when something of the action is."""

    actor: Actor
    action: str
    target: str
    _id: int | None = None

    def note(self, session: Session, count: int) -> None:
        """Say inside the action's transaction that it has touched `count` more; nothing is written for none."""
        if count < 1:
            return
        if self._id is not None:
            session.run("audit.add", id=self._id, count=count)
            return
        target = self.target if len(self.target) <= LONGEST else f"{self.target[: LONGEST - 1]}…"
        row = session.one(
            "audit.record",
            actor=self.actor.name,
            uid=self.actor.uid,
            hostname=self.actor.hostname,
            origin=self.actor.origin,
            action=self.action,
            target=target,
            count=count,
        )
        assert row is not None
        self._id = int(row["id"])


def newest(session: Session, limit: int, before: int | None = None, since: datetime | None = None) -> list[Deed]:
    """Up to `limit` actions, the newest first."""
    rows = session.all("audit.newest", before=before or _NO_ID, since=since or _EVER, page=limit)
    return [_deed(row) for row in rows]


def prune(session: Session, period: float, batch_size: int) -> int:
    """Forget up to `batch_size` actions that are older than `period` seconds; how many."""
    return len(session.all("audit.prune", period=float(period), batch_size=batch_size))


def _deed(row: Row) -> Deed:
    actor = Actor(row["actor"], row["uid"], row["hostname"], row["origin"])
    return Deed(row["id"], row["acted_at"], actor, row["action"], row["target"], row["count"])
