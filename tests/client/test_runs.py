"""A run of a schedule inside the application: what is said to the scheduler, and when it has to be asked at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import queued
from queued.client import callbacks, guest, registry, route
from queued.domain.errors import EnqueueError


class Scheduler:
    """The other end: stores what it is given, or refuses."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.answer = answer
        self.jobs: list[dict[str, Any]] = []
        self.others: list[dict[str, Any]] = []
        self.said: list[tuple[str, str]] = []

    def bound(self, job: dict[str, Any]) -> dict[str, Any]:
        self.jobs.append(job)
        if self.answer is None:
            raise EnqueueError("its task was changed meanwhile")
        return self.answer

    def unbound(self, why: str, message: str) -> None:
        self.said.append((why, message))

    def enqueue(self, jobs: list[dict[str, Any]], *more: Any) -> dict[str, Any]:
        self.others += jobs
        return {"ids": list(range(100, 100 + len(jobs)))}

    def stopping(self) -> bool:
        return False

    def watch(self, key: Any, steps: Any) -> None:
        raise AssertionError("nothing runs here")

    save = watch


@pytest.fixture(autouse=True)
def _own_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_jobs", {})
    monkeypatch.setattr(callbacks, "everywhere", callbacks.Callbacks())
    yield
    route.bind_port(None)


def run(job: str, args: str = '{"args":[],"kwargs":{}}', answer: Any = None, **placed: Any) -> Scheduler:
    scheduler = Scheduler({"ids": [7]} if answer is None else answer)
    guest.enqueue_run({"class": job, "args": args, "queue": None, "priority": None, **placed}, scheduler)  # type: ignore[arg-type]
    return scheduler


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, False),
        ({"queue": "mail", "priority": 3, "timeout": 5, "retry_on": OSError}, False),
        ({"queue": lambda: "mail"}, True),
        ({"priority": lambda: 3}, True),
        ({"limits": queued.limits_concurrency(to=2)}, True),
        ({"unique": queued.unique()}, True),
        ({"rate": queued.rate_limit(1, per=60)}, True),
        ({"expires": 60}, True),
    ],
)
def test_the_application_is_asked_where_an_enqueue_depends_on_more_than_the_manifest_says(
    options: dict[str, Any], asked: bool
) -> None:
    queued.job(name="test.work", **options)(lambda: None)
    assert guest.manifest()["jobs"]["test.work"]["asks"] is asked


@pytest.mark.parametrize("everybody", [False, True])
@pytest.mark.parametrize("point", ["before_enqueue", "around_enqueue", "after_enqueue"])
def test_an_enqueue_callback_of_the_job_or_of_all_jobs_has_to_be_asked(point: callbacks.Point, everybody: bool) -> None:
    job = queued.job(name="test.work")(lambda: None)
    owner = callbacks.everywhere if everybody else job

    def callback(given: Any) -> Iterator[None]:
        yield

    getattr(owner, point)(callback)
    assert guest.manifest()["jobs"]["test.work"]["asks"] is True


def test_a_run_is_bound_with_all_that_the_job_declares_and_placed_by_its_task() -> None:
    @queued.job(
        name="test.work",
        queue=lambda shop: f"shop-{shop}",
        timeout=9,
        expires=60,
        limits=queued.limits_concurrency(to=2, key=lambda shop: shop),
        unique=queued.unique(lambda shop: shop),
    )
    def work(shop: int) -> None: ...

    (bound,) = run("test.work", '{"args":[3],"kwargs":{}}').jobs
    assert (bound["class_name"], bound["queue"], bound["priority"], bound["options"]) == (
        "test.work",
        "shop-3",
        0,
        '{"timeout":9.0}',
    )
    assert (bound["limits"][0]["key"], bound["unique"]["key"], bound["expires"]) == ("test.work/3", "test.work/3", 60.0)
    (placed,) = run("test.work", '{"args":[3],"kwargs":{}}', queue="here", priority=0).jobs
    assert (placed["queue"], placed["priority"]) == ("here", 0)


def test_callbacks_see_the_handle_and_may_enqueue_and_nothing_follows_a_refusal() -> None:
    seen: list[Any] = []

    @queued.job(name="test.other")
    def other() -> None: ...

    @queued.job(name="test.work")
    def work() -> None: ...

    @work.around_enqueue
    def around(unsent: Any) -> Iterator[None]:
        try:
            handle = yield
            seen.append(("around", handle.id))
        except EnqueueError as error:
            seen.append(("refused", str(error)))
            raise

    @work.after_enqueue
    def after(handle: Any) -> None:
        seen.append(("after", handle.id, other.enqueue().id))

    assert run("test.work").others[0]["class_name"] == "test.other"
    assert seen == [("around", 7), ("after", 7, 100)]
    seen.clear()
    refusing = Scheduler()
    guest.enqueue_run({"class": "test.work", "args": '{"args":[],"kwargs":{}}'}, refusing)  # type: ignore[arg-type]
    assert seen == [("refused", "its task was changed meanwhile")]
    assert refusing.said == []


def aborts() -> None:
    raise queued.Abort


def fails() -> None:
    raise LookupError("no such shop")


def leaves() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (aborts, ("aborted", "an enqueue callback said no")),
        (fails, ("failed", "LookupError: no such shop")),
        (leaves, ("failed", "SystemExit: 3")),
    ],
)
def test_a_callback_that_says_no_or_fails_is_told_and_nothing_is_bound(
    callback: Callable[[], None], said: tuple[str, str]
) -> None:
    @queued.job(name="test.work")
    def work() -> None: ...

    work.before_enqueue(lambda unsent: callback())
    scheduler = run("test.work")
    assert (scheduler.jobs, scheduler.said) == ([], [said])


def test_arguments_that_do_not_fit_and_names_that_are_no_jobs_are_told() -> None:
    @queued.job(name="test.work")
    def work() -> None: ...

    (said,) = run("test.work", '{"args":[1],"kwargs":{}}').said
    assert said[0] == "failed"
    assert said[1].startswith("TypeError: ")
    (said,) = run("test.wrok").said
    assert said[0] == "unknown"
    assert "Near names: test.work" in said[1]
    assert set(guest.unknown(["test.work", "test.wrok"])) == {"test.wrok"}


def test_an_after_enqueue_that_fails_is_printed_for_the_job_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    @queued.job(name="test.work")
    def work() -> None: ...

    work.after_enqueue(lambda handle: fails())
    assert run("test.work").said == []
    told = capsys.readouterr().err
    assert "job 7 is stored, and its after_enqueue callback failed:" in told
    assert "LookupError: no such shop" in told
