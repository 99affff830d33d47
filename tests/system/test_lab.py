"""The tests' own hosts leave nothing behind, however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from system.lab import Lab, control_groups

RUN = """
import time
from system.host import Host
from system.lab import Lab
from system.network import Network
from system.tree import Tree

lab = Lab()
Host(lab, Network(lab), Tree("bookworm"), "web", "10.0.0.1").boot()
print(lab.pid, flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_a_run_that_was_killed(lab: Lab) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        start_new_session=True,
    )
    try:
        assert run.stdout is not None
        first = int(run.stdout.readline())
        inside = Path(f"/proc/{first}/ns/mnt").readlink()
        group = control_groups() / f"queued-tests-{run.pid}"
        assert [path.name for path in group.iterdir() if path.is_dir()] == ["web"]
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    deadline = time.monotonic() + 30
    while group.exists() or inhabitants(inside):
        assert time.monotonic() < deadline, (list(group.glob("**")), inhabitants(inside))
        time.sleep(0.05)
    assert "/mnt/web" not in Path("/proc/self/mountinfo").read_text()


def inhabitants(namespace: Path) -> list[str]:
    """The processes in a mount namespace: without any it is gone, with its mounts."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/ns/mnt"):
        try:
            if entry.readlink() == namespace:
                found.append(entry.parts[2])
        except OSError:
            continue
    return found
