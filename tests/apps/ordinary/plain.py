"""Jobs that do ordinary things."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import queued

_seen: ContextVar[str] = ContextVar("seen", default="nothing")
_local = threading.local()


@queued.job
def nothing() -> None:
    pass


@queued.job
def write(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text + "\n")


@queued.job
def slack(path: str) -> None:
    """Write down how many nanoseconds longer than asked for a wait of this thread may last."""
    write(path, Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text().strip())


@queued.job
def fail(message: str) -> None:
    raise ValueError(message)


@queued.job
def leave() -> None:
    sys.exit(3)


@queued.job
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@queued.job
def wait_for(path: str) -> None:
    """Go on until the file is there, in steps that an exception can come between."""
    while not os.path.exists(path):
        time.sleep(0.002)


@queued.job
def meet(directory: str, name: str, other: str) -> None:
    """End only if another job runs at the same time."""
    with open(os.path.join(directory, name), "w"):
        pass
    deadline = time.monotonic() + 60
    while not os.path.exists(os.path.join(directory, other)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{other} did not come")
        time.sleep(0.002)


@queued.job
def enqueue(path: str, count: int) -> None:
    """Enqueue, and write the ids that came back."""
    ids = [job.id for job in queued.enqueue_many([nothing.bind() for _ in range(count)])]
    with open(path, "w") as file:
        file.write(" ".join(map(str, ids)))


@queued.job
def remember(path: str) -> None:
    """Write what an earlier job left in the context, then leave something there."""
    with open(path, "a") as file:
        file.write(_seen.get() + "\n")
    _seen.set("something")


@queued.job
def wait_for_stop(path: str) -> None:
    """Go on until somebody says that a stop is near."""
    from queued.client.route import bound_port

    port = bound_port()
    assert port is not None
    while not port.stopping():
        time.sleep(0.002)
    with open(path, "w") as file:
        file.write("stopping")


@queued.on_worker_start
def started(info: dict[str, object]) -> None:
    _note(f"start {info['name']} {os.getpid()}")


@queued.on_worker_stop
def stopping(info: dict[str, object]) -> None:
    _note(f"stop {info['name']} {os.getpid()}")


@queued.on_worker_exit
def leaving(info: dict[str, object]) -> None:
    _note(f"exit {info['name']} {os.getpid()}")


@queued.on_dispatcher_start
def dispatching(info: dict[str, object]) -> None:
    print(f"a dispatcher starts: {info['name']}")
    _note(f"dispatcher {info['name']} {os.getpid()}")


def _note(line: str) -> None:
    path = os.environ.get("HOOK_LEDGER")
    if path:
        with open(path, "a") as file:
            file.write(line + "\n")
