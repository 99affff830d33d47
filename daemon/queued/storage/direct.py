"""What an enqueue of one job says to PostgreSQL, past psycopg's cursors.

A client that waits for the disk between two calls finds its caches cold, and a cursor's adapting of parameters and making of
rows, all in Python, then takes 60 of 270 µs. libpq is waited for by psycopg's own generators: patience, interruption, and the
NOTIFYs that come with an answer are as ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from queued.domain.errors import DatabaseError

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

#: A parameter in a text that is meant for a cursor.
_PLACE = re.compile(r"%\((\w+)\)b")


class Direct:
    """Runs statements on one connection, outside transactions; not on one behind a pooler that shares it out.

    The connection calls `settle` before it is used in any other way.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        import psycopg
        from psycopg import generators

        self._connection = connection
        self._libpq = connection.pgconn
        # A server that stores bytes as they come (SQL_ASCII) gets what psycopg's own dumpers give it.
        encoding = connection.info.encoding
        self._encoding = "utf-8" if encoding == "ascii" else encoding
        self._generators = generators
        self._pg = psycopg
        self._idle = psycopg.pq.TransactionStatus.IDLE
        self._fatal = psycopg.pq.ExecStatus.FATAL_ERROR
        self._prepared: dict[str, tuple[bytes, tuple[str, ...]]] = {}
        self._count = 0
        self._untaken = False

    @property
    def alone(self) -> bool:
        """Whether no transaction is open, so that a statement is one of its own."""
        return self._libpq.transaction_status == self._idle

    def row(self, name: str, text: str, params: Mapping[str, Any]) -> list[int]:
        """The one row of a statement whose parameters are text, a whole number or null, and whose columns are whole numbers.

        Returns when its transaction is committed. Raises psycopg's errors, and DatabaseError for a text that cannot be encoded.
        """
        key, order = self._prepared.get(name) or self._prepare(name, text)
        values, formats = [], []
        try:
            for place in order:
                value = params[place]
                # Text goes as bytes with their length, which keeps a NUL for the server to refuse; a number as its digits.
                values.append(value.encode(self._encoding) if isinstance(value, str) else _digits(value))
                formats.append(1 if isinstance(value, str) else 0)
        except UnicodeError as error:
            raise DatabaseError(f"PostgreSQL cannot hold a value of {name}: {error}") from error
        try:
            with self._whole():
                self._libpq.send_query_prepared(key, values, formats)
                result = self._answer()
        except self._pg.errors.InvalidSqlStatementName:
            # psycopg has let all prepared statements go, as it does after a rollback. Nothing was executed.
            del self._prepared[name]
            return self.row(name, text, params)
        if result.ntuples != 1:
            raise DatabaseError(
                f"PostgreSQL: {name} stored {result.ntuples} rows, not 1: is there a trigger on the table?"
            )
        return [int(result.get_value(0, n) or 0) for n in range(result.nfields)]

    def tell(self, text: str, params: Mapping[str, Sequence[str]]) -> None:
        """Run a statement with lists of texts, and do not wait for its answer: `settle` takes that in, whatever it is.

        Raises psycopg's errors, and DatabaseError for a text that cannot be encoded.
        """
        text, order = _numbered(text)
        try:
            values = [_array(params[place]).encode(self._encoding) for place in order]
        except UnicodeError as error:
            raise DatabaseError(f"PostgreSQL cannot carry a message: {error}") from error
        # Not prepared: where that statement has gone, nobody would be told, and nobody know.
        with self._whole():
            self._libpq.send_query_params(text.encode(self._encoding), values)
            if self._libpq.flush() == 0:
                self._untaken = True
            else:
                self._answer()

    def settle(self) -> None:
        """Have the connection free for whoever uses it next. One that has died is found so by its next use."""
        if self._untaken:
            self._untaken = False
            try:
                with self._whole():
                    self._connection.wait(self._generators.fetch_many(self._libpq))
            except self._pg.OperationalError:
                pass

    def _prepare(self, name: str, text: str) -> tuple[bytes, tuple[str, ...]]:
        text, order = _numbered(text)
        self._count += 1
        key = f"queued_{self._count}".encode()
        with self._whole():
            self._libpq.send_prepare(key, text.encode(self._encoding))
            self._answer()
        self._prepared[name] = (key, order)
        return self._prepared[name]

    def _answer(self) -> PGresult:
        result: PGresult = self._connection.wait(self._generators.execute(self._libpq))[-1]
        if result.status == self._fatal:
            raise self._pg.errors.error_from_result(result, self._encoding)
        return result

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What is sent in here is answered in here. Where a job's time-out or Ctrl-C cuts it short, nobody knows what of the answer
        has arrived, and the connection is closed: the next statement would wait for its own answer behind it."""
        try:
            yield
        except self._pg.Error:
            raise
        except BaseException:
            self._connection.close()
            raise


def _numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """A statement with its parameters by number, as libpq wants them, and their names."""
    order: list[str] = []

    def number(place: re.Match[str]) -> str:
        order.append(place[1])
        return f"${len(order)}"

    return _PLACE.sub(number, text), tuple(order)


def _digits(value: int | None) -> bytes | None:
    return None if value is None else b"%d" % value


def _array(texts: Sequence[str]) -> str:
    """A list of texts as PostgreSQL writes arrays."""
    return "{" + ",".join('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts) + "}"
