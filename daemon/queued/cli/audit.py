"""queuectl audit: what operators did, the newest first."""

from __future__ import annotations

import argparse
from typing import Any

from queued.cli.database import target
from queued.cli.jobs import LIMIT, positive
from queued.cli.listing import Listing, show
from queued.cli.moments import since
from queued.cli.options import Subparsers, add_command
from queued.cli.output import moment
from queued.domain.audit import Deed


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    listing = add_command(
        commands, "audit", audit, "list what operators did, the newest first", [common], lists=True, watched=True
    )
    listing.add_argument("--since", metavar="WHEN", type=since, help="only what was done since then")
    listing.add_argument("--limit", metavar="N", type=positive, default=LIMIT, help="how many (default %(default)s)")
    listing.add_argument("--before", metavar="ID", type=positive, help="only older actions: the next page")


def audit(arguments: argparse.Namespace) -> int:
    """Print one page of actions."""
    from queued.domain.moments import resolve
    from queued.storage import audit as table
    from queued.storage import insights

    with target(arguments) as database, database.store.reading() as session:
        told = arguments.since
        bound = resolve(told, insights.now(session)) if told is not None else None
        found = table.newest(session, arguments.limit + 1, arguments.before, bound)
    shown = found[: arguments.limit]
    following = shown[-1].id if len(found) > len(shown) else None
    footer = "" if shown else "nothing is on record"
    listing = Listing(
        key="actions",
        headers=("ID", "TIME", "WHO", "FROM", "ACTION", "COUNT", "WHAT"),
        rows=[
            (
                deed.id,
                moment(deed.acted_at),
                deed.actor.name,
                f"{deed.actor.origin} on {deed.actor.hostname}" if deed.actor.origin else deed.actor.hostname,
                deed.action,
                deed.count,
                deed.target,
            )
            for deed in shown
        ],
        right=("ID", "COUNT"),
        records=[as_json(deed) for deed in shown],
        names=[deed.id for deed in shown],
        around={"next_before": following},
        footer=footer if following is None else f"{len(shown)} listed; more: --before {following}",
    )
    return show(arguments, listing)


def as_json(deed: Deed) -> dict[str, Any]:
    """The documented object of one action."""
    return {
        "id": deed.id,
        "acted_at": deed.acted_at,
        "actor": deed.actor.name,
        "uid": deed.actor.uid,
        "hostname": deed.actor.hostname,
        "origin": deed.actor.origin,
        "action": deed.action,
        "count": deed.count,
        "target": deed.target,
    }
