"""What all adapters in Python have in common: the protocol, which `README.md` describes, the jobs, and the count of what ran.

Standard library only, and Python 3.10: it is imported in the environment of every peer, by `queued`'s own runner too.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import socket
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

#: The environment variable with the port of the one who counts. Without it nothing is counted, and no thread is there to do it.
EAR = "BENCH_EAR"
LOOPBACK = "127.0.0.1"
#: A process, how many jobs have started in it, and when the first of them did, on CLOCK_MONOTONIC, which all processes share.
TALLY = struct.Struct("<qqd")
#: A number and a moment of the same clock.
STARTED = struct.Struct("<qd")
#: Seconds between two reports of a tally.
REPORT = 0.02
#: Jobs in one call that enqueues many.
BATCH = 1000
#: Seconds in which a job must start.
PATIENCE = 30.0


class Tally:
    """How many jobs have started in this process. It tells the one who counts by datagrams, which costs a job next to nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ran = 0
        self._first = 0.0

    def count(self) -> None:
        """One more."""
        with self._lock:
            self._ran += 1
            if self._ran > 1:
                return
            self._first = time.monotonic()
        # Only now: a process that forks others must not have threads before.
        if EAR in os.environ:
            threading.Thread(target=self._report, daemon=True).start()

    def _report(self) -> None:
        mouth, address = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), (LOOPBACK, int(os.environ[EAR]))
        told = 0
        while True:
            if (ran := self._ran) != told:
                mouth.sendto(TALLY.pack(os.getpid(), ran, self._first), address)
                told = ran
            time.sleep(REPORT)


_tally = Tally()


def nothing() -> None:
    """The price of a job itself."""
    _tally.count()


def compute() -> None:
    """One millisecond of this thread's CPU time, so that a busy machine does not make it cheaper."""
    _tally.count()
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass


def wait() -> None:
    """Five milliseconds in which a thread does nothing."""
    _tally.count()
    time.sleep(0.005)


async def await_() -> None:
    """Five milliseconds in which a task does nothing."""
    _tally.count()
    await asyncio.sleep(0.005)


def tell(port: int, number: int) -> None:
    """Say when it started, past the database."""
    started = STARTED.pack(number, time.monotonic())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(started, (LOOPBACK, port))


class Ear:
    """Hears when the jobs that `tell` have started."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._socket.settimeout(PATIENCE)
        self.port: int = self._socket.getsockname()[1]
        self._dice = random.Random(1)
        self._taken: list[float] = []

    def numbers(self, count: int) -> Iterator[int]:
        """The numbers of so many jobs, each at a moment that is in no step with anybody's timer; the first few only warm up."""
        for number in range(-10, count):
            time.sleep(self._dice.uniform(0.01, 0.04))
            yield number

    def hear(self, number: int, asked: float) -> None:
        """Wait for the job, and note how long after `asked` it has started."""
        heard, started = STARTED.unpack(self._socket.recv(100))
        if heard != number:
            raise AssertionError(f"job {heard} started and {number} was expected")
        if number >= 0:
            self._taken.append(1000 * (started - asked))

    def milliseconds(self) -> list[float]:
        """What was noted."""
        return self._taken


class Adapter(ABC):
    """One system. Each method has a process of its own, and an empty database that `setup` has prepared."""

    #: What was set, in words for the report.
    settings: str

    @abstractmethod
    def version(self) -> str:
        """The system's, and its driver's."""

    @abstractmethod
    def left(self, database: str) -> str:
        """SQL that gives a row while any of `{count}` jobs is not done. Cheap: it is asked often. On `postgresql` or `sqlite`."""

    def stored(self, database: str) -> str | None:
        """SQL that counts the jobs that are stored as done; None for a system that stores nothing of them."""
        return None

    @abstractmethod
    def setup(self, url: str) -> None:
        """Make its tables."""

    @abstractmethod
    def fill(self, url: str, job: str, count: int) -> float:
        """Enqueue so many jobs (`nothing`, `compute` or `wait`), in batches where it has any; seconds of the calls."""

    @abstractmethod
    def single(self, url: str, count: int) -> float:
        """Enqueue so many jobs one by one, each durable before the next; seconds of the calls."""

    @abstractmethod
    def pick_up(self, url: str, count: int) -> list[float]:
        """Enqueue a job, wait until a worker has started it, and so on; milliseconds of each."""

    @abstractmethod
    def work(self, url: str, row: str, workers: int) -> None:
        """Be a worker, or so many: call `ready` when nothing is left to do but to begin, and end soon after `asked_to_stop`."""


def say(**words: Any) -> None:
    """One line of the protocol."""
    print(json.dumps(words), flush=True)


def ready(pid: int | None = None) -> None:
    """Say that everything is loaded and connected, and return when told to go. `pid` has all that works below it."""
    say(ready=pid or os.getpid())
    sys.stdin.readline()


def asked_to_stop() -> None:
    """Return when told to stop, or when whoever asks is gone."""
    sys.stdin.readline()


async def stopping() -> None:
    """As `asked_to_stop`, in a coroutine."""
    await asyncio.to_thread(asked_to_stop)


def batches(count: int, size: int = BATCH) -> Iterator[int]:
    """The sizes of the batches of so many jobs."""
    for start in range(0, count, size):
        yield min(size, count - start)


def timed(calls: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    started = time.monotonic()
    calls()
    return time.monotonic() - started


async def timed_async(calls: Awaitable[Any]) -> float:
    """Seconds that it takes."""
    started = time.monotonic()
    await calls
    return time.monotonic() - started


def main(adapter: Adapter) -> None:
    """Do what the command line says: a verb, the URL of a database, and what the verb needs."""
    verb, *rest = sys.argv[1:]
    if verb == "about":
        say(
            version=adapter.version(),
            runtime=f"Python {platform.python_version()}",
            settings=adapter.settings,
            left=adapter.left(rest[0]),
            stored=adapter.stored(rest[0]),
        )
    elif verb == "setup":
        adapter.setup(rest[0])
        say(done=True)
    elif verb == "fill":
        say(seconds=adapter.fill(rest[0], rest[1], int(rest[2])))
    elif verb == "single":
        say(seconds=adapter.single(rest[0], int(rest[1])))
    elif verb == "pick_up":
        say(milliseconds=adapter.pick_up(rest[0], int(rest[1])))
    elif verb == "work":
        adapter.work(rest[0], rest[1], int(rest[2]))
        say(stopped=True)
    else:
        raise SystemExit(f"no verb {verb}")
