"""The file systems that hosts start from: made once by debootstrap and apt, kept outside of the repository."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from system.lab import Lab, run
from system.wheels import download

#: Where trees are kept between runs, about 1.5 GB.
CACHE = Path(os.environ.get("QUEUED_TEST_CACHE", "/var/cache/queued-tests"))
#: Seconds to make one of them over a slow network.
PATIENCE = 1200.0
#: Seconds after which a tree that no run has used is removed: its recipe has changed.
FORGOTTEN = 30 * 86400.0
#: A systemd as Debian's installer would leave it, and no Python. Without libnss-systemd a dynamic user has no name.
BASE = ("systemd", "systemd-sysv", "dbus", "libnss-systemd", "iproute2", "ca-certificates", "procps")
#: The apt settings of the machine that hosts need to reach the same mirrors.
APT_SETTINGS = re.compile(r"^Acquire::(?:Check-|Retries|[\w:]*Proxy|https?::)", re.IGNORECASE)


@dataclass(frozen=True)
class Tree:
    """A release of Debian, the packages that it has before any test, and a shell script that was run on it then.

    `wheels` are Python packages; the script finds them in /srv/wheels.
    """

    release: str
    name: str = "plain"
    packages: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    script: str = ":"

    @property
    def key(self) -> str:
        """Its name in the cache: another recipe has another."""
        recipe = repr((BASE, self.packages, self.wheels, self.script))
        return f"{self.release}-{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"

    def layers(self, lab: Lab) -> list[Path]:
        """Its directories, the topmost first, as overlayfs takes them. What is not there is made: that takes a minute."""
        plain = Tree(self.release)
        if self == plain:
            return [kept(self.key, lambda target: debootstrap(lab, self.release, target))]
        below = plain.layers(lab)
        return [kept(self.key, lambda target: install(lab, self, below, target)), *below]


def kept(key: str, make: Callable[[Path], None]) -> Path:
    """The directory of that key in the cache, made if it is not there yet: whole or not at all."""
    directory = CACHE / key
    with alone():
        if not directory.exists():
            partial = CACHE / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(directory)
        os.utime(directory)
        for other in CACHE.iterdir():
            if other.is_dir() and time.time() - other.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(other)
    return directory


@contextmanager
def alone() -> Iterator[None]:
    """Keep other test runs of this machine out of the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def debootstrap(lab: Lab, release: str, target: Path) -> None:
    """Make a plain tree."""
    include = f"--include={','.join(BASE)}"
    lab.run("debootstrap", "--variant=minbase", include, release, str(target), mirror(), timeout=PATIENCE)
    # As on an installed machine the journal outlives a power loss.
    (target / "var/log/journal").mkdir(exist_ok=True)
    settle(target)
    lab.run(*inside(target), "apt-get", "update", timeout=PATIENCE)


def install(lab: Lab, tree: Tree, below: list[Path], target: Path) -> None:
    """Make the layer of a tree over those below it."""
    target.mkdir()
    merged = mount(lab, "making", below, target)
    wheels = merged / "srv/wheels"
    with tempfile.TemporaryDirectory() as downloads:
        if tree.wheels:
            download(tree.wheels, Path(downloads))
        shutil.copytree(downloads, wheels, copy_function=shutil.copy)
    wheels.chmod(0o755)
    settle(merged)
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", *tree.packages]
    lab.run(*inside(merged), *apt, timeout=PATIENCE)
    lab.run(*inside(merged), "sh", "-euc", tree.script, timeout=PATIENCE)
    shutil.rmtree(wheels)
    unmount(lab, "making")
    shutil.rmtree(target.with_name("work"))


def mount(lab: Lab, name: str, layers: list[Path], upper: Path | None = None) -> Path:
    """Mount an overlay in the lab, /mnt/NAME/tree there, and say where it is found from outside.

    What is written goes to `upper`; without one it goes to memory, and away with the lab.
    """
    directory = lab.path(f"/mnt/{name}")
    (directory / "tree").mkdir(parents=True)
    if upper is None:
        (directory / "upper").mkdir()
        (directory / "work").mkdir()
        top, work = Path(f"/mnt/{name}/upper"), Path(f"/mnt/{name}/work")
    else:
        # The work directory must be on the file system of the upper one.
        top, work = upper, upper.with_name("work")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
    options = f"lowerdir={':'.join(map(str, layers))},upperdir={top},workdir={work}"
    lab.run("mount", "-t", "overlay", "-o", options, "overlay", f"/mnt/{name}/tree")
    return directory / "tree"


def unmount(lab: Lab, name: str) -> None:
    """Undo `mount`; what was written to memory is gone."""
    lab.run("umount", f"/mnt/{name}/tree")
    lab.run("rm", "-r", f"/mnt/{name}")


def settle(tree: Path) -> None:
    """Give a tree the machine's way to its mirrors: names, proxies, and how strictly dates are checked."""
    resolver = tree / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.write_text(Path("/etc/resolv.conf").read_text())
    dump = run(["apt-config", "dump"], timeout=30).stdout.splitlines()
    settings = [line for line in dump if APT_SETTINGS.match(line) and not line.endswith('"";')]
    (tree / "etc/apt/apt.conf.d/90machine").write_text("\n".join([*settings, 'APT::Get::Assume-Yes "true";', ""]))


def inside(tree: Path) -> list[str]:
    """The start of a command that is run in a tree that is not booted."""
    path = "/mnt/making/tree" if tree.match("*/mnt/making/tree") else str(tree)
    return ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", f"--directory={path}"]


def mirror() -> str:
    """The mirror that this machine itself uses, if it is a Debian, else Debian's own."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Origin: Debian", "Created-By: Packages"]
    sites = run(command, timeout=30, check=False).stdout.split()
    return next((site for site in sites if "security" not in site), "http://deb.debian.org/debian")
