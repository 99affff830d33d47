"""SQL is source code: every statement has one place, a use, and a sentence or a table that it is about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from queued.storage.sql import sections, statements

STORAGE = Path(__file__).resolve().parents[1] / "daemon" / "queued" / "storage"
SQL = STORAGE / "sql"
DIALECTS = ("postgresql", "sqlite")


def names(folder: str) -> set[str]:
    """Every statement of one folder, as `table.name`."""
    return {
        f"{file.stem}.{name}"
        for file in (SQL / folder).glob("*.sql")
        for name, _ in sections(file.read_text(encoding="utf-8"))
    }


def uses() -> tuple[set[str], set[str]]:
    """The names that code runs: whole ones, and the beginnings of those it puts together, as in f"insights.count_{x}"."""
    whole, beginnings = set(), set()
    stems = "|".join(sorted({name.partition(".")[0] for folder in ("shared", *DIALECTS) for name in names(folder)}))
    for file in STORAGE.rglob("*.py"):
        for prefix, name in re.findall(rf'(f?)"((?:{stems})\.[a-z_{{}}]+)"', file.read_text(encoding="utf-8")):
            if prefix and "{" in name:
                beginnings.add(name.partition("{")[0])
            else:
                whole.add(name)
    return whole, beginnings


def test_a_statement_is_shared_or_in_both_dialects() -> None:
    assert names("postgresql") == names("sqlite")
    assert not names("shared") & names("sqlite")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_statement_is_used_and_no_unknown_one_is(dialect: str) -> None:
    known = set(statements(dialect))  # type: ignore[arg-type]
    whole, beginnings = uses()
    assert whole <= known
    for beginning in beginnings:
        assert any(name.startswith(beginning) for name in known), beginning
    unused = {name for name in known - whole if not name.startswith(tuple(beginnings) or ("-",))}
    assert not unused


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_section_holds_a_statement_and_on_postgresql_exactly_one(dialect: str) -> None:
    for name, parts in statements(dialect).items():  # type: ignore[arg-type]
        assert parts, f"{name} is empty"
        if dialect == "postgresql":
            assert len(parts) == 1, f"{name} holds several statements, which PostgreSQL does not prepare"
