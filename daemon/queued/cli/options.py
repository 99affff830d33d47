"""Options that several commands share, and how a command line is read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from queued.cli.exits import USAGE

Command = Callable[[argparse.Namespace], int]
Subparsers = Any  # argparse keeps the type of what add_subparsers() gives to itself


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations: an option added later must not change what an old script says."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def subcommands(parser: argparse.ArgumentParser, destination: str = "command") -> Subparsers:
    """Where the commands of a program, or the verbs of a noun, are added."""
    return parser.add_subparsers(dest=destination, metavar=destination.upper(), required=True, title=f"{destination}s")


def add_command(
    commands: Subparsers, name: str, run: Command, description: str, parents: Sequence[argparse.ArgumentParser]
) -> argparse.ArgumentParser:
    """One command: its name, what runs it, and a sentence for the help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}.", parents=list(parents)
    )
    parser.set_defaults(run=run)
    return parser


def configuration_options() -> argparse.ArgumentParser:
    """--config and --env, which every command has."""
    options = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = options.add_argument_group("configuration")
    group.add_argument("--config", metavar="FILE", help="the configuration file (else QUEUED_CONFIG, else queue.yml)")
    group.add_argument("--env", metavar="NAME", help="the section of the file to use (else QUEUED_ENV)")
    return options


def database_options() -> argparse.ArgumentParser:
    """What every command of queuectl has: where the database is, and --json."""
    options = configuration_options()
    group = options.add_argument_group("database and output")
    group.add_argument("--database", metavar="URL", help="the database (else QUEUED_DATABASE_URL, else the file's)")
    group.add_argument("--json", action="store_true", help="print JSON instead of text")
    return options


#: What a command may rely on whether or not the option was given; options themselves have no defaults (SUPPRESS), so that
#: they may stand before the command as well as after it.
COMMON_DEFAULTS: dict[str, Any] = {"config": None, "env": None, "database": None, "json": False}
