"""A query's terms as the conditions of a statement. Moments are resolved here: `now` is the database's clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from queued.domain.moments import resolve
from queued.domain.query import Query, Range, Term, Text
from queued.storage.session import Condition
from queued.storage.sql import Dialect

Alternative = tuple[str, Mapping[str, Any]]
#: The sign that takes the meaning from `%`, `_` and itself in LIKE.
ESCAPE = "\\"


def conditions(query: Query, dialect: Dialect, now: datetime) -> list[Condition]:
    """What SQL can ask of a job for this query. `Query.exact` must be asked too where `Query.needs` says so."""
    found = []
    for term in query.terms:
        alternatives = tuple(each for value in term.values for each in _alternatives(term, value, dialect, now))
        if alternatives:
            found.append(Condition(alternatives, term.negated))
    return found


def _alternatives(term: Term, value: object, dialect: Dialect, now: datetime) -> list[Alternative]:
    field = term.field
    if isinstance(value, Range):
        return [(f"when.{field}_within", {"value": value.low, "until": value.high})]
    if isinstance(value, datetime | timedelta):
        return [(f"when.{field}", {"value": resolve(value, now)})]
    assert isinstance(value, Text)
    match field:
        case "state":
            return [("when.state_is", {"value": value.text})]
        case "class" | "queue" if value.wild:
            return [(f"when.{field}_like", {"value": pattern(value.text, dialect)})]
        case "class" | "queue":
            return [(f"when.{field}_is", {"value": value.text})]
        case "error":
            return [("when.error_has", {"value": part(value.text)})]
        case "args" if not term.path:
            return [("when.args_has", {"value": part(text)}) for text in written(value.text)]
        case "args":
            # Only a first look: an opposite cannot be narrowed down, nor a value that may be written in several ways.
            narrow = not term.negated and not value.wild and value.text.isascii() and value.text.isalnum()
            return [("when.args_has", {"value": part(value.text)})] if narrow else []
        case "":
            return [("when.text_has", {"value": part(text)}) for text in written(value.text)]
    return []


def pattern(text: str, dialect: Dialect) -> str:
    """`*` and `?` in the words of the database: GLOB's on SQLite, LIKE's on PostgreSQL."""
    if dialect == "sqlite":
        return text.replace("[", "[[]")
    return escaped(text).replace("*", "%").replace("?", "_")


def part(text: str) -> str:
    """LIKE's pattern for a text anywhere inside another."""
    return f"%{escaped(text)}%"


def escaped(text: str) -> str:
    """A text without a meaning for LIKE."""
    return text.replace(ESCAPE, ESCAPE * 2).replace("%", f"{ESCAPE}%").replace("_", f"{ESCAPE}_")


def written(text: str) -> list[str]:
    """A text as it may stand in stored JSON: as it is, and with JSON's own escapes."""
    return list(dict.fromkeys((text, json.dumps(text)[1:-1])))
