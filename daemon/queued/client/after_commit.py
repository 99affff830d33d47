"""Enqueue once the caller's transaction has committed, for a queue that lives in another database than the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queued.client import route
from queued.client.sending import Batch, collecting
from queued.client.unsent import UnsentJob
from queued.domain.errors import EnqueueError


def enqueue_after_commit(connection: Any, *jobs: UnsentJob) -> None:
    """Store jobs, made by `f.bind(…)`, right after the transaction of `connection` commits; never if it rolls back.

    For a Django connection (`django.db.connection`) or a SQLAlchemy `Session` or `AsyncSession`; outside a transaction Django
    stores at once. Arguments are checked and encoded now, and callbacks run now; the first job that cannot be stored raises
    here. If the process dies between the commit and the enqueue, or the queue's database is away, the jobs are lost though the
    data is there (the error comes out of the commit): where both live in one database, `connection=` is the safe way.
    """
    if collecting.get() is not None:
        raise EnqueueError(
            "enqueue_after_commit inside a batch: it is stored at the end of its block; open it after the commit, or in the "
            "transaction, with queued.batch(connection=…)"
        )
    on_commit = _hook_of(connection)
    batch = Batch(jobs)
    with batch:
        for handle in batch.handles():
            if handle.error is not None:
                raise handle.error
        to_store = batch.to_store()
    if to_store:
        on_commit(lambda: batch.stored(route.submit(to_store)))


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


#: Where a session keeps its waiting jobs: in its own `info`, so that they live and die with it.
_KEY = "queued.after_commit"


class _Waiting:
    """What to do after the commit of `root`; `inside` is the savepoint that it stands in now, or `root`."""

    def __init__(self, root: Any, inside: Any, action: Callable[[], None]) -> None:
        self.root = root
        self.inside = inside
        self.action = action


def _after_session_commit(session: Any, action: Callable[[], None]) -> None:
    from sqlalchemy import event

    if _KEY not in session.info:
        session.info[_KEY] = []
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_soft_rollback", _rolled_back)
    root = session.get_transaction() or session.begin()
    session.info[_KEY].append(_Waiting(root, session.get_nested_transaction() or root, action))


def _committed(session: Any) -> None:
    """SQLAlchemy calls this for the release of a savepoint as well as for the commit."""
    waiting: list[_Waiting] = session.info[_KEY]
    savepoint = session.get_nested_transaction()
    if savepoint is not None:
        for one in waiting:
            if one.inside is savepoint:
                one.inside = savepoint.parent
        return
    # A session that is closed without a commit says nothing, and its next transaction must not take those jobs for its own.
    root = session.get_transaction()
    session.info[_KEY] = []
    for one in waiting:
        if one.root is root:
            one.action()


def _rolled_back(session: Any, transaction: Any) -> None:
    session.info[_KEY] = [one for one in session.info[_KEY] if transaction not in (one.inside, one.root)]
