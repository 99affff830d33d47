"""What the application says of jobs: it is loaded for the question alone, and ended with the answer."""

from __future__ import annotations

import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from queued.domain.jobs import NewJob, Stored
from queued.domain.settings import AppSettings
from queued.processes.application import ApplicationError, ForkServer
from queued.processes.applications import in_one_line
from queued.processes.inquiry import Inquiry
from queued.processes.worker import new_job


def unknown_jobs(app: AppSettings, names: Sequence[str], patience: float) -> dict[str, str]:
    """What is wrong with those of the names that are no jobs. Takes `patience` seconds at most.

    Raises ApplicationError when the application cannot be asked in that time.
    """
    deadline = time.monotonic() + patience
    with loaded(app, deadline, patience) as path:
        try:
            inquiry = Inquiry(path, {"t": "find", "names": list(names)}, "application")
        except OSError as error:
            raise ApplicationError(f"its fork server cannot be reached: {error.strerror or error}") from None
        try:
            while True:
                for frame in inquiry.turn():
                    if frame["t"] == "found":
                        return dict(frame["unknown"])
                if inquiry.end is not None:
                    raise ApplicationError(inquiry.end or "it gave no answer")
                _rest(inquiry.descriptors(), deadline, patience)
        finally:
            inquiry.close()


def enqueue(
    app: AppSettings, question: Mapping[str, Any], store: Callable[[Sequence[NewJob], bool], Stored], patience: float
) -> None:
    """Have the application enqueue a job as its own code would, with limits, keys and callbacks.

    `store` stores what it makes of it, and whatever else its callbacks enqueue: it is told whether this is the job asked for.
    `question` has `class`, `args` (JSON text), `queue` and `priority`. The process that answers has ended when this returns, so all
    callbacks have run. Raises ApplicationError when the application cannot be asked, or makes no job of it.
    """
    deadline = time.monotonic() + patience
    with loaded(app, deadline, patience) as path:
        try:
            inquiry = Inquiry(path, {"t": "run", **question}, "application")
        except OSError as error:
            raise ApplicationError(f"its fork server cannot be reached: {error.strerror or error}") from None
        try:
            while inquiry.end is None:
                for frame in inquiry.turn():
                    if frame["t"] == "unbound":
                        raise ApplicationError(frame["message"])
                    if frame["t"] == "enqueue" and frame.get("batches"):
                        inquiry.send(
                            {"t": "refused", "message": "a callback opens no batch where an operator enqueues"}
                        )
                    elif frame["t"] in {"bound", "enqueue"}:
                        jobs = [frame["job"]] if frame["t"] == "bound" else frame["jobs"]
                        stored = store([new_job(job) for job in jobs], frame["t"] == "bound")
                        notes = [list(note) for note in stored.notes.items()]
                        inquiry.send({"t": "stored", "ids": stored.ids, "notes": notes})
                _rest(inquiry.descriptors(), deadline, patience)
            if inquiry.end:
                raise ApplicationError(inquiry.end)
        finally:
            inquiry.close()


@contextmanager
def loaded(app: AppSettings, deadline: float, patience: float) -> Iterator[str]:
    """The path of the socket of a fork server that has loaded the application. It ends with the block, and with SIGTERM or SIGHUP.

    For the main thread of a process that has no other use for these signals.
    """
    with _ended_in_order():
        yield from _loaded(app, deadline, patience)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Unwind at a signal that would end the process on the spot: an application that is being imported sees nothing of our end."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loaded(app: AppSettings, deadline: float, patience: float) -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="queued-check-")
    server = ForkServer(app, directory, 1)
    try:
        server.start()
        while True:
            for frame in server.receive():
                if frame["t"] == "load_failed":
                    raise ApplicationError(in_one_line(frame["error"]))
                if frame["t"] == "loaded":
                    yield server.path
                    return
            _rest([] if server.at_end else [server.fileno()], deadline, patience)
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _rest(descriptors: Sequence[int], deadline: float, patience: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise ApplicationError(f"it took longer than {patience:g} s")
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(min(left, 0.2) * 1000)
