"""queuectl errors: failed jobs by cause, the most frequent first."""

from __future__ import annotations

import argparse
from typing import Any

from queued.cli.database import reaching, target
from queued.cli.jobs import QUERY_HELP, query_of
from queued.cli.listing import Listing, show
from queued.cli.options import Subparsers, add_command
from queued.cli.output import moment, relative
from queued.domain.failures import Group


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    listing = add_command(
        commands, "errors", errors, "list what failed jobs failed of, by cause", [common], lists=True, watched=True
    )
    listing.add_argument("query", metavar="QUERY", nargs="*", help=QUERY_HELP)
    listing.set_defaults(state=None, queue=None, class_name=None, since=None)


def errors(arguments: argparse.Namespace) -> int:
    """Print the groups."""
    from queued.storage import failures, insights

    query = query_of(arguments, arguments.query)
    with target(arguments) as database, database.store.reading() as session:
        now = insights.now(session)
        found, complete = failures.grouped(session, query)
    groups = found.listed()
    footer = "" if groups else "no failed job matches"
    if not complete:
        footer = f"the newest {found.count} failures were read; narrow them down, as with since:1h or class:NAME"
    elif groups:
        footer = reaching(arguments, "run a cause's jobs again: queuectl jobs retry fingerprint:ID")
    listing = Listing(
        key="errors",
        headers=("COUNT", "LAST", "FINGERPRINT", "CLASS", "ERROR", "MESSAGE"),
        rows=[
            (
                group.count,
                relative(group.last_at, now),
                group.fingerprint,
                group.class_name,
                group.error_class,
                group.message,
            )
            for group in groups
        ],
        right=("COUNT",),
        wide=("FIRST", "LATEST", "JOB", "PLACE"),
        wide_rows=[(moment(group.first_at), moment(group.last_at), group.job_id, group.place) for group in groups],
        records=[as_json(group) for group in groups],
        names=[group.fingerprint for group in groups],
        around={"now": now, "complete": complete, "read": found.count},
        footer=footer,
    )
    return show(arguments, listing)


def as_json(group: Group) -> dict[str, Any]:
    """The documented object of one cause."""
    return {
        "fingerprint": group.fingerprint,
        "class": group.class_name,
        "error_class": group.error_class,
        "place": group.place,
        "count": group.count,
        "first_failed_at": group.first_at,
        "last_failed_at": group.last_at,
        "message": group.message,
        "last_job": group.job_id,
    }
