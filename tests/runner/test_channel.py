"""Outcomes on their way to the worker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queued.processes import slots
from queued.runner import wire
from queued.runner.channel import Channel
from queued.runner.slots import MOST_UNSENT, Slots

PATIENCE = 60


class Ends:
    """A worker's end, a channel of two slots, and the channel's file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE)
        self.channel = Channel(self.theirs, Slots(path, 2, 1, 1))
        self._decoder = wire.Decoder()

    def receive(self) -> list[wire.Message]:
        return self._decoder.feed(self.ours.recv(65536))

    def unsent(self) -> list[int]:
        file = slots.read(self.path)
        assert file is not None
        return [outcome["id"] for outcome in file.outcomes]


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(str(tmp_path / "slots"))
    yield made
    made.theirs.shutdown(socket.SHUT_RDWR)
    made.ours.close()


def test_the_last_end_goes_out_at_once_and_takes_the_ones_that_waited_along(ends: Ends) -> None:
    now = 1e12  # the sender's thread finds none of them old
    ends.channel.done(0, (1, 7), now, now, more=True)
    ends.channel.done(1, (2, 7), now, now, more=True)
    assert ends.unsent() == [1, 2]
    ends.channel.done(0, (3, 7), now, now, more=False)
    (frame,) = ends.receive()
    assert sorted(frame["o"]) == [(1, 7, now, now), (2, 7, now, now), (3, 7, now, now)]
    assert ends.unsent() == []


def test_an_end_that_waits_for_company_in_vain_is_sent_all_the_same(ends: Ends) -> None:
    ends.channel.done(0, (1, 7), 1.0, 2.0, more=True)
    assert ends.receive() == [{"t": "done", "o": [(1, 7, 1.0, 2.0)]}]


def test_ends_of_both_forms_share_their_way(ends: Ends) -> None:
    ends.channel.done(0, (1, 7), 1e12, 1e12, more=True)
    ends.channel.finish(1, b'{"id":2}', more=False)
    frames = ends.receive()
    while len(frames) < 2:
        frames += ends.receive()
    assert {frame["t"]: len(frame["o"]) for frame in frames} == {"done": 1, "out": 1}
    assert ends.unsent() == []


def test_an_end_while_another_thread_sends_does_not_wait_for_it(ends: Ends) -> None:
    told = threading.Event()

    def tell() -> None:
        ends.channel.done(0, (1, 7), 1e12, 1e12, more=False)
        told.set()

    with ends.channel._lock:
        threading.Thread(target=tell).start()
        assert told.wait(PATIENCE)
        assert ends.unsent() == [1]
    assert ends.receive() == [{"t": "done", "o": [(1, 7, 1e12, 1e12)]}]


def test_no_end_is_lost_when_there_are_more_than_a_slot_has_room_for(ends: Ends) -> None:
    count = 10 * MOST_UNSENT
    for job in range(1, count + 1):
        ends.channel.done(0, (job, 7), 1e12, 1e12, more=True)
    ends.channel.flush()
    told: list[Any] = []
    while len(told) < count:
        told += [job for frame in ends.receive() for job, *_ in frame["o"]]
    assert told == list(range(1, count + 1))


def test_an_answer_does_not_wait_for_the_outcomes_that_wait(ends: Ends) -> None:
    ends.channel.done(0, (1, 7), 1e12, 1e12, more=True)
    ends.channel.post({"t": "enqueue"})
    frames = ends.receive()
    assert {"t": "enqueue"} in frames
