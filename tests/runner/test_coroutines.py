"""The event loop of jobs that wait."""

from __future__ import annotations

import asyncio
import os
import selectors
from collections.abc import Iterator

import pytest

from queued.runner import coroutines
from queued.runner.coroutines import FineSelector, new_loop


@pytest.fixture
def selector() -> Iterator[FineSelector]:
    with FineSelector() as made:
        yield made


@pytest.mark.parametrize("timeout", [-1.0, 0, 0.0005, 1.0, None])
def test_what_is_ready_is_told_at_once_however_long_one_would_wait(
    selector: FineSelector, timeout: float | None
) -> None:
    reader, writer = os.pipe()
    selector.register(reader, selectors.EVENT_READ, "data")
    os.write(writer, b"x")
    assert [(key.data, events) for key, events in selector.select(timeout)] == [("data", selectors.EVENT_READ)]
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("timeout", [-1.0, 0, 0.0005, 0.2])
def test_a_wait_in_vain_ends_with_nothing(selector: FineSelector, timeout: float) -> None:
    assert selector.select(timeout) == []


def test_a_wait_of_less_than_a_millisecond_is_not_left_to_epoll(
    selector: FineSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors.EpollSelector, "select", lambda *_: pytest.fail("epoll waits for whole milliseconds"))
    assert selector.select(0.0004) == []


def test_the_loop_has_fine_time_outs_and_sleeps_in_order() -> None:
    loop = new_loop()
    assert isinstance(loop._selector, FineSelector)  # type: ignore[attr-defined]
    woken: list[int] = []

    async def sleep(n: int) -> None:
        await asyncio.sleep(n * 0.0003)
        woken.append(n)

    async def main() -> None:
        await asyncio.gather(*(sleep(n) for n in (3, 1, 2)))

    loop.run_until_complete(main())
    loop.close()
    assert woken == [1, 2, 3]


def test_a_loop_of_the_applications_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(asyncio.SelectorEventLoop):
        pass

    monkeypatch.setattr(asyncio, "new_event_loop", Own)
    loop = new_loop()
    assert type(loop) is Own
    loop.close()


def test_without_a_small_descriptor_the_loop_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coroutines, "_FD_SETSIZE", 0)
    loop = new_loop()
    assert not isinstance(loop._selector, FineSelector)  # type: ignore[attr-defined]
    assert loop.run_until_complete(asyncio.sleep(0, "works")) == "works"
    loop.close()


def test_a_loop_of_asyncios_kind_that_the_applications_policy_made_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    handled: list[dict[str, object]] = []

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            loop = super().new_event_loop()
            loop.set_exception_handler(lambda loop, context: handled.append(context))
            return loop

    monkeypatch.setattr(asyncio, "get_event_loop_policy", Policy)
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: Policy().new_event_loop())
    loop = new_loop()
    loop.call_exception_handler({"message": "oh"})
    loop.close()
    assert handled == [{"message": "oh"}]
