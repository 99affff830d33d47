"""What a job prints, logs and warns, as lines tagged with the job.

`sys.stdout` and `sys.stderr` are replaced before the application is imported, so that whatever keeps a reference to them keeps
ours. Where the lines go is changed as the process changes: over `control` while the application is imported, over the
runner's channel later, to the plain descriptors in a process that a job forks.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .lines import Lines

#: The job that this thread or task runs.
current_job: ContextVar[int | None] = ContextVar("queued_job", default=None)

#: Takes one line as a `log` frame. Must not wait and must not raise.
Sink = Callable[[dict[str, Any]], None]


class Output:
    """The one place through which every line of this process goes."""

    def __init__(self, sink: Sink | None) -> None:
        #: None: lines are not told apart but written to the descriptors as they come.
        self.sink = sink
        #: The jobs that run at this moment, by slot.
        self.running: dict[int, int] = {}
        self.stdout = Stream(self, "stdout", 1)
        self.stderr = Stream(self, "stderr", 2)

    def install(self) -> None:
        """Put our streams in the place of the process's own."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout = sys.__stdout__ = self.stdout  # type: ignore[misc, assignment]
        sys.stderr = sys.__stderr__ = self.stderr  # type: ignore[misc, assignment]

    def install_logging(self) -> None:
        """Give the root logger a handler, at INFO, if the application has configured none."""
        root = logging.getLogger()
        if root.handlers:
            return
        root.addHandler(LogHandler(self))
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)

    def job(self) -> int | None:
        """The job that speaks: this context's own, else the only one that runs, else nobody can tell."""
        job = current_job.get()
        return job if job is not None else self.sole_job()

    def sole_job(self) -> int | None:
        """The job that runs, when it is exactly one."""
        running = self.running
        if len(running) != 1:
            return None
        try:
            return next(iter(running.values()))
        except (StopIteration, RuntimeError):  # it ended this very moment, in another thread
            return None

    def finish_job(self, job: int) -> None:
        """The job has ended: what it began to write and did not end is a line too."""
        self.stdout.finish_job(job)
        self.stderr.finish_job(job)

    def tell(
        self, job: int | None, stream: str, line: str, level: str | None = None, logger: str | None = None
    ) -> None:
        """Pass one line on."""
        sink = self.sink
        if sink is None:
            _write(2 if stream == "stderr" else 1, (line + "\n").encode("utf-8", "backslashreplace"))
            return
        if level is None:
            level = "WARNING" if stream == "stderr" else "INFO"
        if not line.isascii():
            line = line.encode("utf-8", "backslashreplace").decode("utf-8")
        sink({"t": "log", "id": job, "stream": stream, "level": level, "logger": logger, "line": line})


class Stream(io.TextIOBase):
    """A text stream whose lines go to an `Output`. `buffer` takes bytes, as programs expect of `sys.stdout`."""

    def __init__(self, output: Output, name: str, descriptor: int) -> None:
        self._output = output
        self._descriptor = descriptor
        self._lines = Lines()
        # Re-entrant: a finalizer that prints may run in the middle of a print.
        self._lock = threading.RLock()
        self.name = f"<{name}>"
        self.stream = name
        self.mode = "w"
        self.buffer = Bytes(self)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    @property
    def line_buffering(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._descriptor

    def reconfigure(self, **options: Any) -> None:
        """Accepted, without effect: the daemon's log has one encoding and is never buffered."""

    def close(self) -> None:
        """Without effect: the stream is the process's, not the caller's."""

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._output.sink is None:
            _write(self._descriptor, text.encode("utf-8", "backslashreplace"))
            return len(text)
        job = self._output.job()
        with self._lock:
            lines = self._lines.feed(job, text)
        for line in lines:
            self._output.tell(job, self.stream, line)
        return len(text)

    def finish_job(self, job: int | None) -> None:
        """Pass on what the job began and did not end."""
        if self._lines.begun:
            with self._lock:
                lines = self._lines.finish(job)
            for line in lines:
                self._output.tell(job, self.stream, line)

    def renew_lock(self) -> None:
        """After a fork, when the thread that held the lock may be gone."""
        self._lock = threading.RLock()
        self._lines = Lines()


class Bytes(io.BufferedIOBase):
    """The binary side of a `Stream`."""

    def __init__(self, text: Stream) -> None:
        self._text = text
        self.name = text.name
        self.mode = "wb"

    @property
    def raw(self) -> io.RawIOBase:
        return self  # type: ignore[return-value]

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._text.fileno()

    def close(self) -> None:
        """Without effect, as on the text side."""

    def write(self, data: Any, /) -> int:
        plain = bytes(data)
        self._text.write(plain.decode("utf-8", "backslashreplace"))
        return len(plain)


class LogHandler(logging.Handler):
    """Sends the records of `logging`, each line of a message as a line, with level and logger."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            job = self._output.job()
            lines = Lines()
            for line in lines.feed(None, text) + lines.finish(None):
                self._output.tell(job, "log", line, record.levelname, record.name)
        except Exception:
            self.handleError(record)


def _write(descriptor: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        pass  # nobody reads there, and a print must not fail for that
