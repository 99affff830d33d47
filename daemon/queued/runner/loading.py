"""Importing the application, and saying where it went wrong."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import guest as client
from .guest import Guest


@dataclass(frozen=True)
class Application:
    """What to load: the application's directory, its modules, and where a client is for an application that has none."""

    path: str
    modules: tuple[str, ...]
    client: str


def load(application: Application) -> Guest:
    """Import the application and return its client. Errors of the application's own code propagate."""
    sys.path.insert(0, application.path)
    # Collecting while a program is built up finds nothing and costs much; frozen, its pages stay shared with every runner.
    gc.disable()
    guest = client.find(application.client)
    guest.load(list(application.modules))
    gc.collect()
    gc.freeze()
    return guest


def describe(error: BaseException, path: str) -> dict[str, Any]:
    """The error as data: class, message, and the place in the application's own files that an operator should look at."""
    frames = traceback.extract_tb(_below_runner(error.__traceback__))
    file: str | None = None
    line: int | None = None
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    else:
        own = [frame for frame in frames if _belongs(frame.filename, path)]
        for frame in (own or frames)[-1:]:
            file, line = frame.filename, frame.lineno
    message = str(error)
    if isinstance(error, SystemExit):
        message = f"the application ended the program while it was imported: sys.exit({error.code!r})"
    elif isinstance(error, ModuleNotFoundError) and not frames:
        message += f": looked in {path} and in the packages of {sys.executable}"
    parts = traceback.format_exception(type(error), error, _below_runner(error.__traceback__))
    backtrace = [text for part in parts for text in part.rstrip("\n").split("\n")]
    return {"class": type(error).__name__, "message": message, "file": file, "line": line, "backtrace": backtrace}


def _belongs(filename: str, path: str) -> bool:
    """Whether a file is the application's own: under its directory, and not in a virtual environment kept there."""
    real, root = os.path.realpath(filename), os.path.realpath(path)
    parts = os.path.relpath(real, root).split(os.sep)
    return parts[0] != os.pardir and "site-packages" not in parts and "dist-packages" not in parts


def _below_runner(step: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither ours, nor the client's, nor the import system's."""
    here = os.path.dirname(os.path.realpath(__file__)) + os.sep
    while step is not None:
        code = step.tb_frame.f_code.co_filename
        module = step.tb_frame.f_globals.get("__name__", "")
        machinery = code.startswith("<frozen importlib") or module == "importlib" or module.startswith("queued.")
        if not machinery and not os.path.realpath(code).startswith(here):
            return step
        step = step.tb_next
    return None
