"""queuectl jobs enqueue: store a job by its name, with arguments that are JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.database import target
from queued.cli.moments import length, since
from queued.cli.options import Subparsers, add_command
from queued.cli.output import printable, say, say_json
from queued.domain.errors import ConfigurationError, NotAllowed

if TYPE_CHECKING:
    from queued.domain.settings import AppSettings

#: Both databases keep a priority in 32 bits.
LEAST, MOST = -(2**31), 2**31 - 1
#: Seconds that the application may take to be loaded and to answer.
PATIENCE = 60.0
#: What became of a job otherwise than being stored.
NOTES = {"discarded": "discarded: its limit is full", "existing": "there is one with its unique key already"}


def add(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb to `jobs`."""
    verb = add_command(verbs, "enqueue", enqueue, "store a job by its name", [common])
    verb.add_argument("class_name", metavar="CLASS", help="the job's name, as in app.jobs.resize")
    verb.add_argument(
        "--args", metavar="JSON", help="the job's arguments; a mapping, alone or last in a list, is keywords"
    )
    verb.add_argument("--queue", metavar="NAME", help="the queue (else the job's own)")
    verb.add_argument("--priority", metavar="N", type=priority, help="smaller runs first (else the job's own)")
    verb.add_argument(
        "--plain", action="store_true", help="do not ask the application: no limits, unique keys, expiry, callbacks"
    )
    when = verb.add_mutually_exclusive_group()
    when.add_argument("--in", metavar="LENGTH", dest="wait", type=length, help="run it so much later: 10m, 2h")
    when.add_argument("--at", metavar="WHEN", type=at, help="run it then: 2026-01-31T08:00, UTC unless it says")


def enqueue(arguments: argparse.Namespace) -> int:
    """Store one job and say its id. Asks the application of this host what the job declares, if there is one."""
    from queued.cli.who import operator
    from queued.domain.jobs import NewJob, Stored
    from queued.storage import jobs
    from queued.storage.audit import Record

    call = given(arguments.args)
    app = None if arguments.plain else application(arguments)
    kept: list[tuple[NewJob, Stored]] = []
    with target(arguments) as database:

        def store(made: Sequence[NewJob], asked_for: bool) -> Stored:
            """The job that was asked for, at its time and on record; others are what its callbacks enqueue."""
            if asked_for:
                made = [replace(made[0], wait=arguments.wait, run_at=arguments.at)]
            with database.store.transaction() as session:
                stored = jobs.submit(session, made)
                if asked_for:
                    name = f"{made[0].class_name} as {stored.ids[0]}"
                    Record(operator(), "jobs enqueue", name).note(session, 1)
            database.store.ring(stored.arrivals)
            if asked_for:
                kept.append((made[0], stored))
            return stored

        if app is None:
            plain = NewJob(arguments.class_name, arguments=call)
            queue = plain.queue if arguments.queue is None else arguments.queue
            rank = plain.priority if arguments.priority is None else arguments.priority
            store([replace(plain, queue=queue, priority=rank)], True)
        else:
            from queued.processes import knowing

            question = {"class": arguments.class_name, "args": call, "queue": arguments.queue}
            knowing.enqueue(app, {**question, "priority": arguments.priority}, store, PATIENCE)
    [(job, stored)] = kept
    job_id, note = stored.ids[0], stored.notes.get(0)
    if arguments.json:
        say_json({"id": job_id, "class": job.class_name, "queue": job.queue, "note": note})
    else:
        told = f" ({NOTES[note]})" if note is not None and note in NOTES else ""
        say(f"job {job_id}: {printable(job.class_name)} in queue {printable(job.queue)}{told}")
    return exits.OK


def given(text: str | None) -> str:
    """The arguments of an option --args, as jobs store them. Raises UsageError."""
    from queued.domain.recurring import call, call_of

    try:
        return call() if text is None else call_of(json.loads(text))
    except ValueError as error:
        raise exits.UsageError(f"--args: is not JSON ({error}); write a value, a list or a mapping") from None


def application(arguments: argparse.Namespace) -> AppSettings | None:
    """The application of this host; None where it has none. Raises NotAllowed where root would run what another user wrote."""
    from queued.configuration import find, load

    try:
        find(arguments.config, os.environ, os.getcwd())
    except ConfigurationError:
        return None
    app = load(arguments.config, environment=arguments.env).settings.app
    if app is not None and os.geteuid() == 0 and os.path.isdir(app.path) and os.stat(app.path).st_uid != 0:
        raise NotAllowed("root does not run the application's code; enqueue as the daemon's user, or with --plain")
    return app


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
