"""What an operation needs of a database: run a named statement inside the transaction that is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from queued.storage.sql import Dialect

Row = dict[str, Any]


class Session(Protocol):
    """An open transaction. Rows are dicts; columns that end in `_at` are aware UTC datetimes."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is; operations ask only where no statement can hide the difference."""

    def all(self, name: str, /, **params: Any) -> list[Row]:
        """The rows of the named statement."""

    def one(self, name: str, /, **params: Any) -> Row | None:
        """The first row of the named statement, or None."""

    def run(self, name: str, /, **params: Any) -> int:
        """Run the named statement; the number of rows it touched."""


def listed(dialect: Dialect, rows: Sequence[Sequence[Any]], *names: str) -> dict[str, Any]:
    """Rows as the parameters of a statement: one list `rows` on SQLite, a list for each column on PostgreSQL."""
    if dialect == "sqlite":
        return {"rows": [list(row) for row in rows]}
    return {name: [row[n] for row in rows] for n, name in enumerate(names)}
