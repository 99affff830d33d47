"""Frames: four bytes of length, then JSON, or the ends of plain jobs in a form of their own. Bytes in, messages out; no socket
in here, both ends use this file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]

#: Said in `hello` and `loaded`; a client with another number cannot be served.
PROTOCOL = 2

#: Bytes of JSON in one frame. A longer one is a fault of the sender, and would hold up everything behind it.
LIMIT = 64 * 1024 * 1024

_LENGTH = struct.Struct(">I")

#: A job that is done, with nothing more to say: its id, its lease, and the CLOCK_MONOTONIC seconds of its start and its end.
END = struct.Struct("=QQdd")
#: The first byte of a frame of such ends, which no JSON begins with.
_ENDS = b"\0"

#: What is said of each job that is handed over, in this order.
DELIVERY = ("id", "lease", "class", "args", "opts", "queue", "priority", "attempt", "counters", "enqueued_at", "steps")

# Escaped to ASCII, so that lone surrogates in an error's text travel as they are and never fail to encode.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class WireError(Exception):
    """What arrived, or was about to be sent, is not a frame of this protocol. The connection cannot be used further."""


def payload(message: Mapping[str, Any]) -> bytes:
    """The message as JSON, without its length. Raises TypeError or ValueError when JSON cannot hold it."""
    return _encode(message).encode("ascii")


def frame(body: bytes) -> bytes:
    """The JSON text with its length before it."""
    if len(body) > LIMIT:
        raise WireError(f"a frame of {len(body)} bytes is too long; {LIMIT} bytes are the limit")
    return _LENGTH.pack(len(body)) + body


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as bytes to send. Raises WireError when it is longer than a frame may be."""
    return frame(payload(message))


def ends(records: bytes) -> bytes:
    """A frame of ends, packed as `END` says; it arrives as `{"t": "done", "o": [(id, lease, start, end), ...]}`.

    Nearly every job ends like this, and as JSON the frame would cost either side more than all else that it does for it.
    """
    return frame(_ENDS + records)


def jobs(rows: Sequence[Sequence[Any]]) -> Message:
    """The frame that hands jobs over: for each the values of `DELIVERY`. What is the same for all stands in it once.

    Most jobs of a frame differ in three values: 0.7 µs a job and side, and as objects with all their names 2.4 and 1.4.
    """
    same: dict[str, Any] = {}
    names, columns = [], []
    for name, column in zip(DELIVERY, zip(*rows, strict=True), strict=True):
        if name != "id" and column.count(column[0]) == len(column):
            same[name] = column[0]
        else:
            names.append(name)
            columns.append(column)
    return {"t": "jobs", "same": same, "of": names, "jobs": list(zip(*columns, strict=True))}


def deliveries(message: Message) -> list[dict[str, Any]]:
    """The jobs of such a frame, each with all of `DELIVERY`."""
    names = message["of"]
    # With all keys in place a copy is made in one piece, and never grows.
    form = {**message["same"], **dict.fromkeys(names)}
    made = []
    for row in message["jobs"]:
        delivery = form.copy()
        for name, value in zip(names, row, strict=True):
            delivery[name] = value
        made.append(delivery)
    return made


class Decoder:
    """Turns bytes, cut anywhere, into messages."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a frame that is not complete. More than 0 at the end of a stream means that its end is missing."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes; return the messages that they complete, oldest first. Raises WireError at the first bad frame."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self._limit:
                raise WireError(f"a frame of {length} bytes was announced; {self._limit} bytes are the limit")
            end = start + 4 + length
            if len(buffer) < end:
                break
            messages.append(_message(bytes(buffer[start + 4 : end])))
            start = end
        if start:
            del buffer[:start]
        return messages


def _message(body: bytes) -> Message:
    if body.startswith(_ENDS):
        try:
            return {"t": "done", "o": list(END.iter_unpack(body[1:]))}
        except struct.error:
            raise WireError(f"a frame of ends has {len(body)} bytes") from None
    try:
        message = json.loads(body)
    except ValueError as error:
        raise WireError(f"a frame is not JSON: {error}: {body[:80]!r}") from None
    except RecursionError:
        raise WireError(f"a frame is nested too deeply: {body[:80]!r}") from None
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise WireError(f'a frame is not an object with a type "t": {body[:80]!r}')
    return message
