"""Python packages for the hosts' applications, fetched and built by the machine's own pip, whatever index that uses."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The application's interpreter on the hosts: Debian 12's.
PYTHON = "3.11"


def download(requirements: tuple[str, ...], target: Path) -> None:
    """Fetch wheels, and those that they need, in the versions that the project is tested with.

    pip resolves links, also those of /proc, so `target` must not be in a lab.
    """
    machine = platform.machine()
    platforms = [f"--platform={name}" for name in (f"manylinux2014_{machine}", f"manylinux_2_28_{machine}", "any")]
    pip(
        "download",
        "--only-binary=:all:",
        f"--python-version={PYTHON}",
        "--implementation=cp",
        *platforms,
        f"--constraint={ROOT / 'constraints.txt'}",
        f"--dest={target}",
        *requirements,
    )


def build(target: Path) -> Path:
    """Build the client library of this checkout; gives the wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        # The build leaves files beside the source.
        source = Path(scratch) / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        shutil.copytree(ROOT / "daemon" / "queued", source / "daemon" / "queued")
        pip("wheel", "--no-deps", f"--wheel-dir={target}", str(source))
    (wheel,) = target.glob("queued_jobs-*.whl")
    return wheel


def pip(*arguments: str) -> None:
    """Run pip; a failure shows what it said."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(
        command, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"pip {arguments[0]}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
