"""The namespaces that all hosts of a test run live in. They end with the run, however that ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

#: What commands see of the environment of the test run: nothing.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}

# The lab's first process reads a pipe from the test run and ends at its end of file, which a kill -9 brings as well. It is
# the first of its PID namespace, so the kernel kills everything in there with it; mounts and network namespaces go with the
# last process in them. Control groups are no namespace: the outer shell, in a session of its own, removes them.
# /proc/self must be read before the new /proc is mounted, while it still tells the outer id.
LAB = """
unshare --mount --pid --fork --propagation private sh -euc '
    read -r pid rest </proc/self/stat
    mount -t proc proc /proc
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /run/netns "$1"
    echo "$pid"
    exec cat >/dev/null
' lab "$1"
[ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} +
"""


class Lab:
    """Mounts, processes and control groups of one test run; network namespaces are named in it by `ip netns`.

    /run and /mnt are empty and its own. A command in it uses the network that the test run uses, unless it enters another.
    """

    def __init__(self) -> None:
        groups = control_groups()
        sweep(groups)
        self.group = groups / f"queued-tests-{os.getpid()}"
        self._guard = subprocess.Popen(
            ["sh", "-c", LAB, "guard", str(self.group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
            # kill -9 of the test run's process group leaves the guard to clean up.
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        first = self._guard.stdout.readline()
        if not first:
            _, errors = self._guard.communicate()
            raise OSError(f"no namespaces can be made here: {errors.strip()}")
        #: The process id of the lab's first process, as everybody outside sees it.
        self.pid = int(first)

    def path(self, inside: str | Path) -> Path:
        """Where a file of the lab is found from outside."""
        return Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command in the lab."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--", *command]

    def run(self, *command: str, timeout: float = 60.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab and wait for it."""
        return run(self.command(*command), timeout=timeout, check=check)

    def start(self, *command: str, environment: Mapping[str, str], output: IO[Any]) -> subprocess.Popen[bytes]:
        """Start a command in the lab; it lives no longer than the lab."""
        return subprocess.Popen(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**ENVIRONMENT, **environment},
        )

    def close(self) -> None:
        """End everything in the lab."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(60)


def run(
    command: Sequence[str], timeout: float, check: bool = True, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with an empty environment; a failure shows all that it said."""
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    done = subprocess.run(
        command,
        **given,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        env=ENVIRONMENT,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def control_groups() -> Path:
    """The root of the control groups of version 2, which machines that also use version 1 have in another place."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, file_system = line.partition(" - ")
        if file_system.startswith("cgroup2 "):
            return Path(mount.split()[4])
    raise OSError("there are no control groups of version 2 here")


def sweep(groups: Path) -> None:
    """Remove the empty groups of runs whose guard was killed too."""
    for group in groups.glob("queued-tests-*"):
        if not Path(f"/proc/{group.name.removeprefix('queued-tests-')}").exists():
            remove_group(group)


def remove_group(group: Path) -> None:
    """Remove a control group without processes, and all below it; those with processes stay."""
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            pass
