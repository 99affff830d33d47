"""The runner's side: one delivery in, one outcome out, whatever the job does."""

from __future__ import annotations

import asyncio
import ctypes
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import queued
from client.deliveries import RecordingPort, delivery
from queued.client import guest, registry
from queued.client.arguments import encode_call
from queued.domain.errors import JobCancelled, JobTimedOut
from queued.runner.coroutines import Interruptible


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_jobs", {})


def perform(given: dict[str, Any], port: RecordingPort | None = None) -> dict[str, Any]:
    return guest.perform(given, port or RecordingPort())


def nothing() -> None:
    """A job that ends at once."""


def raising(error: Callable[[], BaseException], **options: Any) -> queued.Job[[], None]:
    def work() -> None:
        raise error()

    return queued.job(name=f"test.raising.{len(registry.registered())}", **options)(work)


def test_a_job_that_returns_is_done() -> None:
    got: list[Any] = []

    @queued.job(name="test.take")
    def job(*args: Any, **kwargs: Any) -> None:
        got.append((args, kwargs))

    given = delivery(job)
    given["args"] = encode_call([1, (2,)], {"k": {3}})
    assert perform(given) == {"kind": "done"}
    assert got == [((1, (2,)), {"k": {3}})]


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        MemoryError,
        StopIteration,
        RecursionError,
        asyncio.CancelledError,
    ],
)
def test_whatever_a_job_raises_is_a_failed_attempt(error: type[BaseException]) -> None:
    job = raising(lambda: error("x"))
    outcome = perform(delivery(job))
    assert (outcome["kind"], outcome["error"]["class"].rpartition(".")[2], outcome["error"]["message"]) == (
        "failed",
        error.__name__,
        "x",
    )

    @queued.job(name="test.raising_async")
    async def work() -> None:
        raise error("x")

    if error is not StopIteration:  # a coroutine cannot raise it
        assert perform(delivery(work))["error"]["class"].rpartition(".")[2] == error.__name__
        if not issubclass(error, (SystemExit, KeyboardInterrupt)):
            outcome = asyncio.run(guest.aperform(delivery(work), RecordingPort()))
            assert outcome["error"]["class"].rpartition(".")[2] == error.__name__


def test_recursion_without_end_fails_that_job_only() -> None:
    @queued.job(name="test.deeper")
    def deeper() -> None:
        deeper()

    assert perform(delivery(deeper))["error"]["class"] == "RecursionError"
    ok = queued.job(name="test.ok")(nothing)
    assert perform(delivery(ok)) == {"kind": "done"}


def test_retry_and_discard_follow_the_declarations() -> None:
    policy = queued.retry_on(OSError, wait=9, jitter=0, attempts=3, queue="slow", priority=5)
    job = raising(lambda: ConnectionError("x"), retry_on=policy)
    outcome = perform(delivery(job))
    assert {**outcome, "error": None} == {
        "kind": "retry", "error": None, "wait": 9, "policy": "OSError", "queue": "slow", "priority": 5,
    }  # fmt: skip
    assert perform(delivery(job, counters={"OSError": 1}))["kind"] == "retry"
    assert perform(delivery(job, counters={"OSError": 2}))["kind"] == "failed"
    outcome = perform(delivery(raising(lambda: KeyError("x"), discard_on=LookupError)))
    assert (outcome["kind"], outcome["error"]["class"]) == ("discarded", "KeyError")


