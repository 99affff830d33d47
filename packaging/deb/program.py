"""What is frozen: the program `queued`, and `queuectl` where it is called so.

Lies in /usr/lib/queued with its modules; /usr/bin/queued and /usr/bin/queuectl are links to it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

#: The names of all modules of the frozen program, one a line, in a file beside them.
MODULES = "modules.txt"


def restore_environment(environ: MutableMapping[str, str]) -> None:
    """Undo what the loader of the frozen program has done to the environment.

    Once, for all children: an interpreter of the application that inherited LD_LIBRARY_PATH would load this program's
    libraries instead of its own.
    """
    before = environ.pop("LD_LIBRARY_PATH_ORIG", None)
    environ.pop("LD_LIBRARY_PATH", None)
    if before is not None:
        environ["LD_LIBRARY_PATH"] = before
    for name in [name for name in environ if name.startswith(("_PYI_", "_MEI"))]:
        del environ[name]


def import_everything(directory: Path) -> None:
    """Import every module there is.

    An upgrade replaces the files under a daemon that still ends its jobs; an import from the new ones fails, for they are read
    at the places of the old ones. Nothing must be left to import by then.
    """
    for name in (directory / MODULES).read_text(encoding="utf-8").split():
        with contextlib.suppress(ImportError):  # what the standard library has for other systems
            importlib.import_module(name)


def main() -> int:
    """Run the program that the caller has named; its exit code."""
    restore_environment(os.environ)
    from queued.cli import main as programs

    if os.path.basename(sys.argv[0]) == "queuectl":
        return programs.queuectl()
    from queued.processes.application import PROGRAMS

    # The two that last: the daemon, and what it starts in place of an application.
    if "start" in sys.argv[1:] or PROGRAMS in sys.argv[1:2]:
        import_everything(Path(sys._MEIPASS))  # type: ignore[attr-defined]  # set by the loader
    return programs.queued()


if __name__ == "__main__":
    sys.exit(main())
