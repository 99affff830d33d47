"""What an attempt came to, as the JSON text that goes to the worker."""

from __future__ import annotations

import traceback
from typing import Any

from . import wire

Delivery = dict[str, Any]

#: How nearly every attempt ends, as the client says it.
DONE: dict[str, Any] = {"kind": "done"}

#: Bytes of one outcome. It shares a frame with others, and a frame has a limit.
LARGEST = 16 * 1024 * 1024


def render(key: tuple[int, int], start: float, end: float, result: dict[str, Any]) -> bytes:
    """The outcome as JSON. One that cannot be sent becomes a failure that says so: every attempt has an outcome."""
    head = {"id": key[0], "lease": key[1], "start": round(start, 6), "end": round(end, 6)}
    try:
        text = wire.payload({**result, **head})
        problem = f"its outcome is too large to be sent: {len(text)} bytes" if len(text) > LARGEST else None
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"its outcome cannot be sent: {error}"
    if problem is not None:
        text = wire.payload({**failed("OutcomeError", problem), **head})
    return text


def failed(error_class: str, message: str, backtrace: list[str] | None = None) -> dict[str, Any]:
    """A failure for good."""
    return {"kind": "failed", "error": {"class": error_class, "message": message, "backtrace": backtrace or []}}


def escaped(error: BaseException, reason: str | None) -> dict[str, Any]:
    """The outcome when an exception came out of the client itself, as when an interrupt hits before or after the job's own code.

    `reason` is that of the interrupt, if there was one.
    """
    if reason == "stop":
        return {"kind": "released"}
    if reason == "cancel":
        return {"kind": "cancelled"}
    lines = [line for part in traceback.format_exception(error) for line in part.rstrip("\n").split("\n")]
    return failed(type(error).__name__, _text(error), lines)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"(the error's own text cannot be had: {type(problem).__name__})"
