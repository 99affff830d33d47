"""An exception as data that every database can hold and a person can read."""

from __future__ import annotations

import contextlib
import os
import re
import traceback
from types import TracebackType
from typing import Any

from queued.client.names import path_of
from queued.domain.errors import QueuedError

#: Limits of what is stored about one failed attempt; both ends of a longer text are kept.
MAX_MESSAGE = 64 * 1024
MAX_BACKTRACE = 256 * 1024
MAX_LINES = 500
MAX_LINE = 8 * 1024
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: Files whose frames lead from the runner to the job: ours, the event loop of an async job, `with`.
_ON_THE_WAY = (_PACKAGE, os.path.join(os.path.dirname(traceback.__file__), "asyncio", ""), contextlib.__file__)
#: The beginning of a line that names an error of ours by the module it lies in; people know it as `queued.NAME`.
_OWN = re.compile(r"^([ |]*)queued\.(?:[a-z_]+\.)+(?=[A-Z]\w*(?::|$))")


def describe(error: BaseException) -> dict[str, Any]:
    """`{"class", "message", "backtrace"}` of an error: plain data, never an exception of its own.

    The backtrace is Python's own text, causes included, without the frames of `queued` that led to the job.
    """
    return {"class": class_path(type(error)), "message": message_of(error), "backtrace": backtrace_of(error)}


def class_path(kind: type[BaseException]) -> str:
    """How an error's class is called: `ValueError`, `app.errors.Declined`, and ours by their public name."""
    name = storable(path_of(kind))
    if name.startswith("builtins."):
        return name.removeprefix("builtins.")
    if name.startswith("queued."):
        return f"queued.{kind.__name__}"
    return name


def message_of(error: BaseException) -> str:
    """The error's own words; when it fails to say them, how it failed."""
    try:
        text = str(error)
    except BaseException as failure:
        text = f"(no message: its __str__ raised {type(failure).__name__})"
    return both_ends(storable(text), MAX_MESSAGE)


def backtrace_of(error: BaseException) -> list[str]:
    """The lines of the traceback, within the limits."""
    try:
        text = "".join(traceback.format_exception(type(error), error, _from_the_job(error)))
    except BaseException as failure:  # out of memory, or a source file that cannot be read
        return [f"(no backtrace: {type(failure).__name__} while it was written)"]
    lines = [both_ends(storable(_OWN.sub(r"\1queued.", line)), MAX_LINE) for line in text.splitlines()]
    return _within(lines)


def storable(text: str) -> str:
    """`text` with NUL and lone surrogates, which PostgreSQL refuses, as visible escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def both_ends(text: str, limit: int) -> str:
    """At most about `limit` bytes of a text: its head, what was left out, its tail."""
    data = text.encode("utf-8")
    if len(data) <= limit:
        return text
    half = limit // 2 - 32
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head} … [{len(data) - 2 * half:,} bytes left out] … {tail}"


def _from_the_job(error: BaseException) -> TracebackType | None:
    """The error's traceback from the first frame outside this package on.

    What `queued` says on purpose needs no frames of its own; the cause, if there is one, keeps its traceback.
    """
    walk = error.__traceback__
    while walk is not None and walk.tb_frame.f_code.co_filename.startswith(_ON_THE_WAY):
        walk = walk.tb_next
    return walk if walk is not None or isinstance(error, QueuedError) else error.__traceback__


def _within(lines: list[str]) -> list[str]:
    kept = lines
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        kept = [*lines[:half], f"  … {len(lines) - 2 * half + 1} lines left out …", *lines[1 - half :]]
    while (
        sum(len(line) for line in kept) > MAX_BACKTRACE // 4
        and sum(len(line.encode()) + 1 for line in kept) > MAX_BACKTRACE
    ):
        middle = len(kept) // 2
        kept = [*kept[: middle - 1], "  … lines left out …", *kept[middle + 2 :]]
    return kept
