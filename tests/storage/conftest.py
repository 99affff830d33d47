"""A migrated store on each database, and short ways to say what a test is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from queued.domain.jobs import ClaimedJob, NewJob
from queued.domain.lanes import Lanes
from queued.domain.queues import Selector
from queued.storage import processes, ready
from queued.storage.store import Store, open_store


@pytest.fixture
def open_another(database_url: str) -> Iterator[Callable[[], Store]]:
    """Opens further stores on the same database: other processes' connections."""
    opened: list[Store] = []

    def another() -> Store:
        opened.append(open_store(database_url))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: Callable[[], Store]) -> Store:
    """A migrated store."""
    store = open_another()
    store.migrate()
    return store


class Claimer:
    """A worker as the database sees it."""

    def __init__(self, store: Store, name: str = "worker-1") -> None:
        self.store = store
        with store.transaction() as session:
            self.id = processes.register(
                session, name=name, kind="Worker", supervisor=None, pid=1, hostname="here", identity={}, metadata={}
            )
        self._leases = 0

    def claim(
        self, limit: int = 100, queues: tuple[str, ...] = ("*",), programs: bool = False, starting: int = 0
    ) -> list[ClaimedJob]:
        """What a worker with this queue list gets, looking everywhere."""
        lanes = Lanes(Selector.parse(queues))
        with self.store.reading() as session:
            lanes.searched(ready.lanes(session), 0.0, 0.0)
        with self.store.statement() as session:
            claim = ready.claim(
                session, lanes.marks(), limit, self.id, (self.id << 32) + self._leases, programs, starting
            )
        self._leases += limit
        return claim.jobs


@pytest.fixture
def claimer(store: Store) -> Claimer:
    """A registered worker."""
    return Claimer(store)


def job(name: str = "app.work", **fields: object) -> NewJob:
    """A job to be stored."""
    return NewJob(name, **fields)  # type: ignore[arg-type]
