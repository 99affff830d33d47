"""Enqueue once the caller's transaction has committed, for a queue that lives in another database than the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queued.client import route
from queued.client.jobs import UnsentJob
from queued.client.sending import Batch
from queued.domain.errors import EnqueueError


def enqueue_after_commit(connection: Any, *jobs: UnsentJob) -> None:
    """Store jobs, made by `f.bind(…)`, right after the transaction of `connection` commits; never if it rolls back.

    For a Django connection (`django.db.connection`) or a SQLAlchemy `Session` or `AsyncSession`; outside a transaction Django
    stores at once. Arguments are checked and encoded now, and callbacks run now; the first job that cannot be stored raises
    here. If the process dies between the commit and the enqueue, or the queue's database is away, the jobs are lost though the
    data is there (the error comes out of the commit): where both live in one database, `connection=` is the safe way.
    """
    on_commit = _hook_of(connection)
    batch = Batch(jobs)
    with batch:
        for handle in batch.handles():
            if handle.error is not None:
                raise handle.error
        to_store = batch.to_store()
    if to_store:
        on_commit(lambda: batch.stored(route.send(to_store)))


def _hook_of(connection: Any) -> Callable[[Callable[[], None]], None]:
    if callable(getattr(connection, "on_commit", None)):
        hook: Callable[[Callable[[], None]], None] = connection.on_commit
        return hook
    session = getattr(connection, "sync_session", connection)
    if hasattr(session, "get_nested_transaction") and hasattr(session, "get_bind"):
        return lambda action: _after_session_commit(session, action)
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise EnqueueError(
        f"enqueue_after_commit: a {kind} does not tell when it has committed; pass a Django connection or a SQLAlchemy Session, "
        "or use connection= to store the job in the transaction itself"
    )


def _after_session_commit(session: Any, action: Callable[[], None]) -> None:
    from sqlalchemy import event

    # The root transaction in which the call stands decides, whatever savepoints come and go; a savepoint that is rolled back
    # takes the jobs of its inside along.
    opened_in = session.get_nested_transaction() or session.get_transaction() or session.begin()

    def forget() -> None:
        for name, listener in (("after_commit", committed), ("after_soft_rollback", rolled_back)):
            if event.contains(session, name, listener):
                event.remove(session, name, listener)

    def committed(_: Any) -> None:
        if session.in_nested_transaction():
            return
        forget()
        action()

    def rolled_back(_: Any, transaction: Any) -> None:
        if transaction is opened_in or transaction.parent is None:
            forget()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_soft_rollback", rolled_back)
