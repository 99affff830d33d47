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
            _csv(listing.records, legend=not arguments.no_legend)
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


def _csv(records: Sequence[Mapping[str, Any]], legend: bool) -> None:
    import csv
    import io

    flat = [dict(_flat(record)) for record in records]
    columns = list(dict.fromkeys(name for record in flat for name in record))
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    if legend and columns:
        writer.writerow(columns)
    writer.writerows([record.get(column, "") for column in columns] for record in flat)
    if written.getvalue():
        say(written.getvalue().rstrip("\n"))


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The values of an object and of those inside it, by dotted names, as texts; a list is JSON."""
    import json
    from datetime import datetime

    from queued.cli.output import jsonable

    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | list | tuple):
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False, default=jsonable)
        elif isinstance(value, datetime):
            yield f"{prefix}{name}", jsonable(value)
        else:
            yield f"{prefix}{name}", "" if value is None else str(value)
