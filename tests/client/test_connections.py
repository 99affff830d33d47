"""Enqueue in the caller's own transaction: stored when it commits, gone when it rolls back, whatever made the connection."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import queued
from client.rows import stored
from queued.domain.errors import DatabaseMisconfigured, EnqueueError
from queued.storage import adopt
from queued.storage.store import Store, open_store


@queued.job(name="test.bill")
def bill(number: int) -> None:
    pass


def path_of(store: Store) -> str:
    return store.settings.url.removeprefix("sqlite:///")


def alchemy_url(store: Store, driver: str = "psycopg") -> str:
    return store.settings.url.replace("postgresql://", f"postgresql+{driver}://")


@pytest.fixture
def pg(postgresql_url: str) -> Iterator[Store]:
    store = open_store(postgresql_url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Store]:
    store = open_store(sqlite_url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def anywhere(database_url: str) -> Iterator[Store]:
    """A migrated database that the client is not configured for: the connection alone says where."""
    store = open_store(database_url)
    store.migrate()
    yield store
    store.close()


def raw(store: Store, **options: Any) -> Any:
    if store.dialect == "sqlite":
        return sqlite3.connect(path_of(store), **options)
    return psycopg.connect(store.settings.url, **options)


def test_a_job_is_seen_once_the_caller_commits(anywhere: Store) -> None:
    connection = raw(anywhere)
    handle = bill.enqueue(1, connection=connection)
    assert handle.id is not None
    assert stored(anywhere) == []
    connection.commit()
    assert [row["id"] for row in stored(anywhere)] == [handle.id]
    assert stored(anywhere)[0]["ready"]
    connection.close()


def test_a_rollback_leaves_nothing_behind(anywhere: Store) -> None:
    connection = raw(anywhere)
    bill.enqueue(1, connection=connection)
    queued.enqueue_many([bill.bind(2), bill.set(wait=60).bind(3)], connection=connection)
    connection.rollback()
    assert stored(anywhere) == []
    bill.set(connection=connection).enqueue(4)
    connection.close()
    assert stored(anywhere) == []


def test_it_joins_what_the_caller_did_before(anywhere: Store) -> None:
    connection = raw(anywhere)
    connection.execute("CREATE TABLE bills (n integer)")
    connection.commit()
    connection.execute("INSERT INTO bills VALUES (1)")
    bill.enqueue(1, connection=connection)
    connection.execute("INSERT INTO bills VALUES (2)")
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM bills").fetchone()[0] == 0
    connection.close()
    assert stored(anywhere) == []


def test_in_autocommit_mode_a_job_is_stored_at_once_and_whole(anywhere: Store) -> None:
    options: dict[str, Any] = {"isolation_level": None} if anywhere.dialect == "sqlite" else {"autocommit": True}
    connection = raw(anywhere, **options)
    queued.enqueue_many([bill.bind(1), bill.bind(2)], connection=connection)
    assert [row["ready"] for row in stored(anywhere)] == [1, 1]
    connection.execute("BEGIN")
    bill.enqueue(3, connection=connection)
    connection.execute("ROLLBACK")
    assert len(stored(anywhere)) == 2
    connection.close()


def test_a_row_factory_of_the_caller_changes_nothing(lite: Store) -> None:
    connection = raw(lite)
    connection.row_factory = sqlite3.Row
    assert bill.enqueue(1, connection=connection).id is not None
    connection.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has no autocommit attribute before Python 3.12")
def test_the_autocommit_attribute_of_sqlite3_is_respected(lite: Store) -> None:
    for autocommit, seen in ((True, 1), (False, 0)):
        connection = raw(lite, autocommit=autocommit)
        before = len(stored(lite))
        bill.enqueue(1, connection=connection)
        assert len(stored(lite)) - before == seen
        connection.rollback()
        connection.close()


def test_a_failed_enqueue_leaves_the_callers_sqlite_transaction_usable(tmp_path: Any) -> None:
    connection = sqlite3.connect(tmp_path / "other.sqlite3")
    connection.execute("CREATE TABLE t (n)")
    connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(DatabaseMisconfigured, match="no queued tables"):
        bill.enqueue(1, connection=connection)
    assert connection.in_transaction
    connection.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1
    connection.close()


def test_a_database_without_tables_says_so(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as connection, pytest.raises(DatabaseMisconfigured, match="queued migrate"):
        bill.enqueue(1, connection=connection)


def test_arguments_are_checked_before_the_transaction_is_touched(pg: Store) -> None:
    with psycopg.connect(pg.settings.url) as connection:
        with pytest.raises(queued.ArgumentError):
            bill.enqueue(object(), connection=connection)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_an_async_psycopg_connection_commits_and_rolls_back(pg: Store) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(pg.settings.url) as connection:
            await bill.aenqueue(1, connection=connection)
            await connection.rollback()
            await bill.set(connection=connection).aenqueue(2)
            await queued.aenqueue_many([bill.bind(3), bill.bind(4)], connection=connection)
            with pytest.raises(EnqueueError, match="aenqueue"):
                bill.enqueue(5, connection=connection)

    asyncio.run(main())
    assert len(stored(pg)) == 3


def test_a_sync_connection_serves_asyncio_code_in_its_own_thread(anywhere: Store) -> None:
    connection = raw(anywhere)

    async def main() -> None:
        await bill.aenqueue(1, connection=connection)

    asyncio.run(main())
    connection.commit()
    connection.close()
    assert len(stored(anywhere)) == 1


def engine_for(store: Store) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(store.settings.url if store.dialect == "sqlite" else alchemy_url(store))


@contextlib.contextmanager
def session_of(engine: sqlalchemy.Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@contextlib.contextmanager
def connection_of(engine: sqlalchemy.Engine) -> Iterator[sqlalchemy.Connection]:
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize("opened", [session_of, connection_of])
def test_sqlalchemy_commits_and_rolls_back(anywhere: Store, opened: Callable[..., Any]) -> None:
    engine = engine_for(anywhere)
    with opened(engine) as owner:
        bill.enqueue(1, connection=owner)  # the first thing this transaction does: commit() must still commit it
        owner.commit()
    with opened(engine) as owner:
        bill.enqueue(2, connection=owner)
        owner.rollback()
    with opened(engine) as owner, owner.begin():
        bill.enqueue(3, connection=owner)
    with contextlib.suppress(ZeroDivisionError), opened(engine) as owner, owner.begin():
        bill.enqueue(4, connection=owner)
        1 / 0  # noqa: B018
    with opened(engine) as owner:
        bill.enqueue(5, connection=owner)  # never committed
    engine.dispose()
    assert [row["arguments"] for row in stored(anywhere)] == ['{"args":[1],"kwargs":{}}', '{"args":[3],"kwargs":{}}']


def test_async_sqlalchemy_commits_and_rolls_back(pg: Store) -> None:
    async def main() -> None:
        engine = create_async_engine(alchemy_url(pg))
        async with AsyncSession(engine) as session:
            await bill.aenqueue(1, connection=session)
            await session.commit()
            await bill.aenqueue(2, connection=session)
            await session.rollback()
        async with engine.connect() as connection:
            await bill.aenqueue(3, connection=connection)
            await connection.commit()
            await bill.aenqueue(4, connection=connection)
        await engine.dispose()

    asyncio.run(main())
    assert len(stored(pg)) == 2


def test_a_job_goes_with_the_sessions_savepoint(pg: Store) -> None:
    engine = engine_for(pg)
    with Session(engine) as session:
        with contextlib.suppress(ZeroDivisionError), session.begin_nested():
            bill.enqueue(1, connection=session)
            1 / 0  # noqa: B018
        bill.enqueue(2, connection=session)
        session.commit()
    engine.dispose()
    assert len(stored(pg)) == 1


@pytest.mark.parametrize("thing", [object(), "postgresql://", 3])
def test_what_is_no_connection_is_refused_with_the_list_of_those_that_are(thing: object) -> None:
    with pytest.raises(EnqueueError, match=r"not understood; pass a sqlite3 connection, a psycopg 3"):
        bill.enqueue(1, connection=thing)


def test_jobs_of_one_batch_share_one_connection(lite: Store) -> None:
    one, other = raw(lite), raw(lite)
    with pytest.raises(EnqueueError, match="different connections"):
        queued.enqueue_many([bill.set(connection=one).bind(1), bill.set(connection=other).bind(2)])
    with pytest.raises(EnqueueError, match="some do not"):
        queued.enqueue_many([bill.set(connection=one).bind(1), bill.bind(2)])
    queued.enqueue_many([bill.set(connection=one).bind(1), bill.bind(2)], connection=one)
    one.commit()
    assert len(stored(lite)) == 2
    one.close()
    other.close()


def test_an_operation_of_storage_runs_in_an_adopted_session(anywhere: Store) -> None:
    from queued.domain.jobs import NewJob
    from queued.storage import jobs

    connection = raw(anywhere)
    with adopt.adopt(connection) as session:
        ids, _ = jobs.enqueue(session, [NewJob("a")])
    connection.commit()
    connection.close()
    assert [row["id"] for row in stored(anywhere)] == ids


DJANGO = """
import sys
import django
from django.conf import settings

