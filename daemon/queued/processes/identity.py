"""Which process is meant: a pid alone is used again, so boot, pid namespace and start time go with it."""

from __future__ import annotations

import json
import os
import socket
from functools import cache
from typing import Any


def hostname() -> str:
    """This host's name, always valid text."""
    return os.fsencode(socket.gethostname()).decode("utf-8", "replace") or "localhost"


def identity() -> dict[str, Any]:
    """What `processes.identity` holds: boot id, pid namespace, and start time in clock ticks since boot."""
    boot, namespace = _here()
    return {"boot": boot, "pidns": namespace, "start": start_time(os.getpid())}


def is_local(text: str) -> bool:
    """Whether that process was seen from here: same boot, same pid namespace. Only then do its pids mean anything to us."""
    facts = _parse(text)
    return (facts.get("boot"), facts.get("pidns")) == _here()


def is_gone(pid: int, text: str) -> bool:
    """Whether a local process has certainly ended. Of a process of another host nothing is certain: False.

    A zombie is not gone: its parent lives, knows why it ended, and settles what it left. One that init has inherited has no such
    parent any more, and in a container init may take its time to reap.
    """
    if not is_local(text):
        return False
    fields = _stat(pid)
    if fields is None:
        return not is_hidden(pid)
    if int(fields[19]) != _parse(text).get("start"):
        return True
    return fields[0] == b"Z" and int(fields[1]) == 1 and os.getpid() != 1


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process. Zombies count as processes."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def is_hidden(pid: int) -> bool:
    """Whether there is a process that /proc does not show to us, as with hidepid and systemd's ProtectProc=.

    One of our own user may be hidden as well, when we are in a user namespace (PrivateUsers=): signals reach it all the same.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the state on: state, parent, …; the start time is the twentieth."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold spaces and parentheses itself: count from the last one.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields if len(fields) > 19 else None


@cache
def _here() -> tuple[str, int]:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return boot, os.stat("/proc/self/ns/pid").st_ino


def _parse(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
