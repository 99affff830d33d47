"""The codec: bytes in, messages out, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queued.runner import wire

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
messages = st.builds(lambda body: {"t": "x", "body": body}, values)


@given(st.lists(messages, max_size=5))
def test_messages_arrive_whole_one_byte_at_a_time(sent: list[wire.Message]) -> None:
    decoder = wire.Decoder()
    received = [m for byte in b"".join(map(wire.encode, sent)) for m in decoder.feed(bytes([byte]))]
    assert received == sent
    assert decoder.waiting == 0


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 50)))
def test_messages_arrive_whole_however_they_are_cut(sent: list[wire.Message], cuts: list[int]) -> None:
    data = b"".join(map(wire.encode, sent))
    decoder, received = wire.Decoder(), []
    for cut in cuts:
        received += decoder.feed(data[:cut])
        data = data[cut:]
    assert received + decoder.feed(data) == sent


def test_lone_surrogates_travel() -> None:
    message = {"t": "x", "text": "half \ud800 a character"}
    assert wire.Decoder().feed(wire.encode(message)) == [message]


def test_plain_ends_travel_in_a_form_of_their_own() -> None:
    told = [(1, 2**64 - 1, 0.25, 1e9), (2**63, 7, 1.5, 1.5)]
    data = wire.ends(b"".join(wire.END.pack(*end) for end in told)) + wire.encode({"t": "x"})
    decoder = wire.Decoder()
    received = [m for byte in data for m in decoder.feed(bytes([byte]))]
    assert received == [{"t": "done", "o": told}, {"t": "x"}]


def test_an_unfinished_frame_is_known_at_the_end() -> None:
    decoder = wire.Decoder()
    assert decoder.feed(wire.encode({"t": "x"})[:-1]) == []
    assert decoder.waiting > 0


def test_a_frame_that_is_announced_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(wire.WireError, match="4294967295 bytes was announced"):
        wire.Decoder().feed(b"\xff\xff\xff\xff")


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(wire.WireError, match="too long"):
        wire.encode({"t": "x", "text": "y" * wire.LIMIT})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"hello", "not JSON"),
        (b"[1]", "not an object"),
        (b'{"type": "x"}', "not an object"),
        (b'{"t": 1}', "not an object"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 200_000, "not JSON|nested too deeply"),
        (b"\0" + b"1" * 33, "a frame of ends has 34 bytes"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_beginning(body: bytes, problem: str) -> None:
    with pytest.raises(wire.WireError, match=problem):
        wire.Decoder().feed(wire.frame(body))


def test_deliveries_arrive_as_they_were_given_and_what_they_share_travels_once() -> None:
    def row(number: int, **own: object) -> list[object]:
        shared = {"class": "app.work", "args": "{}", "opts": None, "queue": "q", "priority": 0, "attempt": 1}
        given = {**shared, "id": number, "lease": 7 + number, "counters": {}, "enqueued_at": 1.5, "steps": None, **own}
        return [given[name] for name in wire.DELIVERY]

    for rows in ([row(1)], [row(1), row(2)], [row(1), row(2, queue="other", steps="[]", counters={"crash": 1})]):
        (arrived,) = wire.Decoder().feed(wire.encode(wire.jobs(rows)))
        assert [[one[name] for name in wire.DELIVERY] for one in wire.deliveries(arrived)] == rows
    assert wire.jobs([row(1), row(2)])["of"] == ["id", "lease"]
