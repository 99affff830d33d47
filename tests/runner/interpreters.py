"""The interpreters that applications may have: each Python from 3.10 on that is installed here."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from functools import cache

_ASK = "import sys; print('%d.%d %s' % (sys.version_info[0], sys.version_info[1], sys.executable))"


@cache
def interpreters() -> dict[str, str]:
    """Each version's interpreter, by version; one that does not run is left out."""
    candidates = [sys.executable, "/usr/bin/python3"]
    candidates += [found for minor in range(10, 20) if (found := shutil.which(f"python3.{minor}"))]
    candidates += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    result: dict[str, str] = {}
    for candidate in candidates:
        version, _, path = _ask(candidate).partition(" ")
        if path and tuple(map(int, version.split("."))) >= (3, 10):
            result.setdefault(version, path)
    return dict(sorted(result.items(), key=lambda item: int(item[0].split(".")[1])))


def old_interpreter() -> str | None:
    """A Python that is too old for applications, if there is one."""
    candidates = sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")))
    candidates += [found for name in ("python2", "python3.9", "python3.8") if (found := shutil.which(name))]
    for candidate in candidates:
        version = _ask(candidate).partition(" ")[0]
        if version and tuple(map(int, version.split("."))) < (3, 10):
            return candidate
    return None


def _ask(python: str) -> str:
    try:
        result = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
