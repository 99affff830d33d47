"""queuectl jobs: list, show, retry, discard, cancel."""

from __future__ import annotations

import argparse
from typing import Any

from queued.cli import exits
from queued.cli.database import target
from queued.cli.job import progress_json
from queued.cli.moments import resolve, since
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import relative, say, say_json, table, warn
from queued.domain.insights import COUNT_CAP, Filters, JobPage, JobSummary
from queued.domain.jobs import STATES

#: How many jobs a list shows unless told otherwise.
LIMIT = 50


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    from queued.cli import actions
    from queued.cli.job import show

    noun = commands.add_parser("jobs", help="list, show and change jobs", description="List, show and change jobs.")
    verbs = subcommands(noun, "verb")
    listing = add_command(verbs, "list", list_jobs, "list jobs, newest first", [common])
    add_filters(listing, STATES)
    listing.add_argument("--limit", metavar="N", type=positive, default=LIMIT, help="how many (default %(default)s)")
    listing.add_argument("--before", metavar="ID", type=positive, help="only jobs with a smaller id: the next page")
    showing = add_command(verbs, "show", show, "show everything about one job", [common])
    showing.add_argument("id", metavar="ID", type=positive, help="the job's id")
    showing.add_argument("--full", action="store_true", help="show backtraces whole, with the frames of libraries")
    for action in actions.ACTIONS:
        verb = add_command(verbs, action.name, actions.runner(action), action.description, [common])
        verb.add_argument("ids", metavar="ID", type=positive, nargs="*", help="the job's id")
        add_filters(verb, action.states)
        if action.name == "retry":
            verb.add_argument(
                "--from-start", action="store_true", help="forget how far the jobs have come: from the first step"
            )
        verb.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        verb.add_argument("--yes", action="store_true", help="do not ask before acting on what the filters match")


def add_filters(parser: argparse.ArgumentParser, states: tuple[str, ...]) -> None:
    """The options that choose jobs by what they are."""
    group = parser.add_argument_group("filters")
    group.add_argument("--state", metavar="STATE", choices=states, help=f"jobs in this state: {', '.join(states)}")
    group.add_argument("--queue", metavar="NAME", help="jobs of this queue; * and ? match any characters")
    group.add_argument("--class", metavar="NAME", dest="class_name", help="jobs of this class; * and ? as above")
    group.add_argument(
        "--since", metavar="WHEN", type=since, help="in their state since then: 2h, 1d, 2026-01-31T08:00"
    )


def positive(text: str) -> int:
    """A whole number above 0, as an option's value."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def list_jobs(arguments: argparse.Namespace) -> int:
    """Print one page of jobs."""
    from queued.storage import insights

    with target(arguments) as database, database.store.reading() as session:
        now = insights.now(session)
        filters = Filters(
            state=arguments.state,
            queue=arguments.queue,
            class_name=arguments.class_name,
            since=resolve(arguments.since, now),
            before=arguments.before,
        )
        page = insights.search(session, filters, arguments.limit)
    following = page.jobs[-1].id if page.more else page.searched_to
    if arguments.json:
        say_json({"now": now, "jobs": [summary_json(job) for job in page.jobs], "next_before": following})
        return exits.OK
    if page.jobs:
        # Most jobs tell no progress, and a line has little room.
        telling = any(job.progress is not None and job.progress.percent is not None for job in page.jobs)
        headers = (
            "ID",
            "STATE",
            "CLASS",
            "QUEUE",
            "PRIORITY",
            "ATTEMPT",
            "SINCE",
            *(("DONE",) if telling else ()),
            "ERROR",
        )
        rows = [
            (
                job.id,
                job.state,
                job.class_name,
                job.queue,
                job.priority,
                job.attempt,
                relative(job.state_at, now),
                *((_percent(job),) if telling else ()),
                f"{job.error_class}: {job.message}" if job.error_class else "",
            )
            for job in page.jobs
        ]
        say(table(headers, rows, right=("ID", "PRIORITY", "ATTEMPT", "DONE")))
    footer = _footer(page)
    if footer:
        # Beside the list, not in it: what reads the list by column must not meet a sentence.
        warn(footer)
    return exits.OK


def _percent(job: JobSummary) -> str:
    percent = None if job.progress is None else job.progress.percent
    return "" if percent is None else f"{percent} %"


def _footer(page: JobPage) -> str:
    if page.more:
        return f"{len(page.jobs)} listed; more: --before {page.jobs[-1].id}"
    if page.searched_to is not None:
        return f"{len(page.jobs)} found down to job {page.searched_to}; go on with --before {page.searched_to}"
    if page.window_only:
        return f"{len(page.jobs)} found among the {COUNT_CAP} ready jobs that would be taken next"
    return "" if page.jobs else "no job matches"


def summary_json(job: JobSummary) -> dict[str, Any]:
    """The documented object of one job in a list."""
    return {
        "id": job.id,
        "class": job.class_name,
        "queue": job.queue,
        "priority": job.priority,
        "state": job.state,
        "state_at": job.state_at,
        "attempt": job.attempt,
        "enqueued_at": job.enqueued_at,
        "run_at": job.run_at,
        "error": {"class": job.error_class, "message": job.message} if job.error_class else None,
        "progress": progress_json(job.progress),
    }
