"""From a call to a row: one job, many jobs, from threads, from asyncio, after a fork."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import queued
from client.rows import stored
from queued.client import route
from queued.domain.errors import ArgumentError, ConfigurationError, DatabaseMisconfigured
from queued.domain.settings import DatabaseSettings
from queued.storage.store import Store


@queued.job(name="test.greet", queue="mail", priority=3, timeout=2.5)
def greet(name: str, at: object = None) -> None:
    pass


def test_an_enqueued_job_is_in_the_database_when_the_call_returns(store: Store) -> None:
    handle = greet.enqueue("ada", at=(1, 2))
    (row,) = stored(store)
    assert row["id"] == handle.id
    assert (row["class_name"], row["queue"], row["priority"], row["ready"]) == ("test.greet", "mail", 3, 1)
    assert json.loads(row["arguments"]) == {"args": ["ada"], "kwargs": {"at": {"$queued": "tuple", "value": [1, 2]}}}
    assert json.loads(row["options"]) == {"timeout": 2.5}
    assert (handle.class_name, handle.queue, handle.priority, handle.run_at) == ("test.greet", "mail", 3, None)


def test_text_with_nul_and_lone_surrogates_is_stored_on_both_databases(store: Store) -> None:
    from queued.client.arguments import decode_call

    greet.enqueue("nul \0, alone \ud800, é")
    (row,) = stored(store)
    assert decode_call(row["arguments"]) == (["nul \0, alone \ud800, é"], {})


def test_a_delayed_job_is_scheduled(store: Store) -> None:
    moment = datetime(2035, 1, 1, tzinfo=timezone.utc)
    greet.set(wait=timedelta(hours=1)).enqueue("later")
    greet.set(wait_until=moment).enqueue("much later")
    greet.set(wait_until=datetime(2001, 1, 1, tzinfo=timezone.utc)).enqueue("due")
    assert [(row["ready"], row["scheduled"]) for row in stored(store)] == [(0, 1), (0, 1), (1, 0)]


def test_the_context_travels_in_the_options(store: Store) -> None:
    with queued.context(tenant="acme", limits={1: 2}):
        greet.enqueue("x")
    options = json.loads(stored(store)[0]["options"])
    assert options["context"] == {"tenant": "acme", "limits": {"$queued": "dict", "value": [[1, 2]]}}
    assert dict(queued.current_context()) == {}
    with queued.context(when=object()), pytest.raises(ArgumentError, match=r"context\['when'\]"):
        greet.enqueue("x")
    with queued.context(much="x" * 70_000), pytest.raises(ArgumentError, match="travels with every job"):
        greet.enqueue("x")


def test_a_refused_argument_reaches_no_database() -> None:
    with pytest.raises(ArgumentError):  # and no ConfigurationError, though no database is configured
        greet.enqueue("x", at=float("nan"))


def test_what_is_no_job_with_its_arguments_is_refused_with_what_to_write() -> None:
    unbound: list[Any] = [greet.bind("a"), greet]
    with pytest.raises(
        TypeError, match=r"<queued.job test.greet> is a job without its arguments; pass greet.bind\(…\)"
    ):
        queued.enqueue_many(unbound)
    with pytest.raises(TypeError, match=r"<built-in function print> is no job; pass f.bind"):
        queued.enqueue_many([print])  # type: ignore[list-item]


def test_arguments_that_the_function_does_not_take_are_told_with_its_signature() -> None:
    with pytest.raises(TypeError) as told:
        greet.enqueue(1, 2, 3)  # type: ignore[call-overload]
    assert str(told.value) == "test.greet(name: 'str', at: 'object' = None) -> 'None': too many positional arguments"


def test_many_jobs_are_stored_at_once_and_each_says_what_became_of_it(store: Store) -> None:
    jobs = [greet.bind(str(n)) for n in range(1000)]
    jobs[10] = greet.bind("bad", at=object())
    jobs[20] = greet.set(queue=lambda *a, **k: str(1 // 0)).bind("worse")
    handles = queued.enqueue_many(jobs)
    assert isinstance(handles[10].error, ArgumentError)
    assert isinstance(handles[20].error, ZeroDivisionError)
    assert [handle.id for handle in handles if handle.error] == [None, None]
    rows = stored(store)
    assert [row["id"] for row in rows] == [handle.id for handle in handles if not handle.error]
    assert [json.loads(row["arguments"])["args"][0] for row in rows] == [
        handle.args[0] for handle in handles if not handle.error
    ]
    assert queued.enqueue_many([]) == []


def test_enqueue_many_takes_one_transaction(store: Store) -> None:
    with pytest.raises(queued.DatabaseError):
        queued.enqueue_many([greet.bind("a"), greet.bind("b")], connection=_BrokenSqlite.make())
    assert stored(store) == []


class _BrokenSqlite:
    @staticmethod
    def make() -> Any:
        import sqlite3

        return sqlite3.connect(":memory:")  # has no tables


def test_asyncio_code_enqueues_without_blocking_the_loop(store: Store) -> None:
    async def main() -> list[int | None]:
        one = await greet.aenqueue("a")
        several = await asyncio.gather(*(greet.set(wait=9).aenqueue(str(n)) for n in range(5)))
        many = await queued.aenqueue_many([greet.bind("m"), greet.bind("n")])
        return [handle.id for handle in (one, *several, *many)]

    ids = asyncio.run(main())
    assert sorted(i for i in ids if i is not None) == [row["id"] for row in stored(store)]


def test_each_thread_has_a_connection_of_its_own(store: Store) -> None:
    errors: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for k in range(20):
                greet.enqueue(f"{n}-{k}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(stored(store)) == 80


def test_a_forked_child_opens_a_connection_of_its_own(store: Store) -> None:
    greet.enqueue("parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            greet.enqueue("child")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    greet.enqueue("parent again")
    assert len(stored(store)) == 3


def test_without_a_database_the_error_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match=r"configure\(url\).*QUEUED_DATABASE_URL.*QUEUED_CONFIG"):
        greet.enqueue("x")


def test_a_url_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigurationError) as refused:
        queued.configure("mysql://user:secret@host/db")
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        queued.configure(None)  # type: ignore[arg-type]


def test_a_database_without_tables_is_refused_with_the_remedy(sqlite_url: str) -> None:
    queued.configure(sqlite_url)
    with pytest.raises(DatabaseMisconfigured, match="queued"):
        greet.enqueue("x")


def test_the_variable_and_the_file_say_the_database(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.settings.url
    monkeypatch.setattr(route, "_configured", None)
    monkeypatch.setenv("QUEUED_DATABASE_URL", url)
    assert greet.enqueue("by variable").id is not None
    route._destination.holder = None
    monkeypatch.delenv("QUEUED_DATABASE_URL")
    config = tmp_path / "queue.yml"
    config.write_text(f"development:\n  database: {json.dumps(url)}\n")
    monkeypatch.setenv("QUEUED_CONFIG", str(config))
    monkeypatch.setenv("QUEUED_ENV", "development")
    assert greet.enqueue("by file").id is not None
    assert len(stored(store)) == 2


def test_configure_takes_settings_and_may_be_called_again(store: Store, sqlite_url: str) -> None:
    greet.enqueue("x")
    queued.configure(DatabaseSettings(url="sqlite:////nowhere/at/all.sqlite3"))
    with pytest.raises(DatabaseMisconfigured):
        greet.enqueue("x")
    queued.configure(store.settings)
    greet.enqueue("x")
    assert len(stored(store)) == 2
