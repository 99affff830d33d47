"""Whether the application can be imported, tried in its own interpreter as the daemon would, by a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from queued.domain.settings import AppSettings

#: Seconds that an import may take.
PATIENCE = 60.0
#: Imports modules. The application's directory comes first, and the client is at hand as a last resort, as for the daemon.
SOURCE = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
sys.path.append(sys.argv[2])
for name in sys.argv[3:]:
    importlib.import_module(name)
"""


def imported(app: AppSettings) -> str | None:
    """Why the application cannot be imported: the last line of its error; None when it can.

    Run by root it becomes the owner of the application's directory first, so that nothing of it runs with root's rights.
    """
    from queued.processes.application import clean_environment

    client = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [app.python, "-c", SOURCE, app.path, client, *app.imports]
    try:
        owner = os.stat(app.path)
        rights: dict[str, Any] = {}
        if os.geteuid() == 0 and owner.st_uid != 0:
            rights = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        done = subprocess.run(
            command,
            cwd=app.path,
            env=clean_environment(os.environ, app.environment, bool(getattr(sys, "frozen", False))),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            **rights,
        )
    except subprocess.TimeoutExpired:
        return f"the import has not ended after {PATIENCE:.0f} s"
    except OSError as error:
        return f"{error.filename or app.python}: {error.strerror}"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"the interpreter ended with status {done.returncode}"
