"""Reads the `.sql` files: `statements(dialect, schema)` maps "table.name" to the texts to run.

A section starts with `-- name: NAME`; comment lines after it say what it is for. `queued.TABLE` becomes `SCHEMA.TABLE` on
PostgreSQL and `queued_TABLE` on SQLite; `{now}` is the database's clock; `:name` is a parameter. On SQLite a section may
hold several statements separated by `;`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

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
