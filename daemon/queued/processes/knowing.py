"""Which names the application has jobs for: it is loaded for the question alone, and ended with the answer."""

from __future__ import annotations

import select
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from queued.domain.settings import AppSettings
from queued.processes.application import ApplicationError, ForkServer
from queued.processes.applications import in_one_line
from queued.processes.inquiry import Inquiry


def unknown_jobs(app: AppSettings, names: Sequence[str], patience: float) -> dict[str, str]:
    """What is wrong with those of the names that are no jobs. Takes `patience` seconds at most.

    Raises ApplicationError when the application cannot be asked in that time.
    """
    deadline = time.monotonic() + patience
    with _loaded(app, deadline, patience) as path:
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


@contextmanager
def _loaded(app: AppSettings, deadline: float, patience: float) -> Iterator[str]:
    """The path of the socket of a fork server that has loaded the application. It ends with the block."""
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
