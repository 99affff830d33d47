"""The application whose jobs are compared: those of all the others."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import protocol

import queued


@queued.job
def nothing() -> None:
    protocol.nothing()


@queued.job
def compute() -> None:
    protocol.compute()


@queued.job
def wait() -> None:
    protocol.wait()


@queued.job
def tell(port: int, number: int) -> None:
    protocol.tell(port, number)


JOBS = {"nothing": nothing, "compute": compute, "wait": wait}
