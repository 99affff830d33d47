"""The packages under test: the signed repository that `make repo` has made."""

from __future__ import annotations

import os
import re
import shutil
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
