"""Forgets jobs, batches and operators' actions whose time is over: in batches, each a short transaction of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from queued.domain.settings import RetentionSettings
from queued.storage import audit
from queued.storage.session import Session
from queued.storage.store import Store

#: Called inside each transaction with what it deleted: for a record of it.
Also = Callable[[Session, int], None]


def prune(
    store: Store,
    retention: RetentionSettings,
    batches: int = 20,
    also: Also | None = None,
    between: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Delete jobs that ended their state's period ago or earlier; how many of each state, and how many batches.

    A batch is kept as long as finished jobs, one with failed members as long as failed jobs.

    At most `batches` transactions a call, so that a great backlog is worked off without holding anybody up; what is left
    is for the next call. `between` is called after each, outside of it.
    """
    deleted: dict[str, int] = {}
    periods = {
        "finished": retention.finished,
        "discarded": retention.discarded,
        "cancelled": retention.cancelled,
        "failed": retention.failed,
    }
    for state, period in periods.items():
        if period is None:
            continue
        statement = "retention.failed" if state == "failed" else "retention.ended"
        for _ in range(batches):
            with _opened(store, also) as session:
                count = len(session.all(statement, state=state, period=float(period), batch_size=retention.batch_size))
                if also is not None:
                    also(session, count)
            between()
            if count:
                deleted[state] = deleted.get(state, 0) + count
            if count < retention.batch_size:
                break
    _prune_batches(store, retention, batches, deleted, also, between)
    _prune_audit(store, retention, batches, deleted, between)
    return deleted


def _opened(store: Store, also: Also | None) -> AbstractContextManager[Session]:
    """A transaction for one deletion; on PostgreSQL it is the statement alone, for most find nothing."""
    return store.statement() if also is None else store.transaction(durable=False)


def _prune_audit(
    store: Store, retention: RetentionSettings, batches: int, deleted: dict[str, int], between: Callable[[], None]
) -> None:
    for _ in range(batches if retention.audit is not None else 0):
        with store.statement() as session:
            gone = audit.prune(session, float(retention.audit or 0.0), retention.batch_size)
        between()
        if gone:
            deleted["audit"] = deleted.get("audit", 0) + gone
        if gone < retention.batch_size:
            break


def _prune_batches(
    store: Store,
    retention: RetentionSettings,
    batches: int,
    deleted: dict[str, int],
    also: Also | None,
    between: Callable[[], None],
) -> None:
    for with_failures, period in ((0, retention.finished), (1, retention.failed)):
        if period is None:
            continue
        for _ in range(batches):
            with _opened(store, also) as session:
                gone = session.all(
                    "batches.prune",
                    period=float(period),
                    with_failures=with_failures,
                    batch_size=retention.batch_size,
                )
                if also is not None:
                    also(session, len(gone))
            between()
            if gone:
                deleted["batches"] = deleted.get("batches", 0) + len(gone)
            if len(gone) < retention.batch_size:
                break
