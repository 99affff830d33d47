"""An exception raised in another thread hits the work that is meant or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from queued.runner.gate import Gate, gates


class Soft(BaseException):
    pass


@pytest.fixture
def run() -> Callable[[Callable[[Gate], object]], object]:
    """Runs a function in a thread that has a gate, and returns its result."""

    def run(body: Callable[[Gate], object]) -> object:
        results: list[object] = []

        def target() -> None:
            try:
                results.append(body(Gate()))
            except BaseException as error:
                results.append(f"escaped: {error!r}")
            finally:
                gates.pop(threading.get_ident(), None)

        thread = threading.Thread(target=target)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        return results[0]

    return run


Run = Callable[[Callable[[Gate], object]], object]


def test_an_exception_at_any_moment_is_raised_in_the_work_or_not_at_all(run: Run) -> None:
    ended = threading.Event()
    asked: list[int] = []
    holder: list[Gate] = []

    def interrupt() -> None:
        n = 0
        while not ended.is_set():
            n += 1
            if holder and holder[0].interrupt(n % 7, Soft):
                asked.append(n)

    def body(gate: Gate) -> list[object]:
        holder.append(gate)
        results: list[object] = []
        end = time.monotonic() + 1.0
        n = 0
        while time.monotonic() < end:
            n += 1
            results.append(gate.pass_through(n % 7, lambda: sum(range(20))))
        return results

    other = threading.Thread(target=interrupt)
    other.start()
    results = run(body)
    ended.set()
    other.join()
    assert isinstance(results, list), results
    assert asked
    assert {result if isinstance(result, int) else type(result) for result in results} <= {190, Soft}


def test_what_the_work_raises_itself_comes_back(run: Run) -> None:
    def work() -> None:
        raise SystemExit(3)

    assert isinstance(run(lambda gate: gate.pass_through(1, work)), SystemExit)


def test_a_shielded_step_is_finished_first(run: Run) -> None:
    def body(gate: Gate) -> tuple[object, list[str]]:
        steps: list[str] = []

        def work() -> None:
            assert gate.shield()
            other = threading.Thread(target=gate.interrupt, args=(1, Soft))
            other.start()
            time.sleep(0.05)
            steps.append("whole")
            gate.shielded = False
            other.join()
            steps.append("not reached")

        return gate.pass_through(1, work), steps

    result, steps = run(body)  # type: ignore[misc]
    assert isinstance(result, Soft)
    assert steps == ["whole"]


def test_no_step_is_shielded_once_an_exception_is_on_its_way(run: Run) -> None:
    def body(gate: Gate) -> object:
        def work() -> object:
            try:
                gate.interrupt(1, Soft)
                while True:
                    pass
            except Soft:
                return gate.shield()

        return gate.pass_through(1, work)

    assert run(body) is False
