"""What an operation needs of a database: run a named statement inside the transaction that is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from queued.storage.sql import Dialect

Row = dict[str, Any]
#: What has become of the SQLite file that is open: whether its path still leads to it.
FileState = Literal["there", "deleted", "replaced"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What rows must meet: one of the named sections with its parameters, or none of them when `negated`."""

    alternatives: tuple[tuple[str, Mapping[str, Any]], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Composition:
    """A statement put together: in the text of the section `name` stand others, by placeholder, and `{conditions}`."""

    name: str
    parts: Mapping[str, str]
    conditions: Sequence[Condition] = ()


class Session(Protocol):
    """An open transaction. Rows are dicts; columns that end in `_at` are aware UTC datetimes."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is; operations ask only where no statement can hide the difference."""

    def all(self, name: str, /, **params: Any) -> list[Row]:
        """The rows of the named statement."""

    def tuples(self, name: str, /, **params: Any) -> list[tuple[Any, ...]]:
        """As `all`, where a dict for each row would cost too much: values in the statement's order, moments as stored."""

    def composed(self, statement: Composition, /, **params: Any) -> list[Row]:
        """The rows of a statement that is put together from sections."""

    def one(self, name: str, /, **params: Any) -> Row | None:
        """The first row of the named statement, or None."""

    def run(self, name: str, /, **params: Any) -> int:
        """Run the named statement; the number of rows it touched."""

    def waiting_at_most(self, seconds: float) -> AbstractContextManager[None]:
        """A block whose statements each wait so long at most for locks of other transactions.

        Raises LockNotAvailable; then nothing of the block has happened, and the transaction may go on.
        """


class Paced:
    """A session that calls `after` when each statement has been answered: many reads, none of them quick, are no silence.

    What `after` does in the database must be no part of an open transaction: for sessions of `Store.reading`.
    """

    def __init__(self, session: Session, after: Callable[[], None]) -> None:
        self._session = session
        self._after = after

    @property
    def dialect(self) -> Dialect:
        return self._session.dialect

    def all(self, name: str, /, **params: Any) -> list[Row]:
        rows = self._session.all(name, **params)
        self._after()
        return rows

    def tuples(self, name: str, /, **params: Any) -> list[tuple[Any, ...]]:
        rows = self._session.tuples(name, **params)
        self._after()
        return rows

    def composed(self, statement: Composition, /, **params: Any) -> list[Row]:
        rows = self._session.composed(statement, **params)
        self._after()
        return rows

    def one(self, name: str, /, **params: Any) -> Row | None:
        row = self._session.one(name, **params)
        self._after()
        return row

    def run(self, name: str, /, **params: Any) -> int:
        touched = self._session.run(name, **params)
        self._after()
        return touched

    def waiting_at_most(self, seconds: float) -> AbstractContextManager[None]:
        return self._session.waiting_at_most(seconds)


def listed(dialect: Dialect, rows: Sequence[Sequence[Any]], *names: str) -> dict[str, Any]:
    """Rows as the parameters of a statement: one list `rows` on SQLite, a list for each column on PostgreSQL."""
    if dialect == "sqlite":
        return {"rows": [list(row) for row in rows]}
    return {name: [row[n] for row in rows] for n, name in enumerate(names)}
