"""A backtrace for the person who must correct the job: the application's own frames first, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]*)", line \d+(?:, in (?P<function>.*))?')
#: Where code lies that is not the application's: installed packages, the standard library, the runner and the client.
_FOREIGN = re.compile(
    r"(^|/)(site-packages|dist-packages)/|/lib(64)?/python\d|/(_queued_runner|queued/(runner|client))/|^<frozen|^<string>$"
)


def is_own(file: str) -> bool:
    """Whether a file belongs to the application, judged by its path."""
    return not _FOREIGN.search(file)


def frames(lines: Sequence[str]) -> Iterator[tuple[str | None, list[str]]]:
    """The frames of a traceback, each with its file; lines between frames come with None."""
    block: list[str] = []
    file: str | None = None
    for line in lines:
        match = _FRAME.match(line)
        inside = file is not None and line.startswith("    ")
        if match or not inside:
            if block:
                yield file, block
            block, file = [], match["file"] if match else None
        block.append(line)
    if block:
        yield file, block


def has_frames(lines: Sequence[str]) -> bool:
    """Whether a traceback says more than the error itself: an error that nobody's code raised has no frames."""
    return any(_FRAME.match(line) for line in lines)


def fingerprint(class_name: str, error_class: str, lines: Sequence[str]) -> str:
    """Eight characters that errors of one cause share: the job's class, the error's, and where in the application it was raised.

    Line numbers and messages are left out, for they differ from one deploy and from one record to the next.
    """
    from hashlib import blake2s

    told = f"{class_name}\n{error_class}\n{place(lines)}"
    return blake2s(told.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def place(lines: Sequence[str]) -> str:
    """The file and the function of the innermost frame of the application's own; of any frame where it has none; else ''."""
    found = ""
    own = False
    for line in lines:
        match = _FRAME.match(line)
        if match and (is_own(match["file"]) or not own):
            own = own or is_own(match["file"])
            found = f"{match['file']} in {match['function'] or '?'}"
    return found


def folded(lines: Sequence[str]) -> list[str]:
    """The lines with every run of foreign frames as one line. With no frame of the application's own, all lines."""
    parsed = list(frames(lines))
    if not any(file is not None and is_own(file) for file, _ in parsed):
        return list(lines)
    shown: list[str] = []
    hidden = 0
    for file, block in [*parsed, (None, [])]:
        if file is not None and not is_own(file):
            hidden += 1
            continue
        if hidden:
            shown.append(f"  ({hidden} frame{'s' if hidden > 1 else ''} of libraries; --full shows all)")
            hidden = 0
        shown += block
    return shown
