"""The registry of processes: who is there, since when, and when each was last heard of, by the database's clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from queued.storage.session import Row, Session


def register(
    session: Session,
    *,
    name: str,
    kind: str,
    supervisor: str | None,
    pid: int,
    hostname: str,
    identity: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> int:
    """Enter a process; its id, never used before. `name` is unique for all time."""
    row = session.one(
        "processes.register",
        name=name,
        kind=kind,
        supervisor=supervisor,
        pid=pid,
        hostname=hostname,
        identity=json.dumps(identity),
        metadata=json.dumps(metadata),
    )
    assert row is not None
    return int(row["id"])


def beat(session: Session, process_id: int) -> bool:
    """Say that the process lives. False when its row is gone: it was taken for dead, its claims were given away."""
    return session.run("processes.beat", process_id=process_id) > 0


def beat_and_look(session: Session, process_id: int, metadata: Mapping[str, Any]) -> list[Row]:
    """Say that the process lives, and what there is to tell of it; every registered process, as `alive` gives them.

    It is not among them when its row is gone.
    """
    return session.all("processes.beat_and_look", process_id=process_id, metadata=json.dumps(metadata))


def deregister(session: Session, process_id: int) -> None:
    """Take a process out of the registry. Its claims must have been settled before, or in this transaction."""
    session.run("processes.delete", process_id=process_id)


def dead(session: Session, threshold: float) -> list[Row]:
    """Processes not heard of for `threshold` seconds, each locked so that one reaper settles it; others pass it over."""
    return session.all("processes.dead", threshold=float(threshold))


def alive(session: Session) -> list[Row]:
    """Every registered process, oldest first, with `age`: the seconds since it was last heard of."""
    return session.all("processes.registered")


def find(session: Session, name: str) -> Row | None:
    """The process of that name, or None."""
    return session.one("processes.find", name=name)
