"""Variables of the environment inside a file: `${NAME}`, `${NAME:-default}`, and the ERB forms of `ENV`.

They are taken out of the text before YAML sees it and come back inside the scalars they stood in. So a value from the
environment can never become a key, a list or a comment of the file, and the type of a scalar is decided after expansion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

REMEDY = "write ${NAME} or ${NAME:-default}"

#: A line that is a comment as a whole comes first: what it holds is never looked at.
TOKEN = re.compile(
    r"^[ \t]*\#[^\n]*|(?P<note><%\#.*?%>)|(?P<token>\$\$|\$\{[^}\n]*\}|\$\{|<%[^\n]*?%>|<%)", re.M | re.S
)

BRACES = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<given>:-(?P<default>[^{]*))?\}")


def _literal(name: str) -> str:
    return rf"(?P<{name}>\"[^\"\\#]*\"|'[^'\\]*'|-?[0-9][0-9_]*(?:\.[0-9]+)?|true|false|nil)"


_NAME = r"[\"'](?P<{}>[A-Za-z_][A-Za-z0-9_]*)[\"']"
ERB = re.compile(
    r"<%=\s*\(?\s*ENV(?:"
    + rf"\[\s*{_NAME.format('index')}\s*\]"
    + rf"|\.fetch\(\s*{_NAME.format('fetch')}(?:\s*,\s*{_literal('second')})?\s*\)(?:\s*\{{\s*{_literal('block')}\s*\}})?"
    + rf")(?P<inner>&?\.to_[if])?(?:\s*\|\|\s*{_literal('other')})?\s*\)?(?P<outer>\.to_[if])?\s*-?%>"
)

NUMBERS = {"i": re.compile(r"-?[0-9]+"), "f": re.compile(r"-?[0-9]+(\.[0-9]+)?")}


class ExpansionError(Exception):
    """A form that is not understood, or a variable that is not set. The message says what to write."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A text whose tokens are replaced by marks, with the tokens and the line that each stands in."""

    text: str
    mark: str
    tokens: tuple[str, ...]
    lines: tuple[int, ...]

    def restore(self, text: str) -> str:
        """The text as it was written."""
        return self._pattern().sub(lambda match: self._token(match), text) if self.mark in text else text

    def within(self, text: str) -> list[int]:
        """The indexes of the tokens that a text of the document holds."""
        if self.mark not in text:
            return []
        found = (int(match[1]) for match in self._pattern().finditer(text))
        return [index for index in found if index < len(self.tokens)]

    def expand(self, text: str, environ: Mapping[str, str]) -> str:
        """The text with every token replaced by its value; raises ExpansionError."""
        if self.mark not in text:
            return text

        def value(match: re.Match[str]) -> str:
            index = int(match[1])
            return evaluate(self.tokens[index], environ) if index < len(self.tokens) else match[0]

        return self._pattern().sub(value, text)

    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"{self.mark}([0-9]{{1,9}}){self.mark}")

    def _token(self, match: re.Match[str]) -> str:
        index = int(match[1])
        return self.tokens[index] if index < len(self.tokens) else match[0]


def mask(text: str) -> Masked:
    """Take the tokens out of a text. ERB comments vanish, as ERB has it; lines keep their numbers."""
    mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    tokens: list[str] = []
    lines: list[int] = []

    def replace(match: re.Match[str]) -> str:
        if match["note"] is not None:
            return "\n" * match["note"].count("\n")
        if match["token"] is None:
            return match[0]
        tokens.append(match["token"])
        lines.append(text.count("\n", 0, match.start()) + 1)
        return f"{mark}{len(tokens) - 1}{mark}"

    return Masked(TOKEN.sub(replace, text), mark, tuple(tokens), tuple(lines))


def fault(token: str) -> str | None:
    """Why a token cannot be understood, whatever the environment holds; None when it can."""
    if token == "$$" or BRACES.fullmatch(token) or ERB.fullmatch(token):
        return None
    if token.startswith("<%"):
        form = re.sub(r"\s+", " ", token[:60])
        return f"{form} is ERB that is not understood here: only <%= ENV[…] %> and <%= ENV.fetch(…) %> are; {REMEDY}"
    return f"{token[:60]} is not understood; {REMEDY}, and $$ for a dollar sign"


def evaluate(token: str, environ: Mapping[str, str]) -> str:
    """The value of one token; raises ExpansionError."""
    wrong = fault(token)
    if wrong:
        raise ExpansionError(wrong)
    if token == "$$":
        return "$"
    braces = BRACES.fullmatch(token)
    if braces:
        value = environ.get(braces["name"])
        if braces["given"]:
            return value or braces["default"]
        return _set(braces["name"], value)
    erb = ERB.fullmatch(token)
    if erb is None:
        raise ExpansionError(REMEDY)
    name = erb["index"] or erb["fetch"]
    value = environ.get(name)
    for default in (erb["second"], erb["block"], erb["other"]):
        if value is None and default is not None:
            value = _value_of(default)
    value = _set(name, value)
    cast = erb["inner"] or erb["outer"]
    if cast and not NUMBERS[cast[-1]].fullmatch(value.strip()):
        raise ExpansionError(f"the environment variable {name} is not a number; correct it, or unset it")
    return value.strip() if cast else value


def _value_of(literal: str) -> str:
    """The text of a Ruby literal."""
    if literal[0] in "\"'":
        return literal[1:-1]
    return "" if literal == "nil" else literal.replace("_", "")


def _set(name: str, value: str | None) -> str:
    if value is None:
        raise ExpansionError(
            f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-default}}"
        )
    return value
