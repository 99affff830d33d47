"""queued check: whether the configuration can be used, and whether the application has the jobs that run on a schedule."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.daemon import loaded, warnings
from queued.cli.options import Subparsers, add_command
from queued.cli.output import moment, say, table, warn
from queued.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from queued.configuration import Loaded
    from queued.domain.settings import DatabaseSettings, Settings

#: Seconds that the application may take to be loaded and to answer.
PATIENCE = 30.0


def add(commands: Subparsers, common: argparse.ArgumentParser, settings: argparse.ArgumentParser) -> None:
    """Add the command to the program; `settings` are the options that stand above the file."""
    checking = add_command(commands, "check", check, "check the configuration and exit", [common, settings])
    checking.add_argument(
        "--show", action="store_true", help="print the settings that would be in force, and the recurring tasks"
    )
    checking.add_argument(
        "--no-application",
        action="store_true",
        help="do not load the application to compare the job names of recurring tasks",
    )


def check(arguments: argparse.Namespace) -> int:
    """Say whether the configuration can be used. Reaches for no database; the application is loaded and ended again."""
    from queued.processes.crew import check_plan

    found = loaded(arguments)
    warnings(found.warnings)
    check_plan(found.settings)
    check_urls(found.settings.database)
    if not arguments.no_application:
        check_jobs(found)
    if arguments.show:
        from queued.configuration import render

        say(render(found.settings).rstrip("\n"))
        show_tasks(found.settings)
    else:
        say("configuration is valid")
    return exits.OK


def check_urls(database: DatabaseSettings) -> None:
    """Raise DatabaseMisconfigured for an address that would be refused before anybody connects."""
    from queued.storage.postgresql import parts_of

    for url in (database.url, database.listen_url):
        if url is not None and url.startswith("postgres"):
            parts_of(url)


def check_jobs(found: Loaded) -> None:
    """Raise ConfigurationError for tasks whose class the application does not have. One that does not load is a warning."""
    from queued.domain.recurring import CHORES

    settings = found.settings
    tasks = [task for task in settings.recurring if task.class_name not in CHORES and task.key in found.places]
    names = sorted({task.class_name for task in tasks if not task.class_name.startswith("queued.")})
    if settings.app is None or not names:
        return
    from queued.processes.application import ApplicationError
    from queued.processes.knowing import unknown_jobs

    try:
        unknown = unknown_jobs(settings.app, names, PATIENCE)
    except ApplicationError as error:
        warn(f"warning: job names are not compared with the application, which cannot be loaded: {error}")
        return
    problems = [f"{found.places[task.key]}: {unknown[task.class_name]}" for task in tasks if task.class_name in unknown]
    if problems:
        raise ConfigurationError(problems)


def show_tasks(settings: Settings) -> None:
    """Print what runs on a schedule, as comments: what was printed before can be read again as a file."""
    from queued.domain.recurring import schedule_of

    if not settings.recurring or settings.skip_recurring:
        return
    now = datetime.now(timezone.utc)
    rows = []
    for task in settings.recurring:
        schedule = schedule_of(task)
        following = schedule.next_after(now) if task.enabled else None
        meaning = schedule.cron or schedule.describe()
        rows.append(
            (task.key, meaning, task.timezone, moment(following) if task.enabled else "disabled", task.class_name)
        )
    say("# recurring tasks")
    for line in table(("TASK", "SCHEDULE", "ZONE", "NEXT RUN", "CLASS"), rows).splitlines():
        say(f"#   {line}")
