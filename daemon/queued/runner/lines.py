"""Text in pieces, lines out."""

from __future__ import annotations

from collections.abc import Hashable

#: Characters of one line; a longer one is cut, so that a program that never ends a line still shows something.
LONGEST = 16 * 1024


class Lines:
    """Puts pieces of text together to lines, apart for each key."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        #: The lines that are begun and not ended.
        self.begun: dict[Hashable, str] = {}

    def feed(self, key: Hashable, text: str) -> list[str]:
        """Take a piece; return the lines it completes, without their ends."""
        *whole, rest = (self.begun.pop(key, "") + text).split("\n")
        lines = [piece for line in whole for piece in self._cut(line.removesuffix("\r"))]
        if len(rest) >= self._longest:
            *pieces, rest = self._cut(rest)
            lines += pieces
        if rest:
            self.begun[key] = rest
        return lines

    def finish(self, key: Hashable) -> list[str]:
        """Return what was begun under the key as a line, if anything was."""
        rest = self.begun.pop(key, "")
        return [rest] if rest else []

    def _cut(self, line: str) -> list[str]:
        size = self._longest
        return [line[at : at + size] for at in range(0, len(line), size)] or [""]