def test_a_wait_function_that_fails_fails_the_job_and_shows_both_errors() -> None:
    job = raising(lambda: OSError("first"), retry_on=queued.retry_on(OSError, wait=lambda attempt: 1 // 0))
    outcome = perform(delivery(job))
    assert (outcome["kind"], outcome["error"]["class"]) == ("failed", "ZeroDivisionError")
    assert any("OSError: first" in line for line in outcome["error"]["backtrace"])
    job = raising(lambda: OSError("first"), retry_on=queued.retry_on(OSError, wait=lambda attempt: float("nan")))
    assert "wait function" in perform(delivery(job))["error"]["message"]


def test_soft_exceptions_end_as_their_reason_says() -> None:
    assert perform(delivery(raising(guest.soft_exception("stop")))) == {"kind": "released"}
    cancelled = perform(delivery(raising(guest.soft_exception("cancel"))))
    assert (cancelled["kind"], cancelled["error"]["class"]) == ("cancelled", "queued.JobCancelled")
    timed_out = perform(delivery(raising(guest.soft_exception("timeout"))))
    assert (timed_out["kind"], timed_out["error"]["class"]) == ("failed", "queued.JobTimedOut")
    assert timed_out["error"]["message"] == "the job ran longer than its timeout"
    again = raising(guest.soft_exception("timeout"), retry_on=JobTimedOut)
    assert perform(delivery(again))["kind"] == "retry"
    assert guest.soft_exception("cancel") is JobCancelled


def test_a_stop_is_not_caught_by_a_jobs_own_except_exception() -> None:
    @queued.job(name="test.careful")
    def careful() -> None:
        try:
            raise queued.JobInterrupted
        except Exception:
            pass

    assert perform(delivery(careful)) == {"kind": "released"}


def test_an_exception_raised_into_the_thread_ends_the_job_that_runs_there() -> None:
    running = threading.Event()
    outcomes: list[dict[str, Any]] = []

    @queued.job(name="test.spin")
    def spin() -> None:
        running.set()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass

    thread = threading.Thread(target=lambda: outcomes.append(perform(delivery(spin))))
    thread.start()
    assert running.wait(30)
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(guest.soft_exception("timeout"))
    )
    thread.join(30)
    assert outcomes[0]["error"]["class"] == "queued.JobTimedOut"


@pytest.mark.parametrize(("reason", "kind"), [("stop", "released"), ("cancel", "cancelled"), ("timeout", "failed")])
def test_a_coroutine_that_the_runner_interrupts_ends_as_the_reason_says(reason: str, kind: str) -> None:
    @queued.job(name="test.sleep")
    async def sleep() -> None:
        await asyncio.sleep(60)

    async def main() -> dict[str, Any]:
        attempt = Interruptible(guest.aperform(delivery(sleep), RecordingPort()))
        asyncio.get_running_loop().call_later(0.01, attempt.interrupt, guest.soft_exception(reason))
        outcome: dict[str, Any] = await attempt
        return outcome

    outcome = asyncio.run(main())
    assert outcome["kind"] == kind
    if reason == "timeout":
        assert outcome["error"]["class"] == "queued.JobTimedOut"
        assert outcome["error"]["message"] == "the job ran longer than its timeout"


def test_an_unknown_job_fails_with_near_names_and_what_to_check() -> None:
    for name in ("app.jobs.resize", "app.mail.welcome", "other.thing"):
        queued.job(name=name)(lambda: None)
    outcome = perform(delivery("app.jobs.resise"))
    assert (outcome["kind"], outcome["error"]["class"]) == ("failed", "queued.UnknownJob")
    message = outcome["error"]["message"]
    assert "app.jobs.resize" in message
    assert "app: import:" in message
    assert not outcome["error"]["backtrace"][0].startswith("Traceback")
    assert "app.mail.welcome" in perform(delivery("app.letters.welcom"))["error"]["message"]


def test_a_job_whose_module_was_not_imported_yet_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_module.py").write_text("import queued\n@queued.job\ndef work():\n    pass\n")
    (tmp_path / "broken_module.py").write_text("import no_such_thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert perform(delivery("late_module.work")) == {"kind": "done"}
    outcome = perform(delivery("broken_module.work"))
    assert "No module named 'no_such_thing'" in outcome["error"]["message"]
    assert any("broken_module.py" in line for line in outcome["error"]["backtrace"])
    assert not guest.is_coroutine("nowhere.at.all")


def test_arguments_that_cannot_be_read_fail_the_job() -> None:
    @queued.job(name="test.take")
    def job(*args: Any) -> None:
        pass

    outcome = perform(delivery(job, args='{"args":[{"$queued":"gone","value":1}],"kwargs":{}}'))
    assert (outcome["kind"], outcome["error"]["class"]) == ("failed", "queued.ArgumentError")
    assert "args[0]" in outcome["error"]["message"]
    assert perform(delivery(job, args="{"))["kind"] == "failed"
    none = queued.job(name="test.none")(nothing)
    assert perform(delivery(none, 1))["error"]["class"] == "TypeError"


def test_options_that_cannot_be_read_do_not_lose_the_job() -> None:
    job = queued.job(name="test.ok")(lambda: None)
    assert perform(delivery(job, opts="{{")) == {"kind": "done"}


def test_a_job_that_enqueues_needs_no_database_of_its_own() -> None:
    port = RecordingPort()
    child = queued.job(name="test.child", timeout=4)(lambda n: None)
    handles: list[queued.EnqueuedJob] = []

    @queued.job(name="test.parent")
    def parent() -> None:
        handles.append(child.set(wait=5, queue="q").enqueue(1))
        handles.extend(queued.enqueue_many([child.bind(2), child.bind(3)]))

    given = delivery(parent, opts=json.dumps({"context": {"tenant": "acme"}}))
    assert perform(given, port) == {"kind": "done"}
    assert [handle.id for handle in handles] == [1000, 1001, 1002]
    first = port.jobs[0]
    assert (first["class_name"], first["queue"], first["wait"], first["run_at"]) == ("test.child", "q", 5.0, None)
    assert json.loads(first["options"]) == {"timeout": 4.0, "context": {"tenant": "acme"}}
    json.dumps(port.jobs)  # it goes through a wire


def test_jobs_for_the_finish_go_with_the_outcome_and_only_when_it_is_good() -> None:
    port = RecordingPort()
    child = queued.job(name="test.child")(lambda n: None)

    @queued.job(name="test.parent", retry_on=OSError)
    def parent(fail: bool) -> None:
        handle = child.set(at_finish=True).enqueue(1)
        assert (handle.id, handle.aborted, handle.error) == (None, False, None)
        queued.enqueue_many([child.bind(2)], at_finish=True)
        child.enqueue(3, at_finish=True)
        if fail:
            raise OSError

    outcome = perform(delivery(parent, False), port)
    assert outcome["kind"] == "done"
    assert [json.loads(job["arguments"])["args"] for job in outcome["enqueue"]] == [[1], [2], [3]]
    assert "enqueue" not in perform(delivery(parent, True), port)
    assert port.jobs == []


def test_at_finish_outside_a_job_is_an_error_with_a_remedy() -> None:
    child = queued.job(name="test.child")(lambda n: None)
    with pytest.raises(queued.EnqueueError, match="only inside a job"):
        child.enqueue(1, at_finish=True)


def test_async_jobs_run_in_a_thread_worker_and_sync_ones_in_a_task() -> None:
    seen: list[int | None] = []

    def note() -> None:
        job = queued.current_job()
        seen.append(None if job is None else job.id)

    @queued.job(name="test.async")
    async def asynchronous() -> None:
        await asyncio.sleep(0)
        await asyncio.gather(*(asyncio.to_thread(note) for _ in range(2)))

    synchronous = queued.job(name="test.sync")(note)
    assert guest.is_coroutine("test.async")
    assert not guest.is_coroutine("test.sync")
    assert perform(delivery(asynchronous)) == {"kind": "done"}
    assert asyncio.run(guest.aperform(delivery(synchronous), RecordingPort())) == {"kind": "done"}
    assert seen == [7, 7, 7]
    assert queued.current_job() is None


def test_tasks_and_threads_each_see_their_own_job_and_context() -> None:
    seen: dict[int, Any] = {}

    @queued.job(name="test.look")
    async def look(n: int) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            job = queued.current_job()
            assert job is not None
            assert (job.id, dict(queued.current_context())) == (n, {"n": n})
            seen[n] = job.context

    def given(n: int) -> dict[str, Any]:
        return delivery(look, n, id=n, opts=json.dumps({"context": {"n": n}}))

    async def main() -> None:
        port = RecordingPort()
        outcomes = await asyncio.gather(*(guest.aperform(given(n), port) for n in range(1, 20)))
        assert outcomes == [{"kind": "done"}] * 19

    asyncio.run(main())
    threads = [threading.Thread(target=perform, args=(given(n),)) for n in range(20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == list(range(1, 30))


def test_the_manifest_names_jobs_hooks_and_version() -> None:
    queued.job(name="a", queue="mail", priority=4, timeout=3)(lambda: None)
    queued.job(name="b", queue=lambda: "x", priority=lambda: 1)(lambda: None)
    queued.on_worker_start(lambda info: None)
    queued.on_exit(lambda info: None)
    assert guest.manifest() == {
        "jobs": {
            "a": {"queue": "mail", "priority": 4, "timeout": 3.0, "async": False, "asks": False},
            "b": {"queue": None, "priority": None, "timeout": None, "async": False, "asks": True},
        },
        "hooks": ["exit", "worker_start"],
        "version": queued.__version__,
    }
    assert guest.PROTOCOL == 2


def test_loading_imports_the_modules_and_lets_their_errors_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good_app.py").write_text("import queued\n@queued.job\ndef work():\n    pass\n")
    (tmp_path / "bad_app.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    guest.load(["good_app"])
    assert "good_app.work" in guest.manifest()["jobs"]
    with pytest.raises(ZeroDivisionError):
        guest.load(["good_app", "bad_app"])


def test_the_guest_needs_no_driver_and_no_configuration_to_run_jobs() -> None:
    script = (
        "import sys, queued\nfrom queued.client import guest\n"
        "queued.job(name='t')(lambda: None)\n"
        "d = dict(id=1, lease=1, args='{\"args\":[],\"kwargs\":{}}', opts=None, queue='q', priority=0)\n"
        "d.update(attempt=1, counters={}, enqueued_at=0)\n"
        "print(guest.perform({**d, 'class': 't'}, None)['kind'])\n"
        "unwanted = ('psycopg', 'sqlite3', 'yaml', 'asyncio')\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in unwanted or 'queued.storage' in m))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "done\n[]\n"
