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

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            from difflib import get_close_matches

            near = get_close_matches(str(value), map(str, action.choices or ()), 1)
            if near:
                error.message += f"; did you mean {near[0]}?"
            raise

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def subcommands(parser: argparse.ArgumentParser, destination: str = "command") -> Subparsers:
    """Where the commands of a program, or the verbs of a noun, are added."""
    return parser.add_subparsers(dest=destination, metavar=destination.upper(), required=True, title=f"{destination}s")


def add_command(
    commands: Subparsers,
    name: str,
    run: Command,
    description: str,
    parents: Sequence[argparse.ArgumentParser],
    *,
    lists: bool = False,
    watched: bool = False,
) -> argparse.ArgumentParser:
    """One command: its name, what runs it, and a sentence for the help.

    One that `lists` knows every form of output, others text and JSON. One that is `watched` can be run again and again.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}.", parents=list(parents)
    )
    parser.set_defaults(run=run, lists=lists)
    if watched:
        parser.add_argument(
            "--watch",
            metavar="SECONDS",
            nargs="?",
            type=pause,
            const=2.0,
            help="show it again every so many seconds, 2 unless given, until Ctrl-C",
        )
    return parser


def pause(text: str) -> float:
    """Seconds between two looks, as an option's value."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds from 0.1 to 86400; write --watch=2, or it last"
        )
    return seconds


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
    group.add_argument("--json", action="store_const", const="json", dest="output", help="the same as -o json")
    group.add_argument(
        "-o",
        "--output",
        choices=OUTPUTS,
        metavar="FORM",
        help=f"what is printed: {', '.join(OUTPUTS)}; the last three for lists only",
    )
    group.add_argument("--no-legend", action="store_true", help="leave out the line of headings")
    return options


def settle_output(arguments: argparse.Namespace) -> str | None:
    """Set `arguments.json` by the form of output; what is wrong if the command does not have that form."""
    arguments.json = arguments.output == "json"
    if arguments.output in LIST_OUTPUTS and not arguments.lists:
        return f"-o {arguments.output} is for lists; this command has {', '.join(DOCUMENT_OUTPUTS)}"
    return None


#: The forms of output: those of every command, and those of lists alone.
DOCUMENT_OUTPUTS = ("table", "wide", "json")
LIST_OUTPUTS = ("jsonl", "csv", "name")
OUTPUTS = (*DOCUMENT_OUTPUTS, *LIST_OUTPUTS)

#: What a command may rely on whether or not the option was given; options themselves have no defaults (SUPPRESS), so that
#: they may stand before the command as well as after it.
COMMON_DEFAULTS: dict[str, Any] = {"config": None, "env": None, "database": None, "output": None}
COMMON_DEFAULTS |= {"json": False, "no_legend": False, "lists": False, "watch": None}
