"""queued start and migrate, and what they share with queued check."""

from __future__ import annotations

import argparse
import faulthandler
from collections.abc import Sequence
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.options import Subparsers, add_command
from queued.cli.output import say, warn
from queued.telemetry import emit

if TYPE_CHECKING:
    from queued.configuration import Loaded
    from queued.domain.settings import Settings

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "text", "json", "journal")


def add(commands: Subparsers, common: argparse.ArgumentParser, settings: argparse.ArgumentParser) -> None:
    """Add the commands to the program; `settings` are the options that stand above the file."""
    from queued.cli import check

    add_command(commands, "start", start, "run the daemon until it is told to stop", [common, settings])
    check.add(commands, common, settings)
    add_command(commands, "migrate", migrate, "create the database's schema or bring it up to date", [common])


def add_settings(options: argparse.ArgumentParser) -> None:
    """The options that stand above the file and the environment."""
    group = options.add_argument_group("settings")
    group.add_argument(
        "--recurring", metavar="FILE", help="the file of recurring tasks (else QUEUED_RECURRING_SCHEDULE)"
    )
    group.add_argument(
        "--mode", choices=("fork", "async"), help="processes or threads (else QUEUED_SUPERVISOR_MODE, else the file)"
    )
    group.add_argument(
        "--skip-recurring",
        action=argparse.BooleanOptionalAction,
        help="whether to run without recurring tasks (else QUEUED_SKIP_RECURRING)",
    )
    named = group.add_mutually_exclusive_group()
    named.add_argument("--role", metavar="NAME", help="run only the actors that the file lists under this role")
    named.add_argument(
        "--instance", metavar="NAME", help="run NAME.yml, which lies beside the configuration file; else the role NAME"
    )
    group.add_argument("--log-level", choices=LEVELS, help="the least important messages that are logged")
    group.add_argument("--log-format", choices=FORMATS, help="how messages are written (else the file's log_format)")


def loaded(arguments: argparse.Namespace) -> Loaded:
    """The settings that the options, the environment and the file give. Raises ConfigurationError with every problem."""
    from dataclasses import replace

    from queued.configuration import load

    found = load(
        arguments.config,
        environment=arguments.env,
        recurring=arguments.recurring,
        mode=arguments.mode,
        skip_recurring=arguments.skip_recurring,
        role=arguments.role,
        instance=arguments.instance,
    )
    given = {name: value for name in ("log_level", "log_format") if (value := getattr(arguments, name))}
    return replace(found, settings=replace(found.settings, **given))


def start(arguments: argparse.Namespace) -> int:
    """Run the supervisor; its status is the program's."""
    from queued import log
    from queued.processes.supervisor import Supervisor

    # A service manager ends what hangs with SIGABRT: then the log has the stack of each thread.
    faulthandler.enable()
    found = loaded(arguments)
    log.configure(found.settings.log_level, form=found.settings.log_format, role=found.settings.role)
    tell(found.warnings)

    def reload() -> Settings:
        again = loaded(arguments)
        tell(again.warnings)
        return again.settings

    return int(Supervisor(found.settings, reload=reload).run())


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the schema up to date and say what was applied."""
    from queued.cli.database import database_settings
    from queued.configuration import masked
    from queued.storage.store import open_store

    settings = database_settings(arguments)
    store = open_store(settings, label="queued migrate")
    try:
        applied = store.migrate()
    finally:
        store.close()
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say(f"{masked(settings.url)} is up to date")
    return exits.OK


def tell(texts: Sequence[str]) -> None:
    """What is odd about the configuration, in the log."""
    for text in texts:
        emit("configuration_warning", text=text)


def warnings(texts: Sequence[str]) -> None:
    """What is odd about the configuration, on standard error."""
    for text in texts:
        warn(f"warning: {text}", priority=4)
