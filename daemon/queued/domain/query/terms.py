"""What a query is made of, and what it says of a job that SQL has found."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, cast

from queued.domain.backtraces import fingerprint
from queued.domain.jobs import STATES, State

#: The key that marks a stored value of a type JSON has no word for: `{"$queued": TAG, "value": STORED}`.
MARKER = "$queued"
#: What must be quoted to be written again.
_SPECIAL = re.compile(r"""[\s,"'\\]""")


@dataclass(frozen=True, slots=True)
class Text:
    """A text to look for. `wild` when its `*` and `?` stand for any characters and any one: they were not quoted."""

    text: str
    wild: bool = False

    def matches(self, found: str) -> bool:
        return fnmatchcase(found, self.text.replace("[", "[[]")) if self.wild else found == self.text

    def __str__(self) -> str:
        return self.written()

    def written(self, quoted: bool = False) -> str:
        """The text as it is read again."""
        special = not self.text or _SPECIAL.search(self.text) or (not self.wild and re.search(r"[*?]", self.text))
        return '"' + re.sub(r'(["\\])', r"\\\1", self.text) + '"' if quoted or special else self.text


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers from `low` to `high`, both of them included."""

    low: int
    high: int

    def __str__(self) -> str:
        if self.low == self.high:
            return str(self.low)
        if self.high >= LARGEST:
            return f">={self.low}"
        return f"<={self.high}" if self.low <= -LARGEST else f"{self.low}..{self.high}"


#: Both databases count in signed 64 bits.
LARGEST = 2**63 - 1

Value = Text | Range | timedelta | datetime


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the field has one of the values, or none of them when `negated`. `path` leads into the arguments."""

    field: str
    values: tuple[Value, ...]
    negated: bool = False
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = ",".join(
            value.written(not self.field) if isinstance(value, Text) else _shown(value) for value in self.values
        )
        name = ".".join((self.field, *self.path))
        return f"{'-' if self.negated else ''}{f'{name}:' if name else ''}{values}"

    @property
    def texts(self) -> tuple[Text, ...]:
        return tuple(value for value in self.values if isinstance(value, Text))


def _shown(value: Value) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.15g}s"
    return value.isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class Query:
    """Which jobs are meant, and in which order. Without terms: all, the newest first."""

    terms: tuple[Term, ...] = ()
    sort: str | None = None

    def __str__(self) -> str:
        return " ".join([*map(str, self.terms), *([f"sort:{self.sort}"] if self.sort else [])])

    def with_state(self, state: State) -> Query:
        """This query, for one state only."""
        return Query((*self.terms, Term("state", (Text(state),))), self.sort)

    def of(self, *fields: str) -> tuple[Term, ...]:
        """The terms about these fields."""
        return tuple(term for term in self.terms if term.field in fields)

    @property
    def states(self) -> tuple[State, ...]:
        """The states that can match, in the order of a job's life."""
        left = set(STATES)
        for term in self.of("state"):
            named = cast(set[State], {value.text for value in term.texts})
            left = left - named if term.negated else left & named
        if any(not term.negated for term in self.of("error", "fingerprint")):
            left &= {"failed"}
        return tuple(state for state in STATES if state in left)

    @property
    def needs(self) -> frozenset[str]:
        """The stored texts, of `arguments` and `backtrace`, that `exact` wants to see."""
        wanted = {"arguments"} if self._inside_arguments() else set()
        return frozenset(wanted | ({"backtrace"} if self.of("fingerprint") else set()))

    def queue(self, name: str) -> bool:
        """Whether jobs of this queue can match."""
        return all(
            any(value.matches(name) for value in term.texts) != term.negated
            for term in self.terms
            if term.field == "queue"
        )

    def exact(self, class_name: str, error_class: str | None, texts: dict[str, str | None]) -> bool:
        """Whether what SQL only narrows down holds of a job. `texts` has what `needs` names."""
        for term in self._inside_arguments():
            found = list(_reached(_arguments(texts["arguments"]), term.path))
            if any(value.matches(each) for value in term.texts for each in found) == term.negated:
                return False
        for term in self.of("fingerprint"):
            told = fingerprint(class_name, error_class or "", (texts["backtrace"] or "").splitlines())
            if any(value.matches(told) for value in term.texts) == term.negated:
                return False
        return True

    def _inside_arguments(self) -> tuple[Term, ...]:
        return tuple(term for term in self.of("args") if term.path)


def _arguments(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return None


def _reached(stored: Any, path: Sequence[str]) -> list[str]:
    """The values, as texts, that a path leads to: a name is a keyword argument, a number a positional one."""
    if not isinstance(stored, dict):
        return []
    head, *rest = path
    named, positional = stored.get("kwargs"), stored.get("args")
    found: list[Any] = [named[head]] if isinstance(named, dict) and head in named else []
    if head.isdigit() and isinstance(positional, list) and int(head) < len(positional):
        found.append(positional[int(head)])
    for step in rest:
        found = [below for value in found for below in _below(_unmarked(value), step)]
    return [text for value in found for text in _texts(_unmarked(value))]


def _below(value: Any, step: str) -> list[Any]:
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    if isinstance(value, list) and step.isdigit():
        return value[int(step) :][:1]
    return []


def _unmarked(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) and MARKER in value else value


def _texts(value: Any) -> list[str]:
    """A value as one writes it in a query; a list is each of its items."""
    if isinstance(value, list):
        return [text for item in value for text in _texts(_unmarked(item))]
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool) or value is None:
        return [json.dumps(value)]
    return [json.dumps(value, ensure_ascii=False)]
