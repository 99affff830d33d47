"""The application that is measured: jobs that do nothing, compute, wait, or tell when they started."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import queued

#: A number and a moment of CLOCK_MONOTONIC, which all processes of a host share.
STARTED = struct.Struct("<qd")
#: Seconds of one `advance` and of one `checkpoint`, and how many of those are made.
TOOK = struct.Struct("<dd")
CHECKPOINTS = 100

_teller = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@queued.job
def nothing() -> None:
    """The price of a job itself."""


@queued.job
def take(text: str) -> None:
    """The price of its arguments."""


@queued.job
def compute() -> None:
    """One millisecond of this thread's CPU time, so that a busy machine does not make it cheaper."""
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass


@queued.job
def wait() -> None:
    """Five milliseconds in which a thread does nothing."""
    time.sleep(0.005)


@queued.job
async def await_() -> None:
    """Five milliseconds in which a task does nothing."""
    await asyncio.sleep(0.005)


@queued.job
def tell(address: str, number: int) -> None:
    """Say when it started, past the database."""
    _teller.sendto(STARTED.pack(number, time.monotonic()), address)


@queued.job
def steps(address: str, count: int) -> None:
    """Move on so often in one step, then say how many seconds that took more than the bare loop, and a checkpoint on its own."""
    loop = time.perf_counter()
    for _ in range(count):
        pass
    loop = time.perf_counter() - loop
    with queued.step("race", start=0) as s:
        began = time.perf_counter()
        for number in range(s.cursor, count):
            s.advance(number + 1)
        advances = time.perf_counter() - began - loop
        began = time.perf_counter()
        for _ in range(CHECKPOINTS):
            s.checkpoint()
        checkpoints = time.perf_counter() - began
    _teller.sendto(TOOK.pack(advances / count, checkpoints / CHECKPOINTS), address)
