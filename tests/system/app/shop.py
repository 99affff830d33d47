"""The shop: an application whose jobs write down what they did where no database can take it back."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time

from ledger import VARIABLE, attempt

import queued

os.environ.setdefault(VARIABLE, "/srv/shop/var/ledger.jsonl")


@queued.job
def greet(name: str) -> None:
    print(f"Hello, {name}!")


@queued.job(queue="orders")
def order(number: int, seconds: float = 0.0) -> None:
    """Note a start, take that long, note an end."""
    with attempt(number, **circumstances()):
        time.sleep(seconds)


@queued.job(queue="gates")
def gate(number: int, path: str) -> None:
    """Note a start, wait until there is a file, note an end."""
    with attempt(number, **circumstances()):
        while not os.path.exists(path):
            time.sleep(0.01)


def circumstances() -> dict[str, object]:
    """Which job this is, and where and as whom it runs."""
    job = queued.current_job()
    return {
        "id": job.id,
        "attempt": job.attempt,
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "python": sys.prefix,
    }
