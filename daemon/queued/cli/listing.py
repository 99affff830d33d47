"""A list in the form that was asked for: a table for people, JSON, JSON lines, CSV or bare names for programs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from queued.cli import exits
from queued.cli.output import say, say_json, say_line, table, warn


@dataclass(frozen=True, slots=True)
class Listing:
    """A list as data. `rows` belong to `headers`, `records` are the documented objects, `names` what other commands take.

    `wide` are further columns that only `-o wide` shows, with a cell for each row. `around` stands beside the records in JSON.
    """

    key: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    records: Sequence[Mapping[str, Any]]
    names: Sequence[object]
    right: Sequence[str] = ()
    wide: Sequence[str] = ()
    wide_rows: Sequence[Sequence[object]] = ()
    around: Mapping[str, Any] = field(default_factory=dict)
    #: The objects inside a record whose values are columns of CSV, and the names of those, whether or not a record has the object.
    #: Others, and lists, are one column of JSON.
    inside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Said beside the list, on standard error.
    footer: str = ""
    #: Said in its place when it is empty.
    empty: str = ""


def show(arguments: argparse.Namespace, listing: Listing) -> int:
    """Print the list; OK."""
    match arguments.output:
        case "json":
            say_json({**listing.around, listing.key: list(listing.records)})
            return exits.OK
        case "jsonl":
            for record in listing.records:
                say_line(record)
            return exits.OK
        case "csv":
            _csv(listing, legend=not arguments.no_legend)
        case "name":
            for name in listing.names:
                say(str(name))
        case _:
            _table(arguments, listing)
    if listing.footer:
        # Beside the list, not in it: what reads the list by column must not meet a sentence.
        warn(listing.footer)
    return exits.OK


def _table(arguments: argparse.Namespace, listing: Listing) -> None:
    if not listing.rows:
        if listing.empty:
            say(listing.empty)
        return
    headers, rows = listing.headers, listing.rows
    if arguments.output == "wide" and listing.wide:
        # The last column is the one that is cut on a terminal, so it stays the last.
        headers = [*headers[:-1], *listing.wide, headers[-1]]
        rows = [[*row[:-1], *more, row[-1]] for row, more in zip(rows, listing.wide_rows, strict=True)]
    say(table(headers, rows, right=listing.right, legend=not arguments.no_legend, cut=arguments.output != "wide"))


def _csv(listing: Listing, legend: bool) -> None:
    import csv
    import io

    flat = [dict(_flat(record, listing.inside)) for record in listing.records]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    if legend and flat:
        writer.writerow(flat[0])
    writer.writerows(row.values() for row in flat)
    if written.getvalue():
        say(written.getvalue().rstrip("\n"))


def _flat(record: Mapping[str, Any], inside: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """The values of an object as texts, those of the objects `inside` by dotted names."""
    for name, value in record.items():
        if name in inside:
            for part in inside[name]:
                yield f"{name}.{part}", _text(None if value is None else value[part])
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    import json
    from datetime import datetime

    from queued.cli.output import jsonable

    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(value, ensure_ascii=False, default=jsonable)
    if isinstance(value, datetime):
        return str(jsonable(value))
    return "" if value is None else str(value)
