"""Text to query. Errors name the word that is wrong and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from queued.domain import moments
from queued.domain.errors import QueryError
from queued.domain.jobs import STATES
from queued.domain.query.fields import FIELDS, SORTS
from queued.domain.query.terms import LARGEST, Query, Range, Term, Text, Value

_NUMBER = re.compile(r"(?:(?P<low>-?\d+)\.\.(?P<high>-?\d+)|(?P<sign><=|>=|<|>|)(?P<number>-?\d+))")
#: What other tools call our fields.
_MEANT = {"status": "state", "kind": "class", "worker": "class", "name": "class", "job": "class", "arg": "args"}
_MEANT |= {"arguments": "args", "message": "error", "exception": "error", "before": "until", "after": "since"}
_MEANT |= {"order": "sort", "order_by": "sort"}


@dataclass(slots=True)
class Piece:
    """A stretch of characters, quoted or not."""

    text: str
    quoted: bool


def parse(text: str) -> Query:
    """The query that a text is; an empty text means all jobs. Raises QueryError."""
    terms: list[Term] = []
    sort = None
    for word in words(text):
        found = _term(word)
        if found.field != "sort":
            terms.append(found)
        elif sort is not None:
            raise QueryError(f"sort: is given twice, {sort} and {found.texts[0].text}; keep one of the two")
        else:
            sort = found.texts[0].text
    query = Query(tuple(terms), sort)
    state = SORTS.get(sort or "-id")
    if state is not None and query.states != (state,):
        raise QueryError(f"sort:{sort} orders {state} jobs only; add state:{state}")
    return query


def term(field: str, text: str) -> Term:
    """One term whose value is told apart from its field, as by an option; commas have no meaning in it. Raises QueryError."""
    return Term(field, (_value(field, [Piece(text, False)], f"{field}:{text}"),))


def words(text: str) -> Iterator[list[Piece]]:
    """The words of a text, each in its quoted and unquoted pieces."""
    word: list[Piece] = []
    position = 0
    while position < len(text):
        sign = text[position]
        if sign.isspace():
            if word:
                yield word
            word = []
            position += 1
        elif sign in "\"'":
            end, inside = _quoted(text, position)
            word.append(Piece(inside, True))
            position = end
        else:
            match = re.compile(r"[^\s\"']+").match(text, position)
            assert match is not None
            word.append(Piece(match[0], False))
            position = match.end()
    if word:
        yield word


def _quoted(text: str, start: int) -> tuple[int, str]:
    """Where a quoted stretch ends, and what it holds; a backslash takes the sign behind it as it is."""
    inside, position = "", start + 1
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text):
            inside += text[position + 1]
            position += 2
        elif text[position] == text[start]:
            return position + 1, inside
        else:
            inside += text[position]
            position += 1
    raise QueryError(f"the quote that begins at {text[start : start + 20]!r} does not end; add {text[start]}")


def _term(word: list[Piece]) -> Term:
    shown = "".join(f'"{piece.text}"' if piece.quoted else piece.text for piece in word)
    negated = not word[0].quoted and word[0].text.startswith("-") and len(shown) > 1
    if negated:
        word = [Piece(word[0].text[1:], False), *word[1:]]
    name, colon, behind = word[0].text.partition(":") if not word[0].quoted else ("", "", "")
    if not colon or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
        return Term("", (Text("".join(piece.text for piece in word)),), negated)
    field, *path = name.split(".")
    field = field.lower()
    if field == "sort":
        return _sort(behind, negated, shown)
    if field not in FIELDS or (path and field != "args") or "" in path:
        raise QueryError(f"{shown!r}: there is no field {name!r}{_near(field)}")
    pieces = [Piece(behind, False), *word[1:]]
    values = tuple(_value(field, part, shown, bool(path)) for part in _alternatives(pieces))
    return Term(field, values, negated, tuple(path))


def _alternatives(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """The values between the commas that stand outside of quotes."""
    part: list[Piece] = []
    for piece in pieces:
        if piece.quoted:
            part.append(piece)
            continue
        first, *others = piece.text.split(",")
        part.append(Piece(first, False))
        for other in others:
            yield part
            part = [Piece(other, False)]
    yield part


def _value(field: str, pieces: list[Piece], shown: str, inside: bool = False) -> Value:
    text = "".join(piece.text for piece in pieces)
    if not text and not any(piece.quoted for piece in pieces):
        raise QueryError(f"{shown!r}: a value is missing behind the colon or a comma")
    kind = FIELDS[field].kind
    if kind == "state":
        if text.lower() not in STATES:
            near = _nearest(text.lower(), STATES)
            raise QueryError(f"{shown!r}: there is no state {text!r}{near or ';'} the states are {', '.join(STATES)}")
        return Text(text.lower())
    if kind == "number":
        return _range(text, shown)
    if kind == "moment":
        try:
            return moments.since(text)
        except ValueError as error:
            raise QueryError(f"{shown!r}: {error}") from None
    wild = (kind == "pattern" or inside) and any(not piece.quoted and re.search("[*?]", piece.text) for piece in pieces)
    return Text(text, wild)


def _range(text: str, shown: str) -> Range:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise QueryError(f"{shown!r}: {text!r} is no whole number; write 42, 10..20, >100 or <=5")
    low, high = -LARGEST, LARGEST
    if match["number"] is None:
        low, high = int(match["low"]), int(match["high"])
    else:
        number = int(match["number"])
        match match["sign"]:
            case "":
                low = high = number
            case "<" | "<=":
                high = number - (match["sign"] == "<")
            case _:
                low = number + (match["sign"] == ">")
    bound = Range(max(low, -LARGEST), min(high, LARGEST))
    if bound.low > bound.high:
        raise QueryError(f"{shown!r}: no number lies in {text}; write the smaller one first")
    return bound


def _sort(name: str, negated: bool, shown: str) -> Term:
    if negated or name not in SORTS:
        raise QueryError(
            f"{shown!r}: jobs have no such order{_nearest(name, SORTS) or ';'} write {_listed('sort:', SORTS)}"
        )
    return Term("sort", (Text(name),))


def _near(field: str) -> str:
    meant = _MEANT.get(field)
    near = f"; did you mean {meant}?" if meant else _nearest(field, [*FIELDS, "sort"])
    return f"{near or ';'} fields are {', '.join(FIELDS)} and sort; quote a word that only looks like one"


def _nearest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _listed(prefix: str, names: Iterable[str]) -> str:
    *others, last = [f"{prefix}{name}" for name in names]
    return f"{', '.join(others)} or {last}"
