"""Talking to adapters: each verb is a process, which says lines of JSON. `peers/README.md` has the protocol."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

#: Where a worker's processes tell how many jobs they have started: a process, how many, and when the first was.
EAR = "BENCH_EAR"
TALLY = struct.Struct("<qqd")
#: Seconds that a verb may take to its next line, and a process to end.
PATIENCE = 120.0


class Failed(Exception):
    """A system did not do what it was asked to do."""


def understand(line: str) -> dict[str, Any] | None:
    """What a line says; None for one that is not of the protocol, for libraries print what they like."""
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


class Program:
    """One run of an adapter. Nothing of it outlives `close`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *words: str) -> None:
        self._verb = words[0]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*command, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def hear(self, word: str) -> dict[str, Any]:
        """Wait for the line that has this word, and give all that it says."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                said = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise Failed(f"{self._verb}: nothing in {PATIENCE:.0f} s") from None
            if said is None:
                raise Failed(f"{self._verb}: it ended: {self.complaint()}")
            if word in said:
                return said

    def tell(self, word: str) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Failed(f"{self._verb}: it ended: {self.complaint()}") from None

    def complaint(self) -> str:
        """The last line of what it wrote to stderr."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def close(self) -> None:
        """Kill what is left of it."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                if (said := understand(line)) is not None:
                    self._said.put(said)
        except ValueError:
            pass
        self._said.put(None)


class Counter:
    """Hears how many jobs have started, in all processes that run any."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._tallies: dict[int, tuple[int, float]] = {}

    def ran(self, patience: float) -> int:
        """How many have started: what was told so far, or what is told next, in so many seconds."""
        self._socket.settimeout(patience)
        try:
            while True:
                pid, ran, first = TALLY.unpack(self._socket.recv(100))
                self._tallies[pid] = ran, first
                self._socket.setblocking(False)
        except (TimeoutError, BlockingIOError):
            pass
        return sum(ran for ran, _ in self._tallies.values())

    def first(self) -> float:
        """When the first one did, on CLOCK_MONOTONIC."""
        return min(first for _, first in self._tallies.values())

    def close(self) -> None:
        self._socket.close()
