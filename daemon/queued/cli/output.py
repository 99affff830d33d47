"""How things are shown: tables and colour for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TextIO

from queued.domain.errors import QueuedError

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
#: Control characters and the marks that reverse the direction of text: a stored message must not steer a terminal.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class OutputError(QueuedError):
    """Standard output does not take what is written to it: a full disk, for one."""


def say(text: str = "") -> None:
    """One line, or several, on standard output. Raises OutputError."""
    with _writing():
        sys.stdout.write(f"{text}\n")


def flush() -> None:
    """Write what was said and is still kept. Raises OutputError."""
    with _writing():
        sys.stdout.flush()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is still buffered must not raise again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


def warn(text: str, priority: int = 3) -> None:
    """One line, or several, on standard error. systemd's journal is told how much it matters: syslog's 3 is an error."""
    from queued.journal import is_stream

    mark = f"<{priority}>" if is_stream(2, os.environ) else ""
    sys.stderr.write("".join(f"{mark}{line}\n" for line in text.splitlines() or [""]))


def say_json(value: Any) -> None:
    """A document of JSON on standard output. Moments are ISO 8601 in UTC."""
    say(json.dumps(value, indent=2, ensure_ascii=False, default=jsonable))


def say_line(value: Any) -> None:
    """One value as JSON on one line."""
    say(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=jsonable))


def jsonable(value: Any) -> Any:
    """What JSON has no form for, as text. Raises TypeError."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def prepare() -> None:
    """Make standard output and error take every character, whatever the locale."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def coloured(stream: TextIO | None = None) -> bool:
    """Whether to colour: only on a terminal, and never where NO_COLOR is set."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, name: str) -> str:
    """The text in a style, on a terminal."""
    return f"\x1b[{STYLES[name]}m{text}\x1b[0m" if coloured() else text


def printable(text: str) -> str:
    """Text as it can be shown: control characters are written out, line ends and tabs stay."""
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str, width: int = 0) -> str:
    """The text on one line, cut to `width` when that is above 0."""
    flat = " ".join(printable(text).split())
    return flat if width <= 0 or len(flat) <= width else flat[: max(1, width - 1)] + "…"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Sequence[str] = (),
    legend: bool = True,
    cut: bool = True,
) -> str:
    """Aligned columns under bold headers. Columns named in `right` hold numbers.

    On a terminal the last column is cut to fit, if `cut`; elsewhere nothing is.
    """
    cells = [[one_line(str(cell)) if cell is not None else "-" for cell in row] for row in rows]
    widths = [max([len(header) if legend else 0, *(len(row[i]) for row in cells)]) for i, header in enumerate(headers)]
    if cut and sys.stdout.isatty():
        room = os.get_terminal_size(sys.stdout.fileno()).columns - sum(widths[:-1]) - 2 * (len(headers) - 1)
        for row in cells:
            row[-1] = one_line(row[-1], max(room, len(headers[-1])))

    def line(values: Sequence[str]) -> str:
        shown = (
            value.rjust(width) if header in right else value.ljust(width)
            for value, width, header in zip(values, widths, headers, strict=True)
        )
        return "  ".join(shown).rstrip()

    return "\n".join([*([style(line(headers), "bold")] if legend else []), *map(line, cells)])


def moment(value: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC") if value is not None else "-"


def span(seconds: float | None) -> str:
    """A length of time in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        if whole >= size or parts:
            parts.append(f"{whole // size} {name}")
            whole %= size
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def relative(value: datetime | None, now: datetime) -> str:
    """A moment as seen from another: "2 min 4 s ago", "in 3 h"."""
    if value is None:
        return "-"
    seconds = (now - value).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"
