"""queuectl recurring: list, show, run, pause, resume, schedule, unschedule."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from queued.cli import exits
from queued.cli.arguments import call
from queued.cli.database import target
from queued.cli.enqueueing import given
from queued.cli.jobs import positive
from queued.cli.listing import Listing
from queued.cli.listing import show as show_list
from queued.cli.moments import length
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import moment, one_line, printable, relative, say, say_json, style, table
from queued.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from queued.domain.recurring import RecurringTask
    from queued.storage.recurring import Listed, Run
    from queued.storage.session import Session

#: How many runs `show` shows unless told otherwise.
RUNS = 10


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    noun = commands.add_parser(
        "recurring", help="list, run and change recurring tasks", description="List, run and change recurring tasks."
    )
    verbs = subcommands(noun, "verb")
    add_command(
        verbs, "list", list_tasks, "list the tasks with their next and last runs", [common], lists=True, watched=True
    )
    showing = add_command(verbs, "show", show, "show everything about one task", [common])
    showing.add_argument("key", metavar="KEY", help="the task's key")
    showing.add_argument(
        "--limit", metavar="N", type=positive, default=RUNS, help="how many runs (default %(default)s)"
    )
    for name, run, description in (
        ("run", run_now, "have one run started now, beside the schedule, paused or not"),
        ("pause", pause, "start no run of a task until it is resumed"),
        ("resume", resume, "run a paused task again, from its next moment on"),
        ("unschedule", unschedule, "forget a task that was scheduled at run time"),
    ):
        verb = add_command(verbs, name, run, description, [common])
        verb.add_argument("keys", metavar="KEY", nargs="+", help="a task's key")
    _add_schedule(add_command(verbs, "schedule", schedule, "schedule a task, or change one of that key", [common]))


def _add_schedule(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("key", metavar="KEY", help="the task's key")
    verb.add_argument("schedule", metavar="SCHEDULE", help='when to run, as in "every day at 5am" or "0 5 * * *"')
    what = verb.add_mutually_exclusive_group(required=True)
    what.add_argument("--class", metavar="NAME", dest="class_name", help="enqueue this job")
    what.add_argument("--command", metavar="SOURCE", dest="source", help="run this Python in the application")
    what.add_argument("--shell", metavar="TEXT", help="run this program with /bin/sh")
    verb.add_argument(
        "--args", metavar="JSON", help="the job's arguments; a mapping, alone or last in a list, is keywords"
    )
    verb.add_argument("--queue", metavar="NAME", help="the queue (else the job's own)")
    verb.add_argument("--priority", metavar="N", type=int, help="the priority; smaller runs first (else the job's own)")
    verb.add_argument("--timeout", metavar="LENGTH", type=length, help="how long one attempt may take")
    verb.add_argument("--timezone", metavar="ZONE", default="UTC", help="the schedule's zone (default %(default)s)")
    verb.add_argument("--missed", choices=("skip", "once", "all"), default="skip", help="what becomes of missed runs")
    verb.add_argument(
        "--overlap", choices=("allow", "skip"), default="allow", help="whether to run while the last run goes on"
    )
    verb.add_argument("--jitter", metavar="LENGTH", type=length, default=0.0, help="start up to so much later")
    verb.add_argument("--description", metavar="TEXT", help="what the task is for")


def list_tasks(arguments: argparse.Namespace) -> int:
    """Print every task."""
    from queued.storage import insights, recurring

    with target(arguments) as database, database.store.reading() as session:
        now = insights.now(session)
        tasks = recurring.listed(session)
    listing = Listing(
        key="tasks",
        headers=("KEY", "SCHEDULE", "NEXT", "LAST", "OUTCOME", "RUNS"),
        rows=[
            (
                listed.task.key,
                listed.task.settings.schedule,
                state(listed.task, listed.attending, now),
                relative(listed.last.run_at, now) if listed.last else "never",
                listed.last.outcome if listed.last else "",
                call(listed.task.settings.class_name, listed.task.settings.arguments),
            )
            for listed in tasks
        ],
        wide=("NEXT RUN", "LAST RUN", "SOURCE"),
        wide_rows=[
            (
                moment(listed.task.next_run_at),
                moment(listed.last.run_at if listed.last else None),
                listed.task.source,
            )
            for listed in tasks
        ],
        records=[task_json(listed.task, listed.attending, listed.last) for listed in tasks],
        names=[listed.task.key for listed in tasks],
        around={"now": now},
        inside={"last_run": ("run_at", "started_at", "finished_at", "outcome", "job", "manual", "message")},
        empty="there is no recurring task; write recurring.yml, or: queuectl recurring schedule",
    )
    return show_list(arguments, listing)


def state(task: RecurringTask, attending: int, now: datetime) -> str:
    """When the task runs next, or why it does not."""
    if task.problem is not None:
        return f"never: {task.problem}"
    if task.paused_at is not None:
        return f"paused {relative(task.paused_at, now)}"
    if not task.settings.enabled:
        return "disabled"
    if task.source == "file" and not attending:
        return "no scheduler has it"
    if task.held is not None:
        return f"held back: {task.held}"
    if task.due_at is None:
        return "not planned yet"
    return relative(task.due_at, now) if task.due_at > now else "due"


def show(arguments: argparse.Namespace) -> int:
    """Print everything known of one task."""
    from queued.storage import insights, recurring

    with target(arguments) as database, database.store.reading() as session:
        now = insights.now(session)
        listed = _listed(session, arguments.key)
        runs = recurring.runs(session, arguments.key, arguments.limit)
        owners = recurring.owners(session, arguments.key)
    task = listed.task
    if arguments.json:
        told = task_json(task, listed.attending, listed.last)
        seen = [{"owner": owner, "seen_at": at} for owner, at in owners.items()]
        say_json({"now": now, **told, "owners": seen, "runs": [run_json(run) for run in runs]})
        return exits.OK
    say(f"recurring task {style(printable(task.key), 'bold')} – {state(task, listed.attending, now)}")
    for label, text in _facts(task, owners, now):
        say(f"{label:>11}: {one_line(text, 2_000)}")
    if runs:
        rows = [
            (moment(run.run_at), run.outcome, run.job_id, "asked for" if run.manual else "schedule", run.message or "")
            for run in runs
        ]
        say()
        say(table(("RUN", "OUTCOME", "JOB", "STARTED BY", "MESSAGE"), rows))
    return exits.OK


def _listed(session: Session, key: str) -> Listed:
    from queued.storage import recurring

    recurring.get(session, key)
    return next(listed for listed in recurring.listed(session) if listed.task.key == key)


def _facts(task: RecurringTask, owners: dict[str, datetime], now: datetime) -> list[tuple[str, str]]:
    from queued.domain.recurring import schedule_of
    from queued.domain.schedule import ScheduleError

    settings = task.settings
    try:
        schedule = schedule_of(settings)
        meaning = f"{schedule.describe()}{f' ({schedule.cron})' if schedule.cron else ''}"
    except ScheduleError as error:
        meaning = str(error)
    told = [
        ("Description", settings.description or ""),
        ("Schedule", f"{settings.schedule} ({settings.timezone})"),
        ("Meaning", meaning),
        ("Runs", call(settings.class_name, settings.arguments)),
        ("Queue", settings.queue or ""),
        ("Policies", f"missed {settings.missed}, overlap {settings.overlap}, jitter {settings.jitter:g} s"),
        ("Next run", f"{moment(task.next_run_at)} ({relative(task.next_run_at, now)})" if task.next_run_at else ""),
        ("Last on time", moment(task.last_run_at) if task.last_run_at else ""),
        ("Asked for", moment(task.asked_at) if task.asked_at else ""),
    ]
    told += [("File", f"{owner} (seen {relative(at, now)})") for owner, at in owners.items()]
    return [(label, text) for label, text in told if text]


def run_now(arguments: argparse.Namespace) -> int:
    """Ask for a run of each task."""
    from queued.storage import recurring

    def ask(session: Session, key: str) -> bool:
        recurring.ask(session, key)
        return True

    return _each(arguments, "run", ask, "asked for; a scheduler starts it within seconds", "")


def pause(arguments: argparse.Namespace) -> int:
    """Pause each task."""
    from queued.storage import recurring

    return _each(arguments, "pause", recurring.pause, "paused", "was already paused")


def resume(arguments: argparse.Namespace) -> int:
    """Resume each task."""
    from queued.storage import recurring

    return _each(arguments, "resume", recurring.resume, "resumed", "was not paused")


def unschedule(arguments: argparse.Namespace) -> int:
    """Forget each task."""
    from queued.storage import recurring

    def forget(session: Session, key: str) -> bool:
        recurring.unschedule(session, key)
        return True

    return _each(arguments, "unschedule", forget, "forgotten; the jobs that it has enqueued stay", "")


def _each(arguments: argparse.Namespace, verb: str, act: Any, done: str, not_done: str) -> int:
    """Act on every key in one transaction: all, or none when one of them cannot be."""
    from queued.cli.who import operator
    from queued.storage.audit import Record

    keys = list(dict.fromkeys(arguments.keys))
    with target(arguments) as database:
        with database.store.transaction() as session:
            changed = {key: act(session, key) for key in keys}
            touched = [key for key in keys if changed[key]]
            Record(operator(), f"recurring {verb}", " ".join(touched)).note(session, len(touched))
        for key in keys:
            database.store.control(f"recurring {key}")
    if arguments.json:
        say_json({"tasks": [{"key": key, "changed": changed[key]} for key in keys]})
    else:
        for key in keys:
            say(f"{printable(key)}: {done if changed[key] else not_done}")
    return exits.OK


def schedule(arguments: argparse.Namespace) -> int:
    """Store a dynamic task."""
    from queued.cli.who import operator
    from queued.domain.recurring import define
    from queued.storage import recurring
    from queued.storage.audit import Record

    try:
        task = define(
            arguments.key,
            class_name=arguments.class_name,
            command=arguments.source,
            shell=arguments.shell,
            arguments=None if arguments.args is None else given(arguments.args),
            schedule=arguments.schedule,
            queue=arguments.queue,
            priority=arguments.priority,
            timeout=arguments.timeout,
            timezone=arguments.timezone,
            missed=arguments.missed,
            overlap=arguments.overlap,
            jitter=arguments.jitter,
            description=arguments.description,
        )
    except ConfigurationError as error:
        raise exits.UsageError(error.problems) from None
    with target(arguments) as database:
        with database.store.transaction() as session:
            added = recurring.save(session, task)
            Record(operator(), "recurring schedule", f"{task.key} {task.schedule}").note(session, 1)
        database.store.control(f"recurring {task.key}")
    if arguments.json:
        say_json({"tasks": [{"key": task.key, "changed": True, "added": added}]})
    else:
        say(f"{printable(task.key)}: {'scheduled' if added else 'changed'}")
    return exits.OK


def task_json(task: RecurringTask, attending: int, last: Run | None) -> dict[str, Any]:
    """The documented object of one task."""
    settings = task.settings
    return {
        "key": task.key,
        "source": task.source,
        "class": settings.class_name,
        "arguments": json.loads(settings.arguments),
        "queue": settings.queue,
        "priority": settings.priority,
        "timeout": settings.timeout,
        "schedule": settings.schedule,
        "timezone": settings.timezone,
        "description": settings.description,
        "missed": settings.missed,
        "overlap": settings.overlap,
        "jitter": settings.jitter,
        "enabled": settings.enabled,
        "paused_at": task.paused_at,
        "version": task.version,
        "next_run_at": task.next_run_at,
        "due_at": task.due_at,
        "last_run_at": task.last_run_at,
        "asked_at": task.asked_at,
        "problem": task.problem,
        "held": task.held,
        "schedulers": attending if task.source == "file" else None,
        "last_run": run_json(last) if last is not None else None,
    }


def run_json(run: Run) -> dict[str, Any]:
    """The documented object of one run."""
    return {
        "run_at": run.run_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "outcome": run.outcome,
        "job": run.job_id,
        "manual": run.manual,
        "message": run.message,
    }
