"""--watch: a screen shown again and again. On a terminal it is painted over, elsewhere the screens follow each other."""

from __future__ import annotations

import argparse
import io
import sys
import time
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import TextIO

from queued.cli import exits
from queued.cli.output import flush, printable, say
from queued.domain.errors import DatabaseUnavailable

#: Go to the first line; clear to the end of the line; clear to the end of the screen; clear all of it.
HOME, LINE_END, SCREEN_END, CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


class Page(io.StringIO):
    """What is written for the terminal, kept until it is whole. It is one for whoever asks."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


def watch(arguments: argparse.Namespace, program: str) -> int:
    """Run the command every `arguments.watch` seconds until Ctrl-C, which is the way out and no failure.

    A database that is away for a while is told and waited for.
    """
    terminal = sys.stdout.isatty() and arguments.output in {None, "table", "wide"}
    first = True
    try:
        while True:
            text = _screen(arguments, program, terminal)
            if terminal:
                sys.stdout.write((CLEAR if first else "") + HOME + text.replace("\n", f"{LINE_END}\n") + SCREEN_END)
            else:
                say(("" if first or arguments.output not in {None, "table", "wide"} else "\n") + text.rstrip("\n"))
            flush()
            first = False
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        return exits.OK


def _screen(arguments: argparse.Namespace, program: str, terminal: bool) -> str:
    page = Page(sys.stdout)
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(page))
            if terminal:  # what is said beside the list would be painted over
                stack.enter_context(redirect_stderr(page))
            arguments.run(arguments)
    except DatabaseUnavailable as error:
        return f"{program}: {printable(str(error))}\n"
    return page.getvalue()
