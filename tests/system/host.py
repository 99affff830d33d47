"""One booted host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from system.lab import Lab, remove_group, run
from system.network import Network
from system.tree import Tree, mount, settle, unmount

T = TypeVar("T")
#: Seconds to wait for what takes a moment, on a busy machine.
PATIENCE = 30.0


class Host:
    """A Debian with its own systemd, file system (in memory, over a tree) and place in the network.

    Turned off and on again it finds its files as they were: what was written but not synced is not lost in a power loss here.
    """

    def __init__(self, lab: Lab, network: Network, tree: Tree, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._lab = lab
        self._network = network
        self._group = lab.group / name
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        #: Its root directory, to look into and to write to from outside. Follow no absolute symbolic link from there.
        self.root = mount(lab, name, tree.layers(lab))
        settle(self.root)
        (self.root / "etc/hostname").write_text(f"{name}\n")
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        network.join(name, address)

    def boot(self) -> Host:
        """Turn it on, and wait until its systemd has started all that it starts."""
        names = "".join(f"{address} {name}\n" for name, address in self._network.addresses.items())
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{names}")
        # With --keep-unit nspawn makes groups below its own, so hosts need one each; what the last boot left is in the way.
        remove_group(self._group)
        self._group.mkdir()
        with self._lab.path(f"/mnt/{self.name}/console").open("ab") as console:
            self._nspawn = self._lab.start(
                *("sh", "-euc", 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"', "sh", str(self._group)),
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=read-only"),
                *(f"--directory=/mnt/{self.name}/tree", f"--machine={self.name}", "--link-journal=no"),
                *("--resolv-conf=off", "--timezone=off", f"--network-namespace-path=/run/netns/{self.name}"),
                "--capability=CAP_NET_ADMIN",
                environment={"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                output=console,
            )
        self._leader = self.wait_for(self._find_leader, "the first process")
        self.wait_for(self._is_up, "systemd to have started everything", 90)
        return self

    def kill(self) -> None:
        """Cut its power: all its processes are gone at once. Peers see that unless its wire was cut before."""
        assert self._nspawn is not None
        os.kill(self._leader, signal.SIGKILL)
        self._nspawn.wait(PATIENCE)
        self._nspawn = None

    def destroy(self) -> None:
        """Turn it off for good."""
        if self._nspawn is not None:
            self.kill()
        remove_group(self._group)
        self._network.leave(self.name)
        unmount(self._lab, self.name)

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 60.0,
        user: str | None = None,
        text: str | None = None,
        online: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there as root or another user; `online`: with the network of the machine and not the private one."""
        namespaces = ["--mount", "--uts", "--ipc", "--pid", "--cgroup", *([] if online else ["--net"])]
        # Without a value --root and --wd are the target's; with one they would be opened before the namespaces are entered.
        enter = ["nsenter", f"--target={self._leader}", *namespaces, "--root", "--wd", "--"]
        change = [] if user is None else ["runuser", "-u", user, "--"]
        done = run([*enter, *change, *command], timeout=timeout, check=False, text=text)
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}\n{self._last_words()}"
            raise AssertionError(f"{self.name}: {' '.join(command)}: exit status {done.returncode}\n{said}")
        return done

    def shell(self, lines: str, **options: Any) -> str:
        """What lines of shell print there; each must succeed."""
        return self.run("sh", "-euc", lines, **options).stdout

    def apt(self, *arguments: str, timeout: float = 300.0) -> str:
        """Run apt as an operator does, over the machine's network, while its services stay on the private one."""
        environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
        return self.run(*environment, "apt", *arguments, online=True, timeout=timeout).stdout

    def systemctl(self, *arguments: str, timeout: float = 60.0) -> str:
        """What systemctl says; it must succeed."""
        return self.run("systemctl", *arguments, timeout=timeout).stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", unit, f"--property={name}", "--value").strip()

    def journal(self, *arguments: str) -> str:
        """The journal's messages alone."""
        return self.run("journalctl", "--quiet", "--no-pager", "--output=cat", *arguments).stdout

    def queuectl(self, *arguments: str) -> Any:
        """What `queuectl … --json` says there."""
        return json.loads(self.run("queuectl", *arguments, "--json").stdout)

    def read(self, path: str) -> str:
        """The text of a file."""
        return (self.root / path.lstrip("/")).read_text()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file: a new one is root's, one that is there keeps its owner."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def wait_for(self, condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
        """What the condition gives as soon as it holds; a failure shows the end of the journal."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: waited {timeout} s for {what}\n{self._last_words()}")
            time.sleep(0.05)
        return found

    def _find_leader(self) -> int:
        """The process id, from outside, of its systemd: nspawn's child, which is first in a PID namespace of its own."""
        assert self._nspawn is not None
        if (status := self._nspawn.poll()) is not None:
            raise AssertionError(f"{self.name}: systemd-nspawn ended with {status}\n{self._last_words()}")
        for nspawn in children(self._nspawn.pid):
            for pid in children(nspawn):
                if first_of_a_namespace(pid):
                    return pid
        return 0

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _last_words(self) -> str:
        if self._leader and self._nspawn is not None and self._nspawn.poll() is None:
            return self.run("journalctl", "--no-pager", "--lines=60", check=False).stdout
        return self._lab.path(f"/mnt/{self.name}/console").read_text(errors="replace")


def children(parent: int) -> list[int]:
    """The processes that have that parent."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; the parent is the second field behind it.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
        except (OSError, ProcessLookupError):
            continue
    return found


def first_of_a_namespace(process: int) -> bool:
    """Whether a process is number 1 in a PID namespace."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return False
    return any(line.startswith("NSpid:") and line.endswith("\t1") for line in lines)