engine, name, host, port, user, binding = sys.argv[1:]
options = {"OPTIONS": {"server_side_binding": binding == "server"}} if engine.endswith("postgresql") else {}
settings.configure(
    DATABASES={"default": {"ENGINE": engine, "NAME": name, "HOST": host, "PORT": port, "USER": user, **options}}, USE_TZ=True
)
django.setup()

import queued
from django.db import connection, connections, transaction

queued.configure(sys.stdin.readline().strip())

@queued.job(name="test.django")
def work(n: int) -> None: pass

from datetime import datetime, timezone
with transaction.atomic():
    work.enqueue(1, connection=connection)
try:
    with transaction.atomic():
        work.enqueue(2, connection=connections["default"])
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
with transaction.atomic():
    try:
        with transaction.atomic():
            work.enqueue(3, connection=connection)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    work.set(wait_until=datetime(2040, 1, 1, tzinfo=timezone.utc)).enqueue(4, connection=connection)
work.enqueue(5, connection=connection)
with transaction.atomic():
    queued.enqueue_after_commit(connection, work.bind(6))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM " + ("queued.jobs" if "postgresql" in engine else "queued_jobs"))
        assert cursor.fetchone()[0] == 3, "stored before the commit"
try:
    with transaction.atomic():
        queued.enqueue_after_commit(connection, work.bind(7))
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
queued.enqueue_after_commit(connection, work.bind(8))
"""


@pytest.mark.parametrize("binding", ["client", "server"])
def test_django_connections_commit_roll_back_and_call_after_commit(anywhere: Store, binding: str) -> None:
    if anywhere.dialect == "sqlite":
        where = ["django.db.backends.sqlite3", path_of(anywhere), "", "", "", binding]
    else:
        info = psycopg.conninfo.conninfo_to_dict(anywhere.settings.url)
        where = [
            "django.db.backends.postgresql",
            *(str(info[key]) for key in ("dbname", "host", "port", "user")),
            binding,
        ]
    done = subprocess.run(
        [sys.executable, "-c", DJANGO, *where],
        input=anywhere.settings.url,
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = stored(anywhere)
    assert [row["arguments"][9] for row in rows] == ["1", "4", "5", "6", "8"]
    assert [bool(row["scheduled"]) for row in rows] == [False, True, False, False, False]
