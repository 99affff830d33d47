"""queuectl queues: list, pause, resume, clear."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from queued.cli import exits
from queued.cli.database import target
from queued.cli.listing import Listing, show
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import moment, say, say_json, span, warn
from queued.domain.insights import QueueInfo


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    noun = commands.add_parser(
        "queues", help="list, pause, resume and clear queues", description="List, pause, resume and clear queues."
    )
    verbs = subcommands(noun, "verb")
    add_command(
        verbs, "list", list_queues, "list the queues that hold jobs or were paused", [common], lists=True, watched=True
    )
    for name, run, description in (
        ("pause", pause, "stop starting jobs of a queue; the running ones go on"),
        ("resume", resume, "start jobs of a paused queue again"),
    ):
        verb = add_command(verbs, name, run, description, [common])
        verb.add_argument("queues", metavar="NAME", nargs="+", help="a queue's name")

    from queued.cli.actions import CLEAR

    clearing = add_command(verbs, "clear", clear, CLEAR.description, [common])
    clearing.add_argument("queue", metavar="NAME", help="a queue's name")
    clearing.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    clearing.add_argument("--yes", action="store_true", help="do not ask")


def clear(arguments: argparse.Namespace) -> int:
    """Discard what waits in a queue."""
    from queued.cli.actions import CLEAR, act_on
    from queued.domain.query import Query, Term, Text

    return act_on(CLEAR, Query((Term("queue", (Text(arguments.queue),)),)), arguments)


def list_queues(arguments: argparse.Namespace) -> int:
    """Print every queue with its counts."""
    from queued.processes.identity import is_gone
    from queued.storage import insights

    with target(arguments) as database, database.store.reading() as session:
        queues = insights.queues(session, insights.processes(session, database.threshold, is_gone))
    return show(arguments, listing(queues))


def listing(queues: Sequence[QueueInfo]) -> Listing:
    """The list of queues."""
    headers, rows = queue_rows(queues)
    return Listing(
        key="queues",
        headers=headers,
        rows=rows,
        right=headers[1:-1],
        records=[queue_json(queue) for queue in queues],
        names=[queue.name for queue in queues],
        empty="no queue holds a job, and none is paused",
    )


def queue_rows(queues: Sequence[QueueInfo]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """The headings and the rows of a table of queues."""
    headers = ("QUEUE", "READY", "OLDEST", "SCHEDULED", "BLOCKED", "RUNNING", "FAILED", "WORKERS", "STATE")
    rows: list[tuple[object, ...]] = [
        (
            queue.name,
            queue.ready,
            span(queue.latency),
            queue.scheduled,
            queue.blocked,
            queue.running,
            queue.failed,
            queue.workers,
            f"paused since {moment(queue.paused_at)}" if queue.paused_at is not None else "open",
        )
        for queue in queues
    ]
    return headers, rows


def pause(arguments: argparse.Namespace) -> int:
    """Pause each of the queues named; one that is unknown yet will be paused when its first job comes."""
    return _switch(arguments, paused=True)


def resume(arguments: argparse.Namespace) -> int:
    """Resume each of the queues named."""
    return _switch(arguments, paused=False)


def _switch(arguments: argparse.Namespace, paused: bool) -> int:
    from queued.cli.who import operator
    from queued.storage import insights, queues
    from queued.storage.audit import Record

    verb = "pause" if paused else "resume"
    faults = [fault for fault in map(name_fault, arguments.queues) if fault and paused]
    if faults:
        warn("\n".join(f"queuectl queues pause: {fault}" for fault in faults))
        return exits.USAGE
    told = []
    with target(arguments) as database:
        for name in dict.fromkeys(arguments.queues):
            with database.store.transaction() as session:
                known = insights.knows_queue(session, name)
                changed = queues.pause(session, name) if paused else queues.resume(session, name)
                Record(operator(), f"queues {verb}", name).note(session, int(changed))
            # Also when nothing changed: an actor that missed the first word hears this one.
            database.store.control(f"{verb} {name}")
            told.append({"queue": name, "paused": paused, "changed": changed, "known": known})
    if arguments.json:
        say_json({"queues": told})
        return exits.OK
    for queue in told:
        text = f"queue {queue['queue']} {'is' if queue['changed'] else 'was already'} {'paused' if paused else 'open'}"
        note = "" if queue["known"] else "; no job has been seen in it, so check the name"
        say(text + note)
    return exits.OK


def name_fault(name: str) -> str | None:
    """Why a word is no single queue's name: a pause of it would stop nothing. None when it may be one."""
    if not name.strip():
        return f"{name!r} names no queue; write a queue's name"
    if "*" in name:
        return f"{name!r} is a pattern, and queues are paused one by one; write their names (queuectl queues list)"
    if "," in name:
        return f"{name!r} is several names in one; write them with blanks between: {' '.join(name.split(','))}"
    return None


def queue_json(queue: QueueInfo) -> dict[str, Any]:
    """The documented object of one queue."""
    counts = {"ready": queue.ready, "scheduled": queue.scheduled, "blocked": queue.blocked, "failed": queue.failed}
    return {
        "name": queue.name,
        "paused": queue.paused_at is not None,
        "paused_at": queue.paused_at,
        **{name: count.value for name, count in counts.items()},
        "running": queue.running,
        "capped": [name for name, count in counts.items() if count.capped],
        "oldest_ready_at": queue.oldest_ready_at,
        "oldest_ready_seconds": queue.latency,
        "workers": queue.workers,
    }
