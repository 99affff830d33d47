"""Functions around the enqueueing and the running of jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterator
from typing import Any

import pytest

import queued
from client.deliveries import RecordingPort, delivery
from queued import testing
from queued.client import guest
from queued.client.callbacks import POINTS


@queued.job(name="test.step")
def step(n: int) -> None:
    seen.append(f"run {n}")
    if n < 0:
        raise ValueError("negative")


seen: list[str] = []


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    seen.clear()
    yield
    for point in POINTS:
        step.at(point).clear()


def perform(*args: Any, job: Any = step, **fields: Any) -> dict[str, Any]:
    return guest.perform(delivery(job, *args, **fields), RecordingPort())


def test_callbacks_run_around_an_enqueue_like_the_layers_of_an_onion(queued_jobs: testing.Collection) -> None:
    @queued.before_enqueue
    def all_before(unsent: queued.UnsentJob) -> None:
        seen.append(f"all before {unsent.class_name} {unsent.args}")

    @queued.around_enqueue
    def all_around(unsent: queued.UnsentJob) -> Generator[None, queued.EnqueuedJob, None]:
        seen.append("all around in")
        handle = yield
        seen.append(f"all around out {handle.id == queued_jobs[0].id}")

    @step.before_enqueue
    def before(unsent: queued.UnsentJob) -> None:
        seen.append("before")

    @step.around_enqueue
    def around(unsent: queued.UnsentJob) -> Generator[None, queued.EnqueuedJob, None]:
        seen.append("around in")
        yield
        seen.append("around out")

    @step.after_enqueue
    def after(enqueued: queued.EnqueuedJob) -> None:
        seen.append(f"after {enqueued.id is not None}")

    @queued.after_enqueue
    def all_after(enqueued: queued.EnqueuedJob) -> None:
        seen.append("all after")

    step.enqueue(1)
    assert seen == [
        "all before test.step (1,)", "before", "all around in", "around in",
        "around out", "all around out True", "after True", "all after",
    ]  # fmt: skip


def test_abort_keeps_a_job_from_being_stored(queued_jobs: testing.Collection) -> None:
    @step.before_enqueue
    def only_even(unsent: queued.UnsentJob) -> None:
        if unsent.args[0] % 2:
            raise queued.Abort

    step.after_enqueue(lambda handle: seen.append(f"after {handle.args}"))
    handle = step.enqueue(1)
    assert (handle.id, handle.aborted, handle.error) == (None, True, None)
    handles = queued.enqueue_many([step.bind(n) for n in range(4)])
    assert [handle.aborted for handle in handles] == [False, True, False, True]
    assert [job.args for job in queued_jobs] == [(0,), (2,)]
    assert seen == ["after (0,)", "after (2,)"]


def test_an_around_that_does_not_yield_aborts(queued_jobs: testing.Collection) -> None:
    @step.around_enqueue
    def never(unsent: queued.UnsentJob) -> Generator[None, queued.EnqueuedJob, None]:
        if unsent.args[0] > 5:
            yield

    assert step.enqueue(1).aborted
    assert not step.enqueue(6).aborted
    assert len(queued_jobs) == 1


def test_a_failing_callback_fails_its_own_job_alone(queued_jobs: testing.Collection) -> None:
    @step.before_enqueue
    def picky(unsent: queued.UnsentJob) -> None:
        if unsent.args[0] == 1:
            raise KeyError("no")

    with pytest.raises(KeyError):
        step.enqueue(1)
    handles = queued.enqueue_many([step.bind(n) for n in range(3)])
    assert [type(handle.error) for handle in handles] == [type(None), KeyError, type(None)]
    assert len(queued_jobs) == 2


def test_a_failing_after_enqueue_tells_that_the_job_is_stored(queued_jobs: testing.Collection) -> None:
    step.after_enqueue(lambda handle: 1 // 0)
    (handle,) = queued.enqueue_many([step.bind(1)])
    assert handle.id is not None
    assert isinstance(handle.error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        step.enqueue(2)
    assert len(queued_jobs) == 2


def test_arounds_see_the_error_of_a_database_that_fails() -> None:
    @step.around_enqueue
    def watching(unsent: queued.UnsentJob) -> Generator[None, queued.EnqueuedJob, None]:
        try:
            yield
        except queued.ConfigurationError:
            seen.append("told")  # and swallowed: still the caller must know

    with pytest.raises(queued.ConfigurationError):
        step.enqueue(1)
    assert seen == ["told"]


def test_callbacks_run_around_an_attempt() -> None:
    @queued.around_perform
    def all_around(job: queued.CurrentJob) -> Generator[None, None, None]:
        seen.append(f"all in {job.id}")
        yield
        seen.append("all out")

    @step.around_perform
    def around(job: queued.CurrentJob) -> Generator[None, None, None]:
        seen.append("in")
        try:
            yield
        finally:
            seen.append("out")

    step.before_perform(lambda job: seen.append(f"before {job.args}"))
    step.after_perform(lambda job: seen.append("after"))
    assert perform(1) == {"kind": "done"}
    assert seen == ["before (1,)", "all in 7", "in", "run 1", "after", "out", "all out"]
    seen.clear()
    assert perform(-1)["kind"] == "failed"
    assert seen == ["before (-1,)", "all in 7", "in", "run -1", "out"]


def test_abort_before_perform_ends_the_job_as_discarded_without_running_it() -> None:
    @step.before_perform
    def closed(job: queued.CurrentJob) -> None:
        raise queued.Abort

    step.after_perform(lambda job: seen.append("after"))
    step.after_discard(lambda job, error: seen.append("discard"))
    assert perform(1) == {"kind": "discarded"}
    assert seen == []


def test_abort_inside_the_job_itself_is_an_error_like_any_other() -> None:
    @queued.job(name="test.aborts")
    def aborts() -> None:
        raise queued.Abort("too late")

    outcome = perform(job=aborts)
    assert (outcome["kind"], outcome["error"]["class"]) == ("failed", "queued.Abort")


def test_an_around_perform_may_turn_an_error_into_success() -> None:
    @step.around_perform
    def forgiving(job: queued.CurrentJob) -> Generator[None, None, None]:
        try:
            yield
        except ValueError:
            pass

    assert perform(-1) == {"kind": "done"}


def test_an_around_that_yields_twice_fails_the_attempt() -> None:
    @step.around_perform
    def twice(job: queued.CurrentJob) -> Generator[None, None, None]:
        yield
        yield

    outcome = perform(1)
    assert outcome["kind"] == "failed"
    assert "yielded more than once" in outcome["error"]["message"]


def test_errors_in_callbacks_count_as_the_attempts_own() -> None:
    @queued.job(name="test.retrying", retry_on=queued.retry_on(ZeroDivisionError, wait=4, jitter=0))
    def fine() -> None:
        pass

    fine.after_perform(lambda job: 1 // 0)
    outcome = perform(job=fine)
    assert (outcome["kind"], outcome["wait"]) == ("retry", 4)


def test_after_discard_runs_when_a_job_is_given_up_and_only_then(caplog: pytest.LogCaptureFixture) -> None:
    policy = queued.retry_on(OSError, attempts=2)

    @queued.job(name="test.fragile", retry_on=policy, discard_on=KeyError)
    def fragile(kind: str) -> None:
        raise {"os": OSError, "key": KeyError, "value": ValueError}[kind]()

    @fragile.after_discard
    def broken(job: queued.CurrentJob, error: BaseException) -> None:
        raise RuntimeError("in the callback")

    @queued.after_discard
    def given_up(job: queued.CurrentJob, error: BaseException) -> None:
        assert queued.current_job() is not None
        seen.append(f"{job.args[0]} {type(error).__name__}")

    with caplog.at_level(logging.ERROR, "queued"):
        assert perform("os", job=fragile)["kind"] == "retry"
        assert seen == []
        assert perform("os", job=fragile, counters={policy.key: 1})["kind"] == "failed"
        assert perform("key", job=fragile)["kind"] == "discarded"
        assert perform("value", job=fragile)["kind"] == "failed"
    assert seen == ["os OSError", "key KeyError", "value ValueError"]
    assert "after_discard callback" in caplog.text


def test_callbacks_of_async_jobs_are_plain_functions_too() -> None:
    @queued.job(name="test.async_step")
    async def async_step() -> None:
        await asyncio.sleep(0)
        seen.append("run")

    @async_step.around_perform
    def around(job: queued.CurrentJob) -> Generator[None, None, None]:
        seen.append("in")
        yield
        seen.append("out")

    outcome = asyncio.run(guest.aperform(delivery(async_step), RecordingPort()))
    assert outcome == {"kind": "done"}
    assert seen == ["in", "run", "out"]


def test_what_cannot_be_a_callback_is_refused() -> None:
    async def coroutine(job: queued.CurrentJob) -> None:
        pass

    with pytest.raises(TypeError, match="plain functions"):
        step.before_perform(coroutine)
    with pytest.raises(TypeError, match="generator function"):
        step.around_perform(lambda job: None)  # type: ignore[type-var]
