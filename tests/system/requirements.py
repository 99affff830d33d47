"""What a machine must have before hosts can be booted on it."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request

from system.lab import ENVIRONMENT, Lab, run
from system.tree import CACHE, mirror

#: Each program and the Debian package that it is in.
PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "bridge": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}


def obtain() -> str | None:
    """Install what is missing, by apt; gives why no hosts can be booted here, or None when they can."""
    if os.geteuid() != 0:
        return "only root can boot hosts"
    if (reason := install()) is not None:
        return reason
    if not CACHE.exists() and (reason := unreachable(mirror())) is not None:
        return reason
    return refused()


def install() -> str | None:
    """Install the programs that are missing."""
    missing = sorted({package for program, package in PROGRAMS.items() if find(program) is None})
    if not missing:
        return None
    if find("apt-get") is None:
        return f"{', '.join(missing)} are missing, and there is no apt to install them"
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300"]
    for command in ("update",), ("install", "--no-install-recommends", *missing):
        done = run([*apt, *command], timeout=600, check=False)
    if done.returncode:
        return f"apt cannot install {', '.join(missing)}: {done.stderr.strip()}"
    return None


def find(program: str) -> str | None:
    """Where a program is; administrators' directories count too."""
    return shutil.which(program, path=ENVIRONMENT["PATH"])


def unreachable(address: str) -> str | None:
    """Why Debian's packages cannot be had, or None. Proxies of apt alone are not looked at: then a tree is simply tried."""
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/dists/bookworm/InRelease", timeout=20).close()
    except (urllib.error.URLError, TimeoutError) as error:
        return f"no Debian mirror can be reached: {address}: {error}"
    return None


def refused() -> str | None:
    """What the kernel, or the container that this runs in, does not let root do; None when all that is needed works."""
    try:
        lab = Lab()
    except OSError as error:
        return str(error)
    try:
        attempts = {
            "overlays": "cd /mnt; mkdir a b c d; mount -t overlay -o lowerdir=a,upperdir=b,workdir=c overlay d",
            "network namespaces": "ip netns add probe; ip netns exec probe true",
            "bridges": "ip -n probe link add hub type bridge; ip -n probe link add wire type veth peer name eth0",
            "control groups": f'mkdir "{lab.group}/probe"; (echo 0 >"{lab.group}/probe/cgroup.procs")',
        }
        for what, attempt in attempts.items():
            done = lab.run("sh", "-euc", attempt, check=False)
            if done.returncode:
                return f"{what} cannot be made here: {done.stderr.strip()}"
    finally:
        lab.close()
    return None
