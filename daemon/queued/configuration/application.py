"""Where the application is, and which interpreter is its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from queued.configuration.reading import BROKEN, Reader
from queued.domain.settings import AppSettings

ENVIRONMENTS = (".venv/bin/python", "venv/bin/python")


def application(reader: Reader, tree: Any, directory: str, search: str | None, present: bool) -> AppSettings:
    """The settings of `app:`. Paths are looked at only where the application must be `present`: where workers run.

    An interpreter in a virtual environment is a symbolic link and stays one: followed, it would lose its packages.
    """
    values: Mapping[str, Any] = tree if isinstance(tree, Mapping) else {}
    path = values.get("path", ".")
    imports = values.get("import", ())
    if "import" not in values or imports == ():
        line = reader.lines.get("app.import", reader.lines.get("app", 0))
        reader.notes.problem(
            line, "app.import", "names no module; write the modules that define the jobs, as in import: shop.jobs"
        )
    whole = "" if path is BROKEN else os.path.normpath(os.path.join(directory, path))
    if whole and present and not os.path.isdir(whole):
        line = reader.lines.get("app.path", reader.lines.get("app", 0))
        reader.notes.problem(line, "app.path", f"there is no directory {whole}; write the application's directory")
    python = values.get("python")
    found = None if python is BROKEN else interpreter(whole, python, search)
    if found is None and python is not BROKEN and present:
        line = reader.lines.get("app.python", reader.lines.get("app", 0))
        what = f"{python} is no program that can be run" if python else "there is no python3 on PATH"
        reader.notes.problem(line, "app.python", f"{what}; write the path of the application's interpreter")
    environment = values.get("environment", {})
    return AppSettings(
        path=whole,
        python=found or python_text(python),
        imports=() if imports is BROKEN else imports,
        environment={} if environment is BROKEN else environment,
    )


def interpreter(path: str, python: str | None, search: str | None) -> str | None:
    """The interpreter's path; None when there is none that can be run."""
    if python is None:
        for candidate in ENVIRONMENTS:
            found = runnable(os.path.join(path, candidate))
            if found:
                return found
        return shutil.which("python3", path=search)
    if "/" not in python:
        return shutil.which(python, path=search)
    return runnable(os.path.normpath(os.path.join(path, python)))


def runnable(path: str) -> str | None:
    return path if os.path.isfile(path) and os.access(path, os.X_OK) else None


def python_text(python: object) -> str:
    """What stands for an interpreter that was not found, where none is needed."""
    return python if isinstance(python, str) else "python3"
