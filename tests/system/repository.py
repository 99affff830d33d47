"""The packages under test: the signed repository that `make repo` has made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from system.host import Host
from system.wheels import ROOT

#: Where a repository is found, if not where `make repo` puts it.
VARIABLE = "QUEUED_TEST_REPOSITORY"
#: Where hosts find theirs, on a disk of their own.
PLACE = "/srv/repository"


@dataclass(frozen=True)
class Repository:
    """A directory with the repository and `queued.sources`, which holds its key."""

    directory: Path

    def offer(self, host: Host) -> None:
        """Make this the repository that a host knows, as an operator would; what it has installed stays."""
        place = host.root / PLACE.lstrip("/")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.directory, place)
        sources = (self.directory / "queued.sources").read_text()
        host.write(
            "/etc/apt/sources.list.d/queued.sources",
            re.sub(r"^URIs: .*$", f"URIs: file:{PLACE}", sources, flags=re.MULTILINE),
        )

    def version(self) -> str:
        """The version of the program's package."""
        (deb,) = self.directory.glob("pool/queued_*.deb")
        return deb.name.split("_")[1]


def made() -> Repository:
    """The repository of this checkout."""
    directory = Path(os.environ.get(VARIABLE, ROOT / "dist" / "apt"))
    if not (directory / "queued.sources").exists():
        raise FileNotFoundError(f"there is no repository in {directory}: run `make repo` first, or set {VARIABLE}")
    return Repository(directory)


def made_newer(directory: Path) -> Repository:
    """A repository of packages of a later version, built of this checkout with other code in every module.

    In the frozen program all modules lie behind one another, so nothing in it is where it was: a daemon that reads on in the
    replaced files finds nonsense there.
    """
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    for name in ("daemon", "etc", "man", "packaging"):
        shutil.copytree(ROOT / name, directory / name, symlinks=True)
    for module in (directory / "daemon" / "queued").rglob("*.py"):
        if "runner" not in module.parts:
            module.write_text(f"{module.read_text()}\n_LATER = {module.name * 50!r}\n")
    # What the program is frozen with takes longer to install than to use.
    (directory / "build" / "deb").mkdir(parents=True)
    for made in (ROOT / "build" / "deb").glob("venv-*"):
        (directory / "build" / "deb" / made.name).symlink_to(made)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**inherited, "DEB_VERSION": "9.0", "SOURCE_DATE_EPOCH": "2000000000"}
    for step in "build", "repository":
        done = subprocess.run(
            ["bash", f"packaging/deb/{step}"],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"packaging/deb/{step}: {done.stdout}{done.stderr}"
    return Repository(directory / "dist" / "apt")
