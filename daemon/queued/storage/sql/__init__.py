"""Reads the `.sql` files: `statements(dialect, schema)` maps "table.name" to the texts to run.

A section starts with `-- name: NAME`; comment lines after it say what it is for. `queued.TABLE` becomes `SCHEMA.TABLE` on
PostgreSQL and `queued_TABLE` on SQLite; `{now}` is the database's clock; `:name` is a parameter. On SQLite a section may
hold several statements separated by `;`. Any other word in braces is a place for a further section: see `filled`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

Dialect = Literal["postgresql", "sqlite"]

FOLDER = Path(__file__).parent

#: The database's clock as it stands in a statement. Microseconds since 1970 on SQLite (it knows milliseconds).
CLOCKS: dict[Dialect, str] = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER))",
}
_SECTION = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
#: A parameter as it stands in a statement that is ready for its driver: PostgreSQL's and SQLite's.
_RENDERED = re.compile(r"%\((\w+)\)b|(?<!:):([a-z_]+)")


@lru_cache(maxsize=8)
def statements(dialect: Dialect, schema: str = "queued") -> dict[str, tuple[str, ...]]:
    """Every named statement of one dialect, ready for its driver."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in ("shared", dialect):
        for file in sorted((FOLDER / folder).glob("*.sql")):
            for name, text in sections(file.read_text(encoding="utf-8")):
                key = f"{file.stem}.{name}"
                if key in found:
                    raise ValueError(f"the statement {key} stands twice for {dialect}")
                found[key] = tuple(render(part, dialect, schema) for part in split(text))
    return found


def sections(text: str) -> list[tuple[str, str]]:
    """(name, text) of each section of a file."""
    pieces = _SECTION.split(text)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))


def split(text: str) -> list[str]:
    """The statements of a section, without their comments."""
    return [part.strip() for part in _COMMENT.sub("", text).split(";") if part.strip()]


def render(text: str, dialect: Dialect, schema: str) -> str:
    """One statement as its driver wants it."""
    text = text.replace("{now}", CLOCKS[dialect])
    if dialect == "sqlite":
        return text.replace("queued.", "queued_")
    text = in_schema(text, schema)
    # Binary parameters: psycopg dumps a text array in 8.7 µs a row, the same array in binary in 0.43.
    return _PARAMETER.sub(r"%(\1)b", text.replace("%", "%%"))


def filled(
    texts: Mapping[str, tuple[str, ...]],
    name: str,
    parts: Mapping[str, str],
    conditions: Sequence[tuple[Sequence[tuple[str, Mapping[str, Any]]], bool]],
) -> tuple[str, dict[str, Any]]:
    """A section with others in its places, and the parameters of its conditions.

    `parts` names the section for each place; each condition is (alternatives, negated), an alternative the name of a section
    and its parameters, which are renamed so that a section can stand there twice.
    """
    params: dict[str, Any] = {}
    told = []
    for alternatives, negated in conditions:
        either = []
        for section, given in alternatives:
            (text,) = texts[section]
            number = len(params)
            text = _numbered(text, number)
            params.update({f"{key}_{number}": value for key, value in given.items()})
            either.append(f"({text})")
        told.append(f"{'NOT ' if negated else ''}({' OR '.join(either)})")
    (text,) = texts[name]
    for place, section in parts.items():
        text = text.replace(f"{{{place}}}", texts[section][0])
    return text.replace("{conditions}", " AND ".join(told) or "1 = 1"), params


def _numbered(text: str, number: int) -> str:
    """A section with a number behind each of its parameters."""

    def renamed(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return match[0].replace(name, f"{name}_{number}")

    return _RENDERED.sub(renamed, text)


def in_schema(text: str, schema: str) -> str:
    """PostgreSQL's statement with its tables in another schema than `queued`."""
    if schema == "queued":
        return text
    quoted = '"' + schema.replace('"', '""') + '"'
    return re.sub(r"\bqueued\.", lambda _: f"{quoted}.", text)


def migrations(dialect: Dialect, schema: str = "queued") -> list[tuple[int, str, str]]:
    """(version, name, script) of every migration, in order."""
    found = []
    for file in (FOLDER / dialect / "migrations").glob("*.sql"):
        script = file.read_text(encoding="utf-8").replace("{now}", CLOCKS[dialect])
        if dialect == "postgresql":
            script = in_schema(script, schema)
        found.append((int(file.stem.split("_", 1)[0]), file.stem, script))
    return sorted(found)
