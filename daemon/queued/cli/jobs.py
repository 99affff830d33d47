"""queuectl jobs: list, show, enqueue, run, retry, dispatch, discard, cancel."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from queued.cli.database import target
from queued.cli.job import progress_json
from queued.cli.listing import Listing
from queued.cli.listing import show as show_list
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import moment, relative
from queued.domain.failures import title
from queued.domain.insights import JobPage, JobSummary
from queued.domain.jobs import STATES

if TYPE_CHECKING:
    from queued.domain.query import Query

#: How many jobs a list shows unless told otherwise.
LIMIT = 50
QUERY_HELP = "which jobs, such as: state:failed queue:mail class:*Import* error:Timeout args.user_id:42 since:1h"


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    from queued.cli import actions, enqueueing, running
    from queued.cli.job import show

    noun = commands.add_parser("jobs", help="list, show and change jobs", description="List, show and change jobs.")
    verbs = subcommands(noun, "verb")
    listing = add_command(verbs, "list", list_jobs, "list jobs, newest first", [common], lists=True, watched=True)
    listing.add_argument("query", metavar="QUERY", nargs="*", help=QUERY_HELP)
    add_filters(listing, STATES)
    listing.add_argument("--limit", metavar="N", type=positive, default=LIMIT, help="how many (default %(default)s)")
    listing.add_argument("--before", metavar="PLACE", help="the next page: an id, or what the page before says")
    showing = add_command(verbs, "show", show, "show everything about one job", [common])
    showing.add_argument("id", metavar="ID", type=positive, help="the job's id")
    showing.add_argument("--full", action="store_true", help="show backtraces whole, with the frames of libraries")
    for action in actions.ACTIONS:
        verb = add_command(verbs, action.name, actions.runner(action), action.description, [common])
        verb.add_argument("words", metavar="ID|QUERY", nargs="*", help=f"the ids of jobs, or {QUERY_HELP}")
        add_filters(verb, action.states)
        if action.name == "retry":
            verb.add_argument(
                "--from-start", action="store_true", help="forget how far the jobs have come: from the first step"
            )
        verb.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
        verb.add_argument("--yes", action="store_true", help="do not ask before acting on what the filters match")

    enqueueing.add(verbs, common)
    running.add(verbs, common)


def add_filters(parser: argparse.ArgumentParser, states: tuple[str, ...]) -> None:
    """The options that choose jobs by what they are: short for terms of a query."""
    group = parser.add_argument_group("filters")
    group.add_argument("--state", metavar="STATE", choices=states, help=f"as state: in a query; {', '.join(states)}")
    group.add_argument("--queue", metavar="NAME", help="as queue: in a query; * and ? match any characters")
    group.add_argument("--class", metavar="NAME", dest="class_name", help="as class: in a query")
    group.add_argument("--since", metavar="WHEN", help="as since: in a query; 2h, 1d, 2026-01-31T08:00")


def query_of(arguments: argparse.Namespace, words: Sequence[str]) -> Query:
    """The query that words and options give together. Raises QueryError."""
    from queued.domain.query import Query, parse, term

    told = parse(" ".join(words))
    options = {"state": "state", "queue": "queue", "class": "class_name", "since": "since"}
    given = {field: getattr(arguments, name) for field, name in options.items()}
    more = tuple(term(field, value) for field, value in given.items() if value is not None)
    return Query((*told.terms, *more), told.sort)


def positive(text: str) -> int:
    """A whole number above 0, as an option's value."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < number < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def list_jobs(arguments: argparse.Namespace) -> int:
    """Print one page of jobs."""
    from queued.storage import insights, search

    query = query_of(arguments, arguments.query)
    with target(arguments) as database, database.store.reading() as session:
        now = insights.now(session)
        page = search.search(session, query, arguments.limit, arguments.before)
    return show_list(arguments, listing(page, now))


def listing(page: JobPage, now: datetime) -> Listing:
    """A page of jobs as a list."""
    # Most jobs tell no progress, and a line has little room.
    telling = any(job.progress is not None and job.progress.percent is not None for job in page.jobs)
    done = ("DONE",) if telling else ()
    # By id the place is a number, as it always was; in the other orders it is a word.
    following = page.following if page.following is None or not page.following.isdigit() else int(page.following)
    return Listing(
        key="jobs",
        headers=("ID", "STATE", "CLASS", "QUEUE", "PRIORITY", "ATTEMPT", "SINCE", *done, "ERROR"),
        rows=[
            (
                job.id,
                job.state,
                job.class_name,
                job.queue,
                job.priority,
                job.attempt,
                relative(job.state_at, now),
                *((_percent(job),) if telling else ()),
                title(job.error_class, job.message or "") if job.error_class else "",
            )
            for job in page.jobs
        ],
        right=("ID", "PRIORITY", "ATTEMPT", "DONE"),
        wide=("ENQUEUED", "STATE SINCE", "DUE"),
        wide_rows=[(moment(job.enqueued_at), moment(job.state_at), moment(job.run_at)) for job in page.jobs],
        records=[summary_json(job) for job in page.jobs],
        names=[job.id for job in page.jobs],
        around={"now": now, "next_before": following},
        inside={"error": ("class", "message"), "progress": ("done", "total", "percent", "message")},
        footer=_footer(page),
    )


def _percent(job: JobSummary) -> str:
    percent = None if job.progress is None else job.progress.percent
    return "" if percent is None else f"{percent} %"


def _footer(page: JobPage) -> str:
    if page.more:
        return f"{len(page.jobs)} listed; more: --before {page.following}"
    if page.searched_to is not None:
        return f"{len(page.jobs)} found as far as job {page.searched_to}; go on with --before {page.following}"
    if page.window is not None:
        return f"{len(page.jobs)} found among the {page.window} ready jobs that would be taken next"
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
