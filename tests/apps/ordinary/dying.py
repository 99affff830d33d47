"""Jobs that end their process, or do not want to end at all."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time

import queued


@queued.job
def exit_at_once(status: int) -> None:
    os._exit(status)


@queued.job
def crash() -> None:
    ctypes.string_at(0)


@queued.job
def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@queued.job
def abort() -> None:
    os.abort()


@queued.job
def loop(started: str) -> None:
    _touch(started)
    while True:
        pass


@queued.job
def loop_deaf(started: str) -> None:
    """Swallows what is raised in it."""
    _touch(started)
    while True:
        try:
            while True:
                time.sleep(0.001)
        except BaseException:
            pass


@queued.job
def block_in_c(started: str) -> None:
    """One call that lasts, with the interpreter's lock released."""
    _touch(started)
    ctypes.CDLL(None).sleep(3600)


@queued.job
def block_in_c_with_lock(started: str) -> None:
    """One call that lasts, and no other thread gets a turn."""
    _touch(started)
    ctypes.PyDLL(None).sleep(3600)


@queued.job
def send_signals(path: str) -> None:
    """Send the process what asks a process to end, and live."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)
        time.sleep(0.01)
    _touch(path)


@queued.job
def start_program(pid_path: str, started: str) -> None:
    """Start a program that goes on, and wait for it."""
    process = subprocess.Popen(["sleep", "3600"])
    with open(pid_path, "w") as file:
        file.write(str(process.pid))
    _touch(started)
    process.wait()


@queued.job
def terminate_program(path: str) -> None:
    """A program that a job starts is ended by TERM as everywhere."""
    process = subprocess.Popen(["sleep", "3600"])
    process.terminate()
    status = process.wait(timeout=60)
    with open(path, "w") as file:
        file.write(str(status))


@queued.job
def fork_and_return() -> None:
    """Forget to end the process that was forked."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)


@queued.job
def list_descriptors(path: str) -> None:
    with open(path, "w") as file:
        for name in sorted(os.listdir("/proc/self/fd"), key=int):
            try:
                file.write(f"{name} {os.readlink(f'/proc/self/fd/{name}')}\n")
            except FileNotFoundError:
                pass


def _touch(path: str) -> None:
    with open(path, "w"):
        pass
