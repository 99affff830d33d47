"""queuectl locks: who holds the keys of concurrency limits, and how many wait for each."""

from __future__ import annotations

import argparse

from queued.cli.database import target
from queued.cli.jobs import LIMIT, positive
from queued.cli.listing import Listing, show
from queued.cli.options import Subparsers, add_command, subcommands


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verb to the program."""
    noun = commands.add_parser(
        "locks", help="list the keys of concurrency limits", description="List the keys of concurrency limits."
    )
    verbs = subcommands(noun, "verb")
    listing = add_command(
        verbs, "list", list_locks, "list keys, who holds each, and how many wait", [common], lists=True, watched=True
    )
    listing.add_argument("--limit", metavar="N", type=positive, default=LIMIT, help="how many (default %(default)s)")
    listing.add_argument("--after", metavar="KEY", default="", help="only keys behind this one: the next page")


def list_locks(arguments: argparse.Namespace) -> int:
    """Print one page of keys."""
    from queued.storage import insights

    with target(arguments) as database, database.store.reading() as session:
        found = insights.locks(session, arguments.limit + 1, arguments.after)
    shown = found[: arguments.limit]
    following = shown[-1].key if len(found) > len(shown) else None
    listing = Listing(
        key="locks",
        headers=("KEY", "HELD", "BLOCKED", "HOLDERS"),
        rows=[
            (
                lock.key,
                f"{lock.held} of {lock.capacity}",
                lock.blocked,
                ", ".join(map(str, lock.holders)) + (", …" if lock.held > len(lock.holders) else ""),
            )
            for lock in shown
        ],
        right=("HELD", "BLOCKED"),
        records=[
            {
                "key": lock.key,
                "to": lock.capacity,
                "held": lock.held,
                "holders": list(lock.holders),
                "blocked": lock.blocked.value,
            }
            for lock in shown
        ],
        names=[lock.key for lock in shown],
        around={"next_after": following},
        footer=f"{len(shown)} listed; more: --after {following!r}"
        if following is not None
        else ("" if shown else "no limit is in use"),
    )
    return show(arguments, listing)
