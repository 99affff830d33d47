"""queuectl jobs enqueue: store a job by its name, with arguments that are JSON."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta

from queued.cli import exits
from queued.cli.database import target
from queued.cli.moments import length, since
from queued.cli.options import Subparsers, add_command
from queued.cli.output import printable, say, say_json
from queued.domain.errors import ConfigurationError
from queued.domain.jobs import DEFAULT_PRIORITY, DEFAULT_QUEUE

#: Both databases keep a priority in 32 bits.
LEAST, MOST = -(2**31), 2**31 - 1


def add(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb to `jobs`."""
    verb = add_command(verbs, "enqueue", enqueue, "store a job by its name", [common])
    verb.add_argument("class_name", metavar="CLASS", help="the job's name, as in app.jobs.resize")
    verb.add_argument(
        "--args", metavar="JSON", help="the job's arguments; a mapping, alone or last in a list, is keywords"
    )
    verb.add_argument("--queue", metavar="NAME", default=DEFAULT_QUEUE, help="the queue (default %(default)s)")
    verb.add_argument(
        "--priority", metavar="N", type=priority, default=DEFAULT_PRIORITY, help="smaller runs first (default 0)"
    )
    when = verb.add_mutually_exclusive_group()
    when.add_argument("--in", metavar="LENGTH", dest="wait", type=length, help="run it so much later: 10m, 2h")
    when.add_argument("--at", metavar="WHEN", type=at, help="run it then: 2026-01-31T08:00, UTC unless it says")


def enqueue(arguments: argparse.Namespace) -> int:
    """Store one job and say its id."""
    from queued.cli.who import operator
    from queued.domain.jobs import NewJob
    from queued.domain.recurring import call, call_of
    from queued.storage import jobs
    from queued.storage.audit import Record

    try:
        given = call() if arguments.args is None else call_of(json.loads(arguments.args))
    except ValueError as error:
        raise ConfigurationError(f"--args: is not JSON ({error}); write a value, a list or a mapping") from None
    job = NewJob(
        arguments.class_name,
        arguments=given,
        queue=arguments.queue,
        priority=arguments.priority,
        wait=arguments.wait,
        run_at=arguments.at,
    )
    with target(arguments) as database:
        with database.store.transaction() as session:
            stored = jobs.submit(session, [job])
            Record(operator(), "jobs enqueue", f"{job.class_name} as {stored.ids[0]}").note(session, 1)
        database.store.ring(stored.arrivals)
    if arguments.json:
        say_json({"id": stored.ids[0]})
    else:
        say(f"job {stored.ids[0]}: {printable(job.class_name)} in queue {printable(job.queue)}")
    return exits.OK


def priority(text: str) -> int:
    """A whole number that a priority can be."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and LEAST <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {LEAST} to {MOST}")
    return int(text)


def at(text: str) -> datetime:
    """A moment, as an option's value."""
    told = since(text)
    if isinstance(told, timedelta):
        raise argparse.ArgumentTypeError(f"{text!r} is a length of time; write a date or time, or use --in")
    return told
