"""The jobs that run a `command` or a `shell` program of a recurring task in the application's interpreter."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO

from queued.client.jobs import job
from queued.domain.errors import JobFailed
from queued.domain.jobs import SHELL
from queued.domain.recurring import COMMAND

#: Seconds between two looks at a silent program: so soon an exception that was raised into the job is noticed.
GLANCE = 0.1
#: Seconds that a program has to end by itself once it was told to.
TERMINATION = 1.0
#: Seconds for which output is read after the program's end, when something that it started holds on to it.
AFTERMATH = 1.0
#: Longest line that is kept together, bytes.
LONGEST_LINE = 64 * 1024
#: Characters of a program that a traceback shows.
LONGEST_PLACE = 100


class ProgramFailed(JobFailed):
    """A program of a recurring task ended with another status than 0, or by a signal."""


@job(name=COMMAND)
def command(source: str) -> None:
    """Run Python source, as a module of its own would be."""
    exec(compile(source, _place("command", source), "exec"), {"__name__": "__queued_command__"})


@job(name=SHELL)
def shell(program: str | list[str]) -> None:
    """Run a program, a text by /bin/sh; its output is the job's, line by line. Raises `ProgramFailed`.

    When the job is ended early, by its timeout or by somebody, the program and what it has started are ended with it.
    """
    process = subprocess.Popen(
        program,
        shell=isinstance(program, str),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    last = {sys.stdout: "", sys.stderr: ""}
    try:
        for line, stream in _lines(process):
            print(line, file=stream, flush=True)
            last[stream] = line if line.strip() else last[stream]
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    if status:
        how = f"ended by {_signal(-status)}" if status < 0 else f"exited with status {status}"
        words = last[sys.stderr] or last[sys.stdout]
        failed = ProgramFailed(f"the program {how}{f': {words}' if words else ''}")
        # As if raised in the program, so that the traceback names it, and failures of different programs are told apart by it.
        exec(compile("raise failed", _place("shell", program), "exec"), {"failed": failed})


def _place(kind: str, source: str | list[str]) -> str:
    """What a traceback calls a program: its beginning, on one line, without the quotes that end a file's name there."""
    text = " ".join((source if isinstance(source, str) else " ".join(source)).replace('"', "'").split())
    return f"<{kind}: {text if len(text) <= LONGEST_PLACE else text[: LONGEST_PLACE - 1] + '…'}>"


def _lines(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, IO[str]]]:
    """Each line of output as it comes, and the stream that it belongs to."""
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector, process.stdout, process.stderr:
        begun: dict[int, bytes] = {}
        for pipe, stream in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            selector.register(pipe, selectors.EVENT_READ, stream)
            begun[pipe.fileno()] = b""
        ended_at: float | None = None
        while selector.get_map():
            for key, _ in selector.select(GLANCE):
                data = os.read(key.fd, 65536)
                *whole, begun[key.fd] = (begun[key.fd] + data).split(b"\n")
                if not data or len(begun[key.fd]) > LONGEST_LINE:
                    whole += [begun[key.fd]] if begun[key.fd] else []
                    begun[key.fd] = b""
                if not data:
                    selector.unregister(key.fileobj)
                for line in whole:
                    yield line.decode(errors="replace"), key.data
            if process.poll() is not None:
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > AFTERMATH:
                    return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its descendants: asked first, then killed.

    They are not in a process group of their own: a runner that is killed must take them with it.
    """
    family = [process.pid, *_descendants(process.pid)] if process.poll() is None else []
    _send(family, signal.SIGTERM)
    try:
        process.wait(TERMINATION if family else 0)
    except subprocess.TimeoutExpired:
        pass
    _send(family if process.poll() is None else family[1:], signal.SIGKILL)
    process.wait()


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _descendants(pid: int) -> list[int]:
    """What a process has started, and what that has started."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    children.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(entry))
            except OSError:
                continue
    found, new = [], [pid]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        found += new
    return found


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
