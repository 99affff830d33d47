"""The daemon of this example, and `queuectl` beside it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parent.parent
#: Seconds for the daemon to start, and to stop: longer than `shutdown_timeout` in queue.yml.
START, STOP = 30.0, 40.0
#: What `queuectl status` exits with when it has problems to tell.
UNHEALTHY = 3


class ExampleError(Exception):
    """What the example cannot go on after; the text is for the person who started it."""


class Daemon:
    """`queued start` with this example's configuration, as a child of this program. `python` runs the jobs."""

    def __init__(self, data: Path, python: Path) -> None:
        self.python = python
        self.log_path = data / "daemon.log"
        self.environment = {
            **os.environ,
            "QUEUED_CONFIG": str(EXAMPLE / "queue.yml"),
            "QUEUED_ENV": "production",
            "QUEUED_RECURRING_SCHEDULE": str(EXAMPLE / "recurring.yml"),
            "PHOTOS_INTERPRETER": str(python),
            "PHOTOS_SITES": str(data / "site"),
            "QUEUED_DATABASE_URL": f"sqlite:///{data / 'queued.sqlite3'}",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until its workers are registered."""
        command = [sys.executable, "-m", "queued", "start", "--mode", "async"]
        with self.log_path.open("ab") as log:
            try:
                # The daemon inherits the lock with its log, and has it for as long as it lives.
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExampleError(
                    f"The example runs already on {self.log_path.parent}. Stop it first, or take another clone."
                ) from None
            log.truncate(0)
            # A session of its own: Ctrl-C reaches this program alone, which then stops the daemon in order.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        deadline = time.monotonic() + START
        while not self.ready():
            self.check()
            if time.monotonic() > deadline:
                raise ExampleError(f"The daemon was not ready after {START:.0f} s.\n{self.tail()}")
            time.sleep(0.1)

    def ready(self) -> bool:
        """Whether a worker of this daemon is registered."""
        assert self.process is not None
        try:
            processes = self.queuectl("status")["processes"]
        except ExampleError:
            return False  # no database yet
        return any(process["kind"] == "worker" and process["pid"] == self.process.pid for process in processes)

    def check(self) -> None:
        """Raise when the daemon has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise ExampleError(f"The daemon ended with status {self.process.returncode}.\n{self.tail()}")

    def stop(self) -> None:
        """Ask it to stop, and wait: running jobs may finish."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise ExampleError(f"The daemon did not stop in {STOP:.0f} s and was killed.\n{self.tail()}") from None

    def queuectl(self, *arguments: str) -> Any:
        """What `queuectl … --json` says."""
        done = self.run([sys.executable, "-m", "queued", *arguments, "--json"])
        if done.returncode not in (0, UNHEALTHY):
            raise ExampleError(f"queuectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout)

    def explain(self, job: int) -> str:
        """What `queuectl jobs show` tells a person about a job."""
        return self.run([sys.executable, "-m", "queued", "jobs", "show", str(job)]).stdout.rstrip()

    def typed(self, *arguments: str) -> str:
        """The command that a person types here to run `queuectl` as this program does."""
        program = Path(sys.executable).with_name("queuectl")
        words = [_near(program)] if program.exists() else [sys.executable, "-m", "queued"]
        url = self.environment["QUEUED_DATABASE_URL"]
        where = [] if url == f"sqlite:///{EXAMPLE / 'data/queued.sqlite3'}" else ["--database", url]
        return shlex.join([*words, *arguments, "--config", _near(EXAMPLE / "queue.yml"), *where])

    def run_in_example(self, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a script of the example with its own interpreter. An application needs the database's URL and no more."""
        environment = {name: value for name, value in self.environment.items() if name != "QUEUED_CONFIG"}
        return self.run([self.python, EXAMPLE / script, *arguments], environment)

    def run(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program, out of reach of Ctrl-C."""
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment or self.environment,
            check=False,
            start_new_session=True,
        )

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log_path.read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"Its log, {self.log_path}, ends so:", *lines])


def _near(path: Path) -> str:
    """The path as seen from the working directory, where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
