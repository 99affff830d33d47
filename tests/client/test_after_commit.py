"""Jobs that are stored once the caller's transaction, in whatever database, has committed."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import queued
from client.rows import stored
from queued import testing
from queued.domain.errors import ArgumentError, EnqueueError
from queued.storage.store import Store


@queued.job(name="test.mail")
def mail(number: int) -> None:
    pass


@pytest.fixture
def session() -> Iterator[Session]:
    """A session on a database that has no queue."""
    engine = sqlalchemy.create_engine("sqlite://")
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_jobs_are_stored_after_the_commit_and_only_once(store: Store, session: Session) -> None:
    queued.enqueue_after_commit(session, mail.bind(1), mail.bind(2))
    assert stored(store) == []
    session.commit()
    assert len(stored(store)) == 2
    session.execute(sqlalchemy.text("SELECT 1"))
    session.commit()
    assert len(stored(store)) == 2


def test_a_rollback_forgets_them(store: Store, session: Session) -> None:
    session.execute(sqlalchemy.text("SELECT 1"))
    queued.enqueue_after_commit(session, mail.bind(1))
    session.rollback()
    session.execute(sqlalchemy.text("SELECT 1"))
    session.commit()
    session.close()
    assert stored(store) == []


def test_savepoints_decide_for_what_was_enqueued_inside_them(store: Store, session: Session) -> None:
    session.execute(sqlalchemy.text("SELECT 1"))
    with session.begin_nested():
        queued.enqueue_after_commit(session, mail.bind(1))
    with contextlib.suppress(ZeroDivisionError), session.begin_nested():
        queued.enqueue_after_commit(session, mail.bind(2))
        1 / 0  # noqa: B018
    assert stored(store) == []
    session.commit()
    assert [row["arguments"][9] for row in stored(store)] == ["1"]


def test_a_session_that_is_closed_without_a_commit_forgets_them(store: Store, session: Session) -> None:
    session.execute(sqlalchemy.text("SELECT 1"))
    queued.enqueue_after_commit(session, mail.bind(1))
    session.close()
    session.execute(sqlalchemy.text("SELECT 1"))
    session.commit()
    assert stored(store) == []


def test_async_sessions_work_too(postgresql_url: str, queued_jobs: testing.Collection) -> None:
    async def main() -> None:
        engine = create_async_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
        async with AsyncSession(engine) as session:
            await session.execute(sqlalchemy.text("SELECT 1"))
            queued.enqueue_after_commit(session, mail.bind(1))
            assert len(queued_jobs) == 0
            await session.commit()
        await engine.dispose()

    asyncio.run(main())
    queued_jobs.assert_enqueued(mail, args=[1], count=1)


def test_arguments_are_checked_at_the_call(session: Session) -> None:
    with pytest.raises(ArgumentError):
        queued.enqueue_after_commit(session, mail.bind(object()))  # type: ignore[arg-type]


def test_a_connection_that_does_not_tell_of_its_commits_is_refused() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(EnqueueError, match="does not tell when it has committed"):
        queued.enqueue_after_commit(connection, mail.bind(1))
    engine.dispose()
    with contextlib.closing(sqlite3.connect(":memory:")) as lite, pytest.raises(EnqueueError, match="use connection="):
        queued.enqueue_after_commit(lite, mail.bind(1))
