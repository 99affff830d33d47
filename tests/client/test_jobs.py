"""What `@queued.job` makes of a function."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import queued
from queued import testing
from queued.client import registry
from queued.domain.errors import ConfigurationError, EnqueueError


@queued.job
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@queued.job(queue=lambda a, **_: f"tenant-{a}", priority=lambda a, **_: -a)
def by_arguments(a: int, *, note: str = "") -> None:
    pass


@queued.job(name="test.shout")
async def shout(word: str) -> str:
    return word.upper()


def test_calling_a_job_runs_it_here_and_now() -> None:
    assert add(1, b=2) == 3
    assert asyncio.run(shout("a")) == "A"
    assert add.__doc__ == "Add."
    assert add.__name__ == "add"  # type: ignore[attr-defined]


def test_a_job_is_stored_under_its_module_and_name_unless_it_has_one_of_its_own() -> None:
    assert add.name == f"{__name__}.add"
    assert shout.name == "test.shout"


def test_queue_and_priority_may_be_functions_of_the_arguments(queued_jobs: testing.Collection) -> None:
    by_arguments.enqueue(7, note="x")
    by_arguments.set(queue="urgent", priority=-1).enqueue(7)
    assert [(job.queue, job.priority) for job in queued_jobs] == [("tenant-7", -7), ("urgent", -1)]


def test_set_leaves_the_job_itself_as_it_was_and_adds_up(queued_jobs: testing.Collection) -> None:
    soon = add.set(wait=60).set(queue="slow")
    soon.enqueue(1)
    add.enqueue(1)
    assert [job.queue for job in queued_jobs] == ["slow", "default"]
    assert queued_jobs[0].run_at is not None
    assert queued_jobs[1].run_at is None


@pytest.mark.parametrize("wait", [90, 90.0, timedelta(seconds=90)])
def test_wait_is_seconds_or_a_timedelta_from_now(queued_jobs: testing.Collection, wait: Any) -> None:
    handle = add.set(wait=wait).enqueue(1)
    expected = datetime.now(timezone.utc) + timedelta(seconds=90)
    queued_jobs.assert_enqueued(add, at=expected)
    assert handle.run_at is not None
    assert abs(handle.run_at - expected) < timedelta(seconds=5)


def test_a_wait_of_nothing_or_less_is_at_once(queued_jobs: testing.Collection) -> None:
    for wait in (0, -5, timedelta(days=-1)):
        assert add.set(wait=wait).enqueue(1).run_at is None


def test_wait_until_is_an_aware_moment(queued_jobs: testing.Collection) -> None:
    moment = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    add.set(wait_until=moment).enqueue(1)
    assert queued_jobs[0].run_at == moment
    with pytest.raises(EnqueueError, match="has no time zone"):
        add.set(wait_until=datetime(2030, 1, 1))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"wait": float("inf")}, "must be seconds"),
        ({"wait": "60"}, "must be seconds"),
        ({"wait": 1e13}, "hundred years"),
        ({"wait": 1, "wait_until": datetime.now(timezone.utc)}, "one of the two"),
        ({"wait_until": "tomorrow"}, "must be a datetime"),
        ({"wait_until": datetime.max.replace(tzinfo=timezone(-timedelta(hours=2)))}, "outside the years"),
        ({"queue": ""}, "1 to 255"),
        ({"queue": "a\0b"}, "cannot be printed"),
        ({"queue": "\ud800"}, "cannot be printed"),
        ({"queue": 3}, "must be text"),
        ({"priority": 2**31}, "32 bits"),
        ({"priority": True}, "32 bits"),
        ({"priority": 1.5}, "32 bits"),
    ],
)
def test_options_that_cannot_be_are_refused_with_a_sentence(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EnqueueError, match=complaint):
        add.set(**options)


def test_a_computed_queue_is_checked_too(queued_jobs: testing.Collection) -> None:
    with pytest.raises(EnqueueError, match="must be text"):
        add.set(queue=lambda a: 3).enqueue(1)  # type: ignore[arg-type, return-value]
    assert len(queued_jobs) == 0


def test_wrong_arguments_are_a_type_error_at_enqueue(queued_jobs: testing.Collection) -> None:
    for call in (add.enqueue, add.bind):
        with pytest.raises(TypeError, match="missing a required argument"):
            call()  # type: ignore[call-arg, call-overload]
        with pytest.raises(TypeError, match="unexpected keyword"):
            call(1, c=2)  # type: ignore[call-arg, call-overload]
    assert len(queued_jobs) == 0


def test_an_option_that_there_is_none_of_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"^@queued\.job has no option 'retry'; did you mean retry_on\?$"):
        queued.job(retry=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"has no option 'zzz'; there are: queue, priority, name, "):
        queued.job(zzz=3)  # type: ignore[call-overload]


def test_declaring_what_cannot_run_is_refused() -> None:
    with pytest.raises(TypeError, match="generator"):

        @queued.job
        def generator() -> Any:
            yield 1

    with pytest.raises(TypeError, match="goes above a function"):
        queued.job(print)
    with pytest.raises(ConfigurationError, match="timeout"):
        queued.job(timeout=0)(lambda: None)
    with pytest.raises(ConfigurationError, match="queue"):
        queued.job(queue="")(lambda: None)
    with pytest.raises(TypeError, match="expires"):
        queued.job(expires=3)(lambda: None)  # type: ignore[call-overload]


def test_two_functions_of_one_name_are_refused_with_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_jobs", {})
    queued.job(name="same")(lambda: 1)

    def other() -> None:
        pass

    with pytest.raises(ConfigurationError, match=r"two jobs are named 'same'.*test_jobs.py:\d+.*test_jobs.py:\d+"):
        queued.job(name="same")(other)


def test_a_job_inside_a_function_runs_here_but_is_not_stored(queued_jobs: testing.Collection) -> None:
    @queued.job
    def local() -> int:
        return 1

    assert local() == 1
    with pytest.raises(EnqueueError, match="defined inside a function"):
        local.enqueue()


SCRIPT = """
import queued
from queued import testing

@queued.job
def work() -> None: pass

with testing.collect() as jobs:
    try:
        work.enqueue()
    except queued.EnqueueError as error:
        print("refused:", error)
    print([job.class_name for job in jobs])
"""


def test_a_job_of_the_script_that_runs_is_refused_and_one_run_by_module_name_is_stored(tmp_path: Any) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    paths = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    as_file = subprocess.run(
        [sys.executable, tmp_path / "script.py"], env=paths, capture_output=True, text=True, check=True
    )
    assert "is defined in __main__" in as_file.stdout
    assert "app: import:" in as_file.stdout
    assert "[]" in as_file.stdout
    as_module = subprocess.run([sys.executable, "-m", "script"], env=paths, capture_output=True, text=True, check=True)
    assert as_module.stdout == "['script.work']\n"


def test_a_parameter_named_connection_belongs_to_the_function(queued_jobs: testing.Collection) -> None:
    @queued.job(name="test.dial")
    def dial(connection: str) -> None:
        pass

    dial.enqueue(connection="modem")
    assert queued_jobs[0].kwargs == {"connection": "modem"}
