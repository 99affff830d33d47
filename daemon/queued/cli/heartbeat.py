"""queuectl heartbeat: latest, recent, by-host, verify."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from queued.cli import exits
from queued.cli.database import target
from queued.cli.jobs import positive
from queued.cli.listing import Listing, show
from queued.cli.moments import length
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import moment, one_line, say, say_json, span

if TYPE_CHECKING:
    from queued.storage.heartbeats import Beat

#: How many `recent` shows unless told otherwise, and how old the newest may be for `verify`, in seconds.
RECENT, WITHIN = 20, 600.0
NONE = "there is no heartbeat; the recurring task with class: queued.heartbeat leaves them"


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    noun = commands.add_parser(
        "heartbeat",
        help="see the signs of life that a recurring task leaves",
        description="See the signs of life that a recurring task leaves.",
    )
    verbs = subcommands(noun, "verb")
    add_command(verbs, "latest", latest, "print the newest heartbeat", [common])
    listing = add_command(verbs, "recent", recent, "list the newest heartbeats", [common], lists=True, watched=True)
    listing.add_argument("--limit", metavar="N", type=positive, default=RECENT, help="how many (default %(default)s)")
    add_command(verbs, "by-host", by_host, "list the newest heartbeat of each host", [common], lists=True)
    verifying = add_command(
        verbs, "verify", verify, "say by the exit status whether there was a heartbeat lately", [common]
    )
    verifying.add_argument(
        "--within", metavar="LENGTH", type=length, default=WITHIN, help="how old it may be (default 10m)"
    )


def latest(arguments: argparse.Namespace) -> int:
    """Print the newest; UNHEALTHY without one."""
    (*_, beat) = [None, *_recent(arguments, 1)]
    if arguments.json:
        say_json({"heartbeat": _json(beat) if beat is not None else None})
    else:
        say(_line(beat) if beat is not None else NONE)
    return exits.OK if beat is not None else exits.UNHEALTHY


def recent(arguments: argparse.Namespace) -> int:
    """Print the newest ones."""
    beats = _recent(arguments, arguments.limit)
    listing = Listing(
        key="heartbeats",
        headers=("TIME", "AGE", "HOST", "ENVIRONMENT", "MESSAGE"),
        rows=[
            (moment(beat.beaten_at), f"{span(beat.age)} ago", beat.hostname, beat.environment, beat.message)
            for beat in beats
        ],
        records=[_json(beat) for beat in beats],
        names=[beat.hostname for beat in beats],
        empty=NONE,
    )
    return show(arguments, listing)


def by_host(arguments: argparse.Namespace) -> int:
    """Print the newest of each host."""
    from queued.storage import heartbeats

    with target(arguments) as database, database.store.reading() as session:
        hosts = heartbeats.by_host(session)
    listing = Listing(
        key="hosts",
        headers=("HOST", "ENVIRONMENT", "NEWEST", "AGE", "KEPT"),
        rows=[
            (host.hostname, host.environment, moment(host.beaten_at), f"{span(host.age)} ago", host.count)
            for host in hosts
        ],
        right=("KEPT",),
        records=[
            {
                "hostname": host.hostname,
                "environment": host.environment,
                "beaten_at": host.beaten_at,
                "age_seconds": host.age,
                "count": host.count,
            }
            for host in hosts
        ],
        names=[host.hostname for host in hosts],
        empty=NONE,
    )
    return show(arguments, listing)


def verify(arguments: argparse.Namespace) -> int:
    """OK when the newest is young enough, else UNHEALTHY."""
    (*_, beat) = [None, *_recent(arguments, 1)]
    healthy = beat is not None and beat.age <= arguments.within
    if arguments.json:
        told = _json(beat) if beat is not None else None
        say_json({"healthy": healthy, "within_seconds": arguments.within, "heartbeat": told})
    elif beat is None:
        say(NONE)
    else:
        say(f"{'healthy' if healthy else f'too old, more than {span(arguments.within)}'}: {_line(beat)}")
    return exits.OK if healthy else exits.UNHEALTHY


def _recent(arguments: argparse.Namespace, limit: int) -> list[Beat]:
    from queued.storage import heartbeats

    with target(arguments) as database, database.store.reading() as session:
        return heartbeats.recent(session, limit)


def _line(beat: Beat) -> str:
    return one_line(
        f"{moment(beat.beaten_at)} ({span(beat.age)} ago) {beat.hostname} ({beat.environment}): {beat.message}"
    )


def _json(beat: Beat) -> dict[str, Any]:
    return {
        "beaten_at": beat.beaten_at,
        "age_seconds": beat.age,
        "hostname": beat.hostname,
        "environment": beat.environment,
        "message": beat.message,
    }
