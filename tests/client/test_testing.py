"""The helpers for the tests of applications."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import queued
from queued import testing

ran: list[object] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@queued.job(name="test.note")
def note(what: object) -> None:
    ran.append(what)


@queued.job(name="test.chain")
def chain(n: int) -> None:
    ran.append(n)
    if n:
        chain.enqueue(n - 1)
        note.enqueue(f"finish {n}", at_finish=True)


@queued.job(name="test.flaky", retry_on=queued.retry_on(OSError, wait=60, attempts=3, jitter=0))
def flaky(succeed_at: int) -> None:
    job = queued.current_job()
    assert job is not None
    ran.append(job.attempt)
    if job.attempt < succeed_at:
        raise OSError("not yet")


@queued.job(name="test.anote")
async def anote(what: str) -> None:
    await asyncio.sleep(0)
    ran.append(what)


def test_inline_runs_a_job_before_enqueue_returns() -> None:
    with testing.inline():
        handle = note.enqueue((1, {2}))
        assert ran == [(1, {2})]
        assert handle.id is not None
        note.set(wait=3600).enqueue("later is now")
        queued.enqueue_many([note.bind("a"), anote.bind("b")])
    assert ran[1:] == ["later is now", "a", "b"]


def test_inline_follows_retries_and_what_jobs_enqueue() -> None:
    with testing.inline():
        flaky.enqueue(3)
        assert ran == [1, 2, 3]
        ran.clear()
        chain.enqueue(2)
    assert ran == [2, 1, 0, "finish 1", "finish 2"]


def test_inline_raises_what_a_job_fails_with() -> None:
    with testing.inline():
        with pytest.raises(OSError, match="not yet"):
            flaky.enqueue(9)
        with pytest.raises(queued.ArgumentError):
            note.enqueue(object())
    assert ran == [1, 2, 3]


def test_inline_works_inside_an_event_loop() -> None:
    async def main() -> None:
        await anote.aenqueue("x")
        anote.enqueue("y")

    with testing.inline():
        asyncio.run(main())
    assert ran == ["x", "y"]


def test_collect_runs_nothing_until_it_is_drained() -> None:
    with testing.collect() as jobs:
        note.set(queue="mail", priority=2, wait=60).enqueue("x")
        chain.enqueue(1)
        assert ran == []
        assert len(jobs) == 2
        assert jobs[0].args == ("x",)
        drained = jobs.drain()
    assert [job.class_name for job in drained] == ["test.chain", "test.chain", "test.note", "test.note"]
    assert ran == [1, 0, "finish 1", "x"]
    assert {job.state for job in drained} == {"done"}


def test_drain_until_a_moment_leaves_what_is_due_later() -> None:
    now = datetime.now(timezone.utc)
    with testing.collect() as jobs:
        note.set(wait=60).enqueue("soon")
        note.set(wait=3600).enqueue("later")
        flaky.enqueue(2)
        testing.drain(until=now + timedelta(minutes=10))
        assert ran == [1, "soon", 2]
        assert [job.args for job in jobs.waiting()] == [("later",)]


def test_drain_raises_the_error_of_a_job_that_fails_or_keeps_it() -> None:
    with testing.collect() as jobs:
        flaky.enqueue(9)
        with pytest.raises(OSError, match="not yet"):
            jobs.drain()
        flaky.enqueue(9)
        (job,) = jobs.drain(raises=False)
        assert (job.state, job.attempt) == ("failed", 3)
        assert isinstance(job.error, OSError)


def test_drain_stops_at_its_limit() -> None:
    @queued.job(name="test.endless")
    def endless() -> None:
        endless.enqueue()

    with testing.collect() as jobs:
        endless.enqueue()
        with pytest.raises(AssertionError, match="does a job enqueue itself"):
            jobs.drain(limit=20)


def test_assert_enqueued_compares_what_it_is_given() -> None:
    moment = datetime(2031, 1, 1, tzinfo=timezone.utc)
    with testing.collect():
        note.set(queue="mail", wait_until=moment).enqueue(what="x")
        testing.assert_enqueued(note)
        testing.assert_enqueued("test.note", kwargs={"what": "x"}, queue="mail", priority=0, at=moment, count=1)
        testing.assert_enqueued(chain, count=0)
        for wrong in ({"args": ["x"]}, {"queue": "other"}, {"at": moment + timedelta(days=1)}, {"count": 2}):
            with pytest.raises(AssertionError, match=r"enqueued was:\n.*test\.note"):
                testing.assert_enqueued(note, **wrong)
        with pytest.raises(AssertionError, match=r"expected at least one of test\.chain"):
            testing.assert_enqueued(chain)
    with pytest.raises(AssertionError, match="nothing is being collected"):
        testing.drain()


def open_batch(*members: queued.UnsentJob) -> queued.Batch:
    """A batch of these members, with all callbacks."""
    callbacks = {name: tell.bind(name) for name in ("on_success", "on_failure", "on_finish")}
    with queued.batch("b", metadata={"month": 5}, **callbacks) as opened:
        opened.add_many(members)
    return opened


@queued.job(name="test.tell")
def tell(what: str) -> None:
    batch = queued.current_job().batch  # type: ignore[union-attr]
    assert batch is not None
    ran.append((what, batch.metadata["month"], batch.total, batch.done, batch.failed, batch.discarded))


@queued.job(name="test.multiply")
def multiply(n: int) -> None:
    if n:
        queued.current_job().batch.add(multiply.bind(n - 1))  # type: ignore[union-attr]


def test_drain_runs_what_follows_a_batch_as_soon_as_its_last_member_has_ended() -> None:
    with testing.collect() as jobs:
        opened = open_batch(flaky.bind(2), flaky.bind(9), multiply.bind(2))
        assert {job.batch for job in jobs} == {opened.id}
        testing.assert_enqueued(tell, count=0)
        jobs.drain(raises=False)
        testing.assert_enqueued(tell, args=["on_failure"], count=1)
        with pytest.raises(queued.BatchFinished):
            opened.add(note.bind("late"))
        open_batch()
        jobs.drain()
    told = [entry for entry in ran if isinstance(entry, tuple)]
    assert told == [
        ("on_failure", 5, 5, 4, 1, 0),
        ("on_finish", 5, 5, 4, 1, 0),
        ("on_success", 5, 0, 0, 0, 0),
        ("on_finish", 5, 0, 0, 0, 0),
    ]


def test_inline_runs_all_of_a_batch_and_what_follows_before_it_raises_the_first_error() -> None:
    with testing.inline():
        open_batch(note.bind(1), multiply.bind(1))
        assert ran == [1, ("on_success", 5, 3, 3, 0, 0), ("on_finish", 5, 3, 3, 0, 0)]
        ran.clear()
        with pytest.raises(OSError, match="not yet"):
            open_batch(flaky.bind(9), note.bind(2))
    assert ran == [1, 2, 3, 2, ("on_failure", 5, 2, 1, 1, 0), ("on_finish", 5, 2, 1, 1, 0)]


@pytest.mark.parametrize("way", ["inline", "drain"])
def test_a_batch_around_another_is_followed_after_it_and_its_callbacks(way: str) -> None:
    def opened() -> None:
        with queued.batch("outer", metadata={"month": 1}, on_finish=tell.bind("outer")):
            note.enqueue("of the outer one")
            open_batch(note.bind("of the inner one"))

    if way == "inline":
        with testing.inline():
            opened()
    else:
        with testing.collect() as jobs:
            opened()
            jobs.drain()
    assert ran[-1] == ("outer", 1, 4, 4, 0, 0)
    assert ran[-3:-1] == [("on_success", 5, 1, 1, 0, 0), ("on_finish", 5, 1, 1, 0, 0)]


def test_collect_inside_inline_collects() -> None:
    with testing.inline(), testing.collect() as jobs:
        note.enqueue(1)
        assert len(jobs) == 1
    assert ran == []


def test_the_fixture_comes_with_the_package(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent(
            """
            import queued

            @queued.job
            def work(n): pass

            def test_it(queued_jobs):
                work.enqueue(1)
                queued_jobs.assert_enqueued(work, args=[1], count=1)
                queued_jobs.drain()

            def test_the_next_begins_with_nothing(queued_jobs):
                assert len(queued_jobs) == 0
            """
        )
    )
    # The plugin may be installed or not; here it is loaded once, by name.
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "queued.testing", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_helpers_need_no_pytest_and_load_no_client_until_used() -> None:
    script = "import sys, queued.testing; print('pytest' in sys.modules, [m for m in sys.modules if m.startswith('queued.client')])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False []\n"
