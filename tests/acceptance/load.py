"""A steady load: a process that enqueues without a pause and writes down what was acknowledged, past the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from acceptance.service import APPS
from fixtures.daemon import GUEST, PACKAGE

#: Enqueues until it is told to stop; one line for each enqueue: its id, or null and the error, and how long it took.
PRODUCER = """
import json, random, signal, sys, time
import queued

url, path, application, milliseconds, pause = *sys.argv[1:4], float(sys.argv[4]), float(sys.argv[5])
sys.path.insert(0, application)
import work

queued.configure(url)
going = True

def stop(number, frame):
    global going
    going = False

signal.signal(signal.SIGTERM, stop)
with open(path, "a", buffering=1) as file:
    while going:
        began = time.monotonic()
        try:
            told = {"id": work.spin.enqueue(random.uniform(0, milliseconds)).id}
        except Exception as error:
            told = {"id": None, "error": f"{type(error).__name__}: {error}"}
        file.write(json.dumps({**told, "took": time.monotonic() - began}) + "\\n")
        time.sleep(pause)
"""


@dataclass(frozen=True)
class Enqueued:
    """One enqueue: the job's id when it was acknowledged, the error when it was not, the seconds it took."""

    id: int | None
    error: str | None
    took: float


class Producer:
    """One enqueuing process. Its jobs take up to `milliseconds`, and it rests `pause` seconds between two.

    It ends with the `with` block.
    """

    def __init__(self, url: str, path: Path, *, milliseconds: float = 20.0, pause: float = 0.005) -> None:
        self.path = path
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), str(GUEST)])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PRODUCER, url, path, APPS / "ordinary", str(milliseconds), str(pause)],
            env=environment,
            stdin=subprocess.DEVNULL,
        )

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> list[Enqueued]:
        """Let it end after the enqueue it is at; everything it has done."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise AssertionError("an enqueue hangs") from None
        assert self._process.returncode == 0
        return self.enqueued()

    def enqueued(self) -> list[Enqueued]:
        """What it has done so far."""
        text = self.path.read_text() if self.path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [Enqueued(line["id"], line.get("error"), line["took"]) for line in lines]
