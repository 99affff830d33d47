"""Steps and progress as a job's code meets them, attempt by attempt."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

import queued
from client.deliveries import RecordingPort, delivery
from queued import testing
from queued.client import route
from queued.client.guest import aperform, perform
from queued.client.steps import MAX_CURSOR, MAX_STEPS

Body = Callable[[], Any]
_numbers = itertools.count()


class Attempts:
    """Runs a job again and again, each time from the state that the attempt before left behind."""

    def __init__(self, body: Body, **options: Any) -> None:
        self.job = queued.job(name=f"steps.{next(_numbers)}", **options)(body)
        self.port = RecordingPort()
        self.stored: str | None = None

    def run(self) -> dict[str, Any]:
        """One attempt; its outcome. What the runner would have read last is kept."""
        given = {} if self.stored is None else {"steps": self.stored}
        self.port.watched.clear()
        handed = delivery(self.job, **given)
        outcome = asyncio.run(aperform(handed, self.port)) if self.job.is_async else perform(handed, self.port)
        for steps in self.port.watched.values():
            self.stored = steps.state()["steps"] or self.stored
        return outcome

    @property
    def state(self) -> Any:
        return json.loads(self.stored or "null")


@pytest.fixture(autouse=True)
def _unbound() -> Iterator[None]:
    yield
    route.bind_port(None)


def error(outcome: dict[str, Any]) -> str:
    assert outcome["kind"] == "failed", outcome
    return f"{outcome['error']['class']}: {outcome['error']['message']}"


def test_a_step_goes_on_at_the_cursor_that_the_attempt_before_left() -> None:
    seen: list[int] = []

    def body() -> None:
        with queued.step("count", start=0) as s:
            for number in range(s.cursor, 10):
                seen.append(number)
                s.advance(number + 1)
                if number == 4:
                    raise OSError("in the middle")

    attempts = Attempts(body, retry_on=OSError)
    assert attempts.run()["kind"] == "retry"
    assert attempts.state == {"finished": [], "step": "count", "cursor": 5}
    assert attempts.run()["kind"] == "done"
    assert seen == list(range(10))
    assert attempts.state == {"finished": [["count", 10]], "step": None, "cursor": None}


def test_a_finished_step_is_not_done_again_in_any_of_its_forms() -> None:
    done: list[str] = []

    @queued.step("charge")
    def charge(s: queued.Step, amount: int) -> None:
        done.append(f"charge {amount}")
        s.set(amount)

    def body() -> None:
        charge(amount=17)
        with queued.step("mail") as s:
            if not s.finished:
                done.append("mail")
        with queued.step("rows", start=0) as s:
            for row in range(s.cursor, 3):
                done.append(f"row {row}")
                s.advance(row + 1)
        with queued.step("last") as s:
            if not s.finished:
                raise OSError("it fails")

    attempts = Attempts(body)
    attempts.run()
    assert done == ["charge 17", "mail", "row 0", "row 1", "row 2"]
    attempts.run()
    assert done == ["charge 17", "mail", "row 0", "row 1", "row 2"]
    assert attempts.state["finished"] == [["charge", 17], ["mail", None], ["rows", 3]]
    assert attempts.state["step"] == "last"


def test_the_end_of_a_step_is_stored_before_the_next_line_runs() -> None:
    port_saved: list[int] = []

    def body() -> None:
        with queued.step("one") as s:
            assert not s.finished
        port_saved.append(len(attempts.port.saved))
        with queued.step("two", start=0) as s:
            s.advance(s.cursor + 1)
            s.checkpoint()
            port_saved.append(len(attempts.port.saved))

    attempts = Attempts(body)
    assert attempts.run()["kind"] == "done"
    assert port_saved == [1, 2]
    assert [json.loads(state["steps"])["finished"] for state in attempts.port.saved[:2]] == [[["one", None]]] * 2


def test_coroutines_have_the_same_steps() -> None:
    done: list[Any] = []

    @queued.step("first")
    async def first(s: queued.Step, word: str) -> None:
        await asyncio.sleep(0)
        done.append(word)

    async def body() -> None:
        await first("once")
        async with queued.step("second", start=0) as s:
            done.append(s.cursor)
            s.advance(s.cursor + 1)
            await s.acheckpoint()
            raise OSError("twice")

    attempts = Attempts(body)
    attempts.run()
    attempts.run()
    assert done == ["once", 0, 1]


@pytest.mark.parametrize("where", ["advance", "checkpoint", "acheckpoint", "begin"])
def test_when_the_worker_stops_the_attempt_ends_at_its_next_checkpoint_and_keeps_it(where: str) -> None:
    async def body() -> None:
        async with queued.step("one", start=0) as s:
            if where == "begin":
                assert s.cursor == 0
            else:
                s.set(s.cursor + 7)
                attempts.port.stop_after = 0
            if where == "advance":
                s.advance(8)
            elif where == "checkpoint":
                s.checkpoint()
            elif where == "acheckpoint":
                await s.acheckpoint()
            attempts.port.stop_after = 0
        with queued.step("two") as s:
            pytest.fail("not after the worker has asked")

    attempts = Attempts(body)
    assert attempts.run() == {"kind": "released"}
    expected = {"begin": [["one", 0]], "advance": 8}
    place = attempts.state["finished"] if where == "begin" else attempts.state["cursor"]
    assert place == expected.get(where, 7)


def test_set_does_not_end_the_attempt() -> None:
    def body() -> None:
        with queued.step("one", start=0) as s:
            attempts.port.stop_after = 0
            for number in range(s.cursor, 5):
                s.set(number + 1)

    attempts = Attempts(body)
    assert attempts.run() == {"kind": "done"}


@pytest.mark.parametrize(
    "cursor",
    [
        0,
        -(2**80),
        2**5000,
        1.5,
        "a\0b\ud800",
        True,
        None,
        b"\xff",
        Decimal("1.10"),
        datetime(2026, 3, 1, tzinfo=timezone.utc),
        (1, "a", None),
        ["x", {"y": 2}],
        {"$queued": "mine", 3: "three"},
    ],
)
def test_a_cursor_comes_back_as_it_was(cursor: Any) -> None:
    came: list[Any] = []

    def body() -> None:
        with queued.step("one", start="never") as s:
            came.append(s.cursor)
            s.advance(cursor)
            raise OSError("again")

    attempts = Attempts(body)
    attempts.run()
    attempts.run()
    assert came == ["never", cursor]
    assert type(came[1]) is type(cursor)


def test_a_cursor_that_is_changed_afterwards_is_stored_as_it_was() -> None:
    def body() -> None:
        place = [1]
        with queued.step("one", start=place) as s:
            assert s.cursor == [1]
            s.advance(place)
            place.append(2)
            raise OSError("now")

    attempts = Attempts(body)
    attempts.run()
    assert attempts.state["cursor"] == [1]


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        (float("nan"), "no number"),
        (object(), "cannot be stored"),
        ("x" * (MAX_CURSOR + 1), "a cursor is a place"),
        ([0] * MAX_CURSOR, "a cursor is a place"),
    ],
)
def test_a_cursor_that_cannot_be_stored_is_refused_where_it_is_given(cursor: Any, words: str) -> None:
    def body() -> None:
        with queued.step("one") as s:
            s.advance(cursor)

    attempts = Attempts(body)
    assert words in error(attempts.run())
    assert attempts.state["cursor"] is None


def test_a_body_that_does_not_ask_whether_it_is_finished_is_refused_the_first_time() -> None:
    def body() -> None:
        with queued.step("mail"):
            pass

    attempts = Attempts(body, retry_on=Exception)
    said = error(attempts.run())
    assert said.startswith("queued.StepError")
    assert "if not s.finished" in said


def test_the_error_of_a_body_is_not_hidden_by_what_is_wrong_with_it() -> None:
    def body() -> None:
        with queued.step("mail"):
            raise OSError("the real one")

    assert error(Attempts(body).run()) == "OSError: the real one"


def nested() -> None:
    with queued.step("a") as s:
        assert not s.finished
        with queued.step("b") as t:
            assert not t.finished


def twice() -> None:
    for _ in range(2):
        with queued.step("a") as s:
            assert not s.finished


def swallowed() -> None:
    try:
        nested()
    except queued.StepError:
        pass


def left_by_an_error() -> None:
    try:
        with queued.step("a") as s:
            raise OSError(str(s.finished))
    except OSError:
        pass
    with queued.step("b") as s:
        assert not s.finished


def returns() -> None:
    @queued.step("a")
    def a(s: queued.Step) -> Any:
        return 17

    a()


def not_entered() -> None:
    queued.step("a").advance(1)


def too_many() -> None:
    for number in range(MAX_STEPS + 1):
        with queued.step(f"step {number}") as s:
            assert not s.finished


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (nested, "'b' begins inside step 'a'"),
        (twice, "second step is called 'a'"),
        (swallowed, "'b' begins inside step 'a'"),
        (left_by_an_error, "an error has ended 'a'"),
        (returns, "returned a int"),
        (not_entered, "not entered"),
        (too_many, "more than 1000 steps"),
        (lambda: queued.step(""), "its name"),
    ],
)
def test_what_could_not_be_resumed_fails_the_job_and_is_not_retried(body: Body, words: str) -> None:
    said = error(Attempts(body, retry_on=Exception).run())
    assert said.startswith("queued.StepError")
    assert words in said


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["b", "a"], "now step 'b' comes where 'a' was"),
        (["a", "c", "b"], "now step 'c' comes where 'b' was"),
        (["a"], "never reached 'b'"),
        ([], "never reached 'a', 'b'"),
    ],
)
def test_other_steps_than_before_fail_the_job_with_their_names(names: list[str], words: str) -> None:
    steps = ["a", "b"]

    def body() -> None:
        try:
            for name in steps:
                with queued.step(name) as s:
                    if name == "b" and attempts.stored is None:
                        raise OSError(name)
                    assert s.finished in (True, False)
        except queued.StepsChanged:
            pass  # a job that swallows it fails all the same

    attempts = Attempts(body, retry_on=Exception)
    assert attempts.run()["kind"] == "retry"
    steps[:] = names
    said = error(attempts.run())
    assert said.startswith(
        "queued.StepsChanged: the steps of this job have changed: an earlier attempt had finished 'a'"
    )
    assert "begun 'b'" in said
    assert words in said
    assert "discard this job" in said


def test_steps_may_be_added_behind_those_that_were_reached() -> None:
    steps = ["a", "b"]

    def body() -> None:
        for name in steps:
            with queued.step(name) as s:
                if name == "b" and not attempts.state:
                    raise OSError(str(s.finished))
                assert s.finished in (True, False)

    attempts = Attempts(body)
    attempts.run()
    steps.append("c")
    assert attempts.run() == {"kind": "done"}


def test_a_finished_step_that_finds_more_to_do_keeps_where_it_came_to() -> None:
    rows = [1, 2]

    def body() -> None:
        with queued.step("rows", start=0) as s:
            for row in rows[s.cursor :]:
                s.advance(row)
        with queued.step("end") as s:
            raise OSError(str(s.finished))

    attempts = Attempts(body)
    attempts.run()
    rows.append(3)
    attempts.port.saved.clear()
    attempts.run()
    assert attempts.state["finished"] == [["rows", 3]]
    assert len(attempts.port.saved) == 1, "the further row is not done again either"


def test_a_checkpoint_in_a_finished_step_is_answered() -> None:
    def body() -> None:
        with queued.step("a") as s:
            assert s.cursor is None
            s.checkpoint()
        with queued.step("b") as s:
            raise OSError(str(s.finished))

    attempts = Attempts(body)
    assert error(attempts.run()) == error(attempts.run()) == "OSError: False"


def test_a_stop_that_the_job_swallows_is_not_taken_for_other_steps() -> None:
    def body() -> None:
        try:
            with queued.step("a", start=0) as s:
                s.advance(s.cursor + 1)
            with queued.step("b", start=0) as s:
                s.advance(s.cursor + 1)
                raise OSError("once")
        except queued.JobInterrupted:
            pass

    attempts = Attempts(body)
    assert error(attempts.run()) == "OSError: once"
    attempts.port.stop_after = attempts.port.asked
    assert attempts.run() == {"kind": "released"}


def test_a_job_that_was_given_to_somebody_else_ends_where_it_hears_of_it() -> None:
    def body() -> None:
        with queued.step("a") as s:
            assert not s.finished
        pytest.fail("another worker runs it now")

    attempts = Attempts(body)
    attempts.port.ours = False
    assert attempts.run() == {"kind": "released"}


def test_progress_is_told_as_it_is_given() -> None:
    def body() -> None:
        queued.progress(1)
        queued.progress(2, 5, "a\0b")
        queued.progress(2.5, total=5)

    attempts = Attempts(body)
    assert attempts.run() == {"kind": "done"}
    [steps] = attempts.port.watched.values()
    assert steps.state() == {"steps": None, "progress": [2.5, 5.0, None]}


def test_only_news_is_told() -> None:
    told: list[Any] = []

    def body() -> None:
        with queued.step("a", start=0) as s:
            [steps] = attempts.port.watched.values()
            told.append(steps.news())
            told.append(steps.news())
            s.advance(s.cursor + 1)
            told.append(steps.news())
            queued.progress(1, 2, "half")
            told.append(steps.news())
            told.append(steps.news())

    attempts = Attempts(body)
    assert attempts.run() == {"kind": "done"}
    assert [state and (json.loads(state["steps"])["cursor"], state["progress"]) for state in told] == [
        (0, None),
        None,
        (1, None),
        (1, [1.0, 2.0, "half"]),
        None,
    ]


@pytest.mark.parametrize("given", [float("nan"), "many", float("inf")])
def test_progress_that_is_no_number_is_refused(given: Any) -> None:
    def body() -> None:
        queued.progress(1, given)

    assert "write a finite number" in error(Attempts(body).run())


def test_outside_a_job_steps_run_and_nothing_is_stored() -> None:
    done: list[Any] = []

    @queued.step("f")
    def function(s: queued.Step) -> None:
        done.append("f")

    for _ in range(2):
        with queued.step("a", start=3) as s:
            done.append((s.name, s.cursor, s.finished))
            s.advance(4)
            s.checkpoint()
        function()
        queued.progress(1, 2)
    assert done == [("a", 3, False), "f", ("a", 3, False), "f"]


def test_in_an_applications_tests_a_retry_goes_on_at_the_cursor() -> None:
    seen: list[int] = []

    @queued.job(name="steps.in_tests", retry_on=OSError)
    def job() -> None:
        with queued.step("count", start=0) as s:
            for number in range(s.cursor, 4):
                seen.append(number)
                s.advance(number + 1)
                if number == 1:
                    raise OSError("once")

    with testing.collect() as jobs:
        job.enqueue()
        jobs.drain()
    assert seen == [0, 1, 2, 3]
    with testing.inline():
        job.enqueue()
    assert seen == [0, 1, 2, 3] * 2
