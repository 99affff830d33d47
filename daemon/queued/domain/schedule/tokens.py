"""A schedule in words, cut into words, numbers, times and zones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from queued.domain.schedule.errors import ScheduleError

Kind = Literal["zone", "clock", "ordinal", "number", "word", "mark"]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<zone>   (?<![^\s,])[+-]\d{2}:?\d{2}(?!\d)        # +09:00, but not the end of 8:00-17:00
                | [A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+           # Europe/Rome
                | (?:UTC|GMT)[+-]\d[\d:]* | [A-Z]{3}\d[A-Z]{3}\b )
    | (?P<clock>  \d{1,2}:\d{2}(?::\d{2})? )
    | (?P<ordinal>\d{1,2}(?:st|nd|rd|th)\b )
    | (?P<number> \d+ )
    | (?P<word>   [A-Za-z]+(?:['’][a-z]+)? )
    | (?P<mark>   [,–-] )
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `low` is what it is compared by; `text` keeps the case, which tells M from m."""

    kind: Kind
    text: str

    @property
    def low(self) -> str:
        return self.text.lower().replace("’", "'").replace("–", "-")


def cut(text: str) -> list[Token]:
    """The pieces of a text, in order."""
    tokens: list[Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].split()[0]
            raise ScheduleError(
                f"{rest!r} has no meaning here", "write words such as `every 5 minutes`, or a cron line"
            )
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        tokens.append(Token(kind, match[kind]))
        at = match.end()
    return tokens
