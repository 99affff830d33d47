"""queuectl jobs run: run a job now, in the foreground, in the application of this host."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from queued.cli import exits
from queued.cli.database import target
from queued.cli.enqueueing import PATIENCE, application, given
from queued.cli.options import Subparsers, add_command
from queued.cli.output import printable, say, say_json, span, warn
from queued.domain.errors import ConfigurationError
from queued.domain.failures import title


def add(verbs: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the verb to `jobs`."""
    verb = add_command(verbs, "run", run, "run a job now, here, and show what it prints", [common])
    verb.add_argument("class_name", metavar="CLASS", help="the job's name, as in app.jobs.resize")
    verb.add_argument(
        "--args", metavar="JSON", help="the job's arguments; a mapping, alone or last in a list, is keywords"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it; OK if it ended well, else FAILED."""
    from queued.cli.who import operator
    from queued.processes import foreground
    from queued.storage.audit import Record

    call = given(arguments.args)
    app = application(arguments)
    if app is None:
        raise ConfigurationError(
            "there is no application on this host; write app: in queue.yml, or name the file by --config"
        )
    with target(arguments) as database:
        with database.store.transaction() as session:
            Record(operator(), "jobs run", arguments.class_name).note(session, 1)
        outcome = foreground.run(app, arguments.class_name, call, database.store, show, PATIENCE)
    error = outcome.get("error")
    seconds = outcome["end"] - outcome["start"] if "end" in outcome else None
    if arguments.json:
        told = {"outcome": outcome["kind"], "seconds": seconds, "message": outcome.get("message")}
        say_json(
            {
                **told,
                "error": None if error is None else {key: error.get(key) for key in ("class", "message", "backtrace")},
            }
        )
    else:
        tell(arguments.class_name, outcome, error, seconds)
    return exits.OK if outcome["kind"] == "done" else exits.FAILED


def show(stream: str, line: str) -> None:
    """A line of the job's, beside our own output, which may be read by a program."""
    del stream
    sys.stderr.write(f"{printable(line)}\n")


def tell(name: str, outcome: dict[str, Any], error: dict[str, Any] | None, seconds: float | None) -> None:
    """Say how it ended."""
    kind = outcome["kind"]
    if error is not None:
        backtrace = "\n".join(error.get("backtrace") or ())
        said = title(str(error.get("class")), str(error.get("message")))
        # Python's own text ends with the error.
        warn(printable(backtrace if said in backtrace else f"{backtrace}\n{said}".lstrip("\n")))
    if kind == "done":
        say(f"{printable(name)}: done in {span(seconds)}")
    elif kind == "retry":
        warn(f"{printable(name)}: failed; as a stored job it would be tried again in {span(outcome.get('wait'))}")
    elif kind == "crashed":
        warn(f"{printable(name)}: the process that ran it died: {outcome['message']}")
    else:
        warn(f"{printable(name)}: {kind}")
