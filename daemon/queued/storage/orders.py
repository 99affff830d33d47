"""The orders in which jobs can be walked, each carried by one index, stretch by stretch.

A position is a tuple that names a row by the columns of its index; a walk goes on behind it, whatever has come or gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from queued.domain.errors import QueryError
from queued.storage.session import Composition, Condition, Row, Session

#: Above every id; both databases count ids in signed 64 bits.
NO_ID = 2**63 - 1
Position = tuple[Any, ...]
#: The parameters that say which large texts are wanted.
Wanted = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (1000, 9000))


class Order(Protocol):
    """One way through one table."""

    def begin(self, token: str | None) -> Position:
        """Before the first row, or behind the row that a token names. Raises QueryError for what is no token."""

    def end(self, session: Session, position: Position, most: int) -> Position | None:
        """The last of the `most` rows behind a position; None when there are fewer."""

    def rows(
        self,
        session: Session,
        position: Position,
        end: Position | None,
        most: int,
        page: int,
        conditions: Sequence[Condition],
        wanted: Wanted,
    ) -> list[Row]:
        """The first `page` of those rows behind a position, to `end` or at most `most` of them, that meet the conditions."""

    def position(self, row: Row) -> Position:
        """Where a row is."""

    def token(self, position: Position) -> str:
        """A position as a word."""


class ById:
    """The newest first, by the primary key of a state's table, or of `jobs` for all states."""

    def __init__(self, source: str) -> None:
        self._source = source

    def begin(self, token: str | None) -> Position:
        return (NO_ID if token is None else whole(token)[0],)

    def end(self, session: Session, position: Position, most: int) -> Position | None:
        row = session.one(f"search.reach_{self._source}", before=position[0], most=most)
        return (row["low"],) if row is not None and row["n"] == most else None

    def rows(
        self,
        session: Session,
        position: Position,
        end: Position | None,
        most: int,
        page: int,
        conditions: Sequence[Condition],
        wanted: Wanted,
    ) -> list[Row]:
        # Twice as many: a job that comes back into the stretch while it is read must not push another out of it.
        listed = Composition("search.list", _parts(self._source), conditions)
        low = end[0] if end is not None else 0
        return session.composed(listed, before=position[0], low=low, most=2 * most, page=page, **wanted)

    def position(self, row: Row) -> Position:
        return (row["id"],)

    def token(self, position: Position) -> str:
        return str(position[0])


class ByFailure(ById):
    """Those that failed last come first."""

    def __init__(self) -> None:
        super().__init__("failed_by_time")

    def begin(self, token: str | None) -> Position:
        return (_LAST, NO_ID) if token is None else _timed(token, 2)

    def end(self, session: Session, position: Position, most: int) -> Position | None:
        moment, job_id = position
        row = session.one(f"search.reach_{self._source}", moment=moment, id=job_id, skipped=most - 1)
        return self.position(row) if row is not None else None

    def rows(
        self,
        session: Session,
        position: Position,
        end: Position | None,
        most: int,
        page: int,
        conditions: Sequence[Condition],
        wanted: Wanted,
    ) -> list[Row]:
        moment, job_id = position
        listed = Composition("search.list", _parts(self._source, "order_failed_at"), conditions)
        rows = session.composed(listed, moment=moment, id=job_id, most=most, page=page, **wanted)
        return [row for row in rows if end is None or self.position(row) >= end]

    def position(self, row: Row) -> Position:
        return (row["state_at"], row["id"])

    def token(self, position: Position) -> str:
        return ".".join(str(_microseconds(each) if isinstance(each, datetime) else each) for each in position)


class ByDue(ByFailure):
    """Those that are due first come first."""

    def __init__(self) -> None:
        ById.__init__(self, "scheduled_by_time")

    def begin(self, token: str | None) -> Position:
        return (_FIRST, 0, 0) if token is None else _timed(token, 3)

    def end(self, session: Session, position: Position, most: int) -> Position | None:
        moment, priority, job_id = position
        row = session.one(f"search.reach_{self._source}", moment=moment, priority=priority, id=job_id, skipped=most - 1)
        return self.position(row) if row is not None else None

    def rows(
        self,
        session: Session,
        position: Position,
        end: Position | None,
        most: int,
        page: int,
        conditions: Sequence[Condition],
        wanted: Wanted,
    ) -> list[Row]:
        moment, priority, job_id = position
        listed = Composition("search.list", _parts(self._source, "order_run_at"), conditions)
        rows = session.composed(listed, moment=moment, priority=priority, id=job_id, most=most, page=page, **wanted)
        return [row for row in rows if end is None or self.position(row) <= end]

    def position(self, row: Row) -> Position:
        return (row["state_at"], row["priority"], row["id"])


class ByTurn(ById):
    """The ready jobs of one lane in the order in which they would be claimed. For walks that see all of it: it has no token."""

    def __init__(self, queue: str, priority: int) -> None:
        super().__init__("lane")
        self._lane = {"queue": queue, "priority": priority}

    def begin(self, token: str | None) -> Position:
        return (-NO_ID,)

    def end(self, session: Session, position: Position, most: int) -> Position | None:
        row = session.one("search.reach_lane", after=position[0], most=most, **self._lane)
        return (row["high"],) if row is not None and row["n"] == most else None

    def rows(
        self,
        session: Session,
        position: Position,
        end: Position | None,
        most: int,
        page: int,
        conditions: Sequence[Condition],
        wanted: Wanted,
    ) -> list[Row]:
        listed = Composition("search.list", _parts(self._source), conditions)
        last = end[0] if end is not None else NO_ID
        return session.composed(listed, after=position[0], last=last, most=2 * most, page=page, **self._lane, **wanted)


def window(
    session: Session,
    queue: str | None,
    size: int,
    token: str | None,
    page: int,
    conditions: Sequence[Condition],
    wanted: Wanted,
) -> list[Row]:
    """The newest of the ready jobs that would be claimed first, of one queue or of all: `ready` has no index by job."""
    (before,) = ById("ready").begin(token)
    source, more = ("ready", {}) if queue is None else ("ready_in", {"queue": queue})
    most = size if conditions else page
    listed = Composition("search.list", _parts(source), conditions)
    return session.composed(listed, before=before, window=size, most=most, page=page, **more, **wanted)


def _parts(source: str, order: str = "order_newest") -> dict[str, str]:
    return {"rows": f"search.{source}", "order": f"search.{order}"}


def whole(token: str) -> list[int]:
    """The numbers of a token. Raises QueryError."""
    numbers = token.split(".")
    if not all(number.removeprefix("-").isascii() and number.removeprefix("-").isdigit() for number in numbers):
        raise QueryError(f"{token!r} is no place in a list; use what the page before says")
    return [min(int(number), NO_ID) for number in numbers]


def _timed(token: str, length: int) -> Position:
    numbers = whole(token)
    if len(numbers) != length:
        raise QueryError(f"{token!r} is no place in this order of the list; use what the page before says")
    try:
        return (_EPOCH + timedelta(microseconds=numbers[0]), *numbers[1:])
    except OverflowError:
        raise QueryError(f"{token!r} is no place in a list; use what the page before says") from None


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
