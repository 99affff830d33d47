"""Descriptors 1 and 2: what C code and child processes write, past `sys.stdout`.

The fork server makes a pipe for each and keeps the reading end beside the runner, so that the last words of a process
that died ("double free or corruption") are not lost with it.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import select
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import sleep

from .lines import Lines
from .output import Output

NAMES = {1: "stdout", 2: "stderr"}

#: Bytes that a pipe holds, so that a burst from C code that keeps the interpreter's lock finds room.
CAPACITY = 256 * 1024

#: Seconds that output rests in the pipe. What is read here and not passed on is lost when the process dies that moment, and it
#: is just then that it dies, if at all: what is still in the pipe is read by the fork server.
_REST = 0.005

#: Bytes read at once.
_CHUNK = 64 * 1024


class Pipe:
    """The reading end of one captured descriptor, and the lines that come out of it."""

    def __init__(self, stream: str, reader: int) -> None:
        self.stream = stream
        self.reader = reader
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._lines = Lines()

    def waiting(self) -> int:
        """Bytes that nobody has read."""
        return int(struct.unpack("i", fcntl.ioctl(self.reader, termios.FIONREAD, b"\0" * 4))[0])

    def read(self) -> list[str] | None:
        """The lines of one read that does not wait; None at the end of the file."""
        try:
            data = os.read(self.reader, _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            return None
        return self._lines.feed(None, self._decoder.decode(data))

    def finish(self) -> list[str]:
        """What was begun, as a line."""
        return self._lines.feed(None, self._decoder.decode(b"", final=True)) + self._lines.finish(None)

    def drain(self) -> Iterator[str]:
        """Everything that is there, to the last byte, without waiting."""
        while self.waiting():
            yield from self.read() or ()
        yield from self.finish()

    def close(self) -> None:
        """Close the reading end."""
        os.close(self.reader)


def make_pipes() -> tuple[list[Pipe], dict[int, int]]:
    """Two pipes: the reading ends, and the writing ends by the descriptor each is meant for."""
    pipes: list[Pipe] = []
    writers: dict[int, int] = {}
    for descriptor, name in NAMES.items():
        reader, writers[descriptor] = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        try:
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, CAPACITY)
        except OSError:
            pass  # over the user's limit; the kernel's own size serves
        pipes.append(Pipe(name, reader))
    return pipes, writers


def redirect(writers: dict[int, int]) -> None:
    """Make the writing ends descriptors 1 and 2 of this process."""
    for descriptor, writer in writers.items():
        os.dup2(writer, descriptor)
        os.close(writer)


class Glance:
    """Whether anything is there to be read, asked twice a job.

    Through `ctypes.PyDLL`, because `select.poll` lets go of the interpreter's lock: threads of short jobs would wake each other for
    nothing, at 3 µs a job. Where Python was built without libffi it always says yes, and the poll that follows knows.
    """

    _ENTRY = struct.Struct("ihh")  # a struct pollfd

    def __init__(self, readers: list[int]) -> None:
        self._readers = readers
        self._entries = bytearray(b"".join(self._ENTRY.pack(reader, select.POLLIN, 0) for reader in readers))
        try:
            import ctypes

            entries = (ctypes.c_char * len(self._entries)).from_buffer(self._entries)
            self.now: Callable[[], int] = partial(ctypes.PyDLL(None).poll, entries, ctypes.c_ulong(len(readers)), 0)
        except (ImportError, OSError, AttributeError):
            self.now = lambda: 1

    def forget(self, reader: int) -> None:
        """Nothing will come from there any more."""
        self._ENTRY.pack_into(self._entries, self._ENTRY.size * self._readers.index(reader), -1, 0, 0)


class Capture:
    """Reads the captured descriptors of a runner in a thread, and at the end of each job."""

    def __init__(self, pipes: list[Pipe], output: Output) -> None:
        self._pipes = {pipe.reader: pipe for pipe in pipes}
        self._output = output
        self._lock = threading.Lock()
        self._glance = Glance(list(self._pipes))
        # A poll object refuses to be polled by two threads at once, so each side has its own.
        self._thread_poll, self._job_poll = select.poll(), select.poll()
        for reader in self._pipes:
            self._thread_poll.register(reader, select.POLLIN)
            self._job_poll.register(reader, select.POLLIN)
        threading.Thread(target=self._run, name="queued-output", daemon=True).start()

    def settle(self) -> None:
        """Before the set of running jobs changes: what was written until now belongs to the only job, or to nobody."""
        if not self._glance.now():
            return
        with self._lock:
            for reader, event in self._job_poll.poll(0):
                if event & select.POLLIN:
                    pipe = self._pipes[reader]
                    job = self._output.sole_job()
                    for line in pipe.drain():
                        self._output.tell(job, pipe.stream, line)
                else:
                    self._job_poll.unregister(reader)
                    self._glance.forget(reader)

    def _run(self) -> None:
        open_ends = set(self._pipes)
        while open_ends:
            ready = self._thread_poll.poll()
            sleep(_REST)
            for reader, _ in ready:
                with self._lock:
                    pipe = self._pipes[reader]
                    lines = pipe.read()
                    if lines is None:
                        # A job closed the descriptor for good; nothing will come, and polling it would spin.
                        self._thread_poll.unregister(reader)
                        open_ends.discard(reader)
                    job = self._output.sole_job()
                    for line in lines or ():
                        self._output.tell(job, pipe.stream, line)
