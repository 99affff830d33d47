"""The programs `queued`, `queuectl` and `python -m queued`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from queued import __version__
from queued.cli import exits
from queued.cli.options import (
    COMMON_DEFAULTS,
    Parser,
    configuration_options,
    database_options,
    settle_output,
    subcommands,
)
from queued.cli.output import flush, prepare, printable, warn
from queued.domain.errors import ConfigurationError, QueuedError

#: The commands of `queued`; `python -m queued` gives every other word to `queuectl`.
DAEMON_COMMANDS = ("start", "check", "migrate")


#: The commands of `queuectl` in the order of its help; each is a module beside this one.
COMMANDS: tuple[str, ...] = (
    *("status", "top", "doctor", "jobs", "errors", "queues", "locks", "batches", "recurring", "processes", "heartbeat"),
    *("stats", "audit", "metrics", "db", "config", "completion"),
)

#: What the extra `daemon` installs, by the names of their modules: applications have the package without them.
DAEMON_PACKAGES = frozenset({"sdnotify", "croniter", "prometheus_client", "yaml", "psycopg"})


def queued(argv: Sequence[str] | None = None) -> int:
    """Run `queued`; the exit code. Usage errors and --help leave by SystemExit, as argparse does it."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0].startswith("_"):
        from queued.processes.application import PROGRAMS

        if words[0] == PROGRAMS:
            programs(words[1:])
    if words and not words[0].startswith("-") and words[0] not in DAEMON_COMMANDS:
        warn(
            f"queued: {printable(words[0])!r} is no command of the daemon: {', '.join(DAEMON_COMMANDS)}; "
            "what looks at jobs and acts on them is the program queuectl; see queued --help or queuectl --help"
        )
        return exits.USAGE
    return _run("queued", queued_parser, words)


def queuectl(argv: Sequence[str] | None = None) -> int:
    """Run `queuectl`; the exit code. Usage errors and --help leave by SystemExit."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _run("queuectl", lambda: queuectl_parser(words[0] if words else None), words)


def module(argv: Sequence[str] | None = None) -> int:
    """Run `python -m queued`: start, check, migrate and options alone are `queued`'s, all other commands `queuectl`'s."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0].startswith("-") or words[0] in DAEMON_COMMANDS:
        return queued(words)
    return queuectl(words)


def programs(words: Sequence[str]) -> NoReturn:
    """Be the fork server of a host without an application: what `python -c BOOT` is elsewhere. For the daemon alone.

    A frozen daemon starts itself in this way.
    """
    sys.argv = ["queued", *words]
    with open(os.path.join(words[0], "boot.py"), encoding="utf-8") as file:
        source = file.read()
    exec(compile(source, "boot.py", "exec"), {"__name__": "__main__"})
    raise AssertionError("boot.py ends the process")


def queued_parser() -> argparse.ArgumentParser:
    """The command line of `queued`."""
    from queued.cli import daemon

    common = configuration_options()
    parser = _program("queued", "Run background jobs: the daemon.", configuration_options())
    settings = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    daemon.add_settings(settings)
    parser.set_defaults(
        recurring=None, mode=None, skip_recurring=None, role=None, instance=None, log_level=None, log_format=None
    )
    daemon.add(subcommands(parser), common, settings)
    return parser


def queuectl_parser(word: str | None = None) -> argparse.ArgumentParser:
    """The command line of `queuectl`; of only one of its commands, if `word` is one: the modules of the others are not loaded."""
    from importlib import import_module

    common = database_options()
    parser = _program(
        "queuectl", "Look at background jobs and act on them, whether or not a daemon runs.", database_options()
    )
    commands = subcommands(parser)
    for noun in (word,) if word in COMMANDS else COMMANDS:
        import_module(f"queued.cli.{noun}").add(commands, common)
    return parser


def _program(name: str, description: str, options: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """A program whose common options may stand before the command too.

    `options` must not be the object that the commands have: parsers share the options of a parent, and the defaults set here
    would make a command forget what stood before it.
    """
    parser = Parser(prog=name, description=description, parents=[options])
    parser.add_argument(
        "--version", action="version", version=f"{name} {__version__}", help="print the release and exit"
    )
    parser.set_defaults(**COMMON_DEFAULTS)
    return parser


def _run(program: str, parser: Callable[[], argparse.ArgumentParser], argv: Sequence[str] | None) -> int:
    prepare()
    try:
        arguments = parser().parse_args(argv)
        fault = settle_output(arguments)
        if fault:
            warn(f"{program}: {fault}")
            return exits.USAGE
        if arguments.watch is not None:
            from queued.cli.watch import watch

            return watch(arguments, program)
        status: int = arguments.run(arguments)
        flush()
        return status
    except BrokenPipeError:
        # Whoever read has seen enough. What is still buffered must not raise again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except ConfigurationError as error:
        warn("\n".join(f"{program}: {printable(problem)}" for problem in error.problems))
        return exits.code_of(error)
    except QueuedError as error:
        warn(f"{program}: {printable(str(error))}")
        return exits.code_of(error)
    except Exception as error:
        if os.environ.get("QUEUED_DEBUG"):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name in DAEMON_PACKAGES:
            warn(f"{program}: a package of the daemon is missing ({error.name}): pip install 'queued-jobs[daemon]'")
            return exits.CONFIGURATION
        warn(
            f"{program}: internal error, {type(error).__name__}: {printable(str(error))}; "
            "set QUEUED_DEBUG=1 to see where, and report it"
        )
        return exits.INTERNAL
