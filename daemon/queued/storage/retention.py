"""Forgets jobs, batches and operators' actions whose time is over: in batches, each a short transaction of its own.

On PostgreSQL ended jobs are looked through in the order of their ids, by the key of `finished`: no job ends before it is enqueued,
so the walk is over at the first one that is too young to have ended long ago. No index by the moment of the end would do: B-trees
cost each ack 0.7 of its 2.2 µs, and a BRIN index knows nothing any more once the room of deleted rows is used again (a
look that found nothing read all of 1.5 million rows).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from queued.domain.settings import RetentionSettings
from queued.storage import audit
from queued.storage.session import Session
from queued.storage.store import Store

#: Called inside each transaction with what it deleted: for a record of it.
Also = Callable[[Session, int], None]
#: Deletes one batch: how much of what, and whether more of it may be over its time.
Batch = Callable[[Session], tuple[dict[str, int], bool]]


@dataclass(slots=True)
class Place:
    """How far a walk through the ended jobs has come; a walk begins at 0."""

    after: int = 0


@dataclass(slots=True)
class Pruned:
    """What a call has deleted, by state and kind, and whether there may be more that is over its time."""

    deleted: Counter[str] = field(default_factory=Counter)
    more: bool = False

    @property
    def count(self) -> int:
        """How much it was in all."""
        return sum(self.deleted.values())


def prune(
    store: Store,
    retention: RetentionSettings,
    place: Place | None = None,
    batches: int = 20,
    also: Also | None = None,
    between: Callable[[], None] = lambda: None,
) -> Pruned:
    """Delete jobs that ended their state's period ago or earlier.

    A batch is kept as long as finished jobs, one with failed members as long as failed jobs.

    At most `batches` transactions of each kind a call, so that a great backlog is worked off without holding anybody up; what is
    left is for the next call, which goes on at `place`. `between` is called after each, outside of it.
    """
    pruned = Pruned()
    for kind in _kinds(store, retention, place or Place()):
        more = True
        for _ in range(batches):
            with _opened(store, also) as session:
                deleted, more = kind(session)
                if also is not None:
                    also(session, sum(deleted.values()))
            between()
            pruned.deleted.update({name: count for name, count in deleted.items() if count})
            if not more:
                break
        pruned.more = pruned.more or more
    return pruned


def _opened(store: Store, also: Also | None) -> AbstractContextManager[Session]:
    """A transaction for one deletion; on PostgreSQL it is the statement alone, for most find nothing."""
    return store.statement() if also is None else store.transaction(durable=False)


def _kinds(store: Store, retention: RetentionSettings, place: Place) -> list[Batch]:
    size = retention.batch_size

    def all_of(name: str, statement: str, period: float, **more: object) -> Batch:
        def batch(session: Session) -> tuple[dict[str, int], bool]:
            count = len(session.all(statement, period=float(period), batch_size=size, **more))
            return {name: count}, count >= size

        return batch

    def actions(session: Session) -> tuple[dict[str, int], bool]:
        count = audit.prune(session, float(retention.audit or 0.0), size)
        return {"audit": count}, count >= size

    ends = {"finished": retention.finished, "discarded": retention.discarded, "cancelled": retention.cancelled}
    kinds: list[Batch] = []
    if store.dialect == "sqlite":
        for state, period in ends.items():
            if period is not None:
                kinds.append(all_of(state, "retention.ended", period, state=state))
    elif any(period is not None for period in ends.values()):
        kinds.append(lambda session: _stretch(session, ends, place, size))
    if retention.failed is not None:
        kinds.append(all_of("failed", "retention.failed", retention.failed))
    for with_failures, period in ((0, retention.finished), (1, retention.failed)):
        if period is not None:
            kinds.append(all_of("batches", "batches.prune", period, with_failures=with_failures))
    if retention.audit is not None:
        kinds.append(actions)
    return kinds


def _stretch(session: Session, ends: dict[str, float | None], place: Place, size: int) -> tuple[dict[str, int], bool]:
    """Delete what is over its time in the next stretch of a walk. At its end the place is the beginning again."""
    rows = session.all("retention.ended", after=place.after, batch_size=size, **ends)
    reach = next((row for row in rows if row["state"] is None), None)
    shortest = min(period for period in ends.values() if period is not None)
    more = reach is not None and reach["age"] >= shortest
    place.after = reach["last"] if reach is not None and more else 0
    return Counter(row["state"] for row in rows if row["state"] is not None), more
