"""Jobs that print, log and warn."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings

import queued

print("imported")


@queued.job
def speak(word: str) -> None:
    print(f"{word} out")
    print(f"{word} err", file=sys.stderr)
    logging.getLogger("shop.orders").info("%s log", word)
    warnings.warn(f"{word} warning", stacklevel=1)
    sys.stdout.write(f"{word} unfinished")


@queued.job
def speak_beneath(word: str) -> None:
    """Past `sys.stdout`: from C, from a program, from a plain write."""
    libc = ctypes.CDLL(None)
    libc.printf(f"{word} from C\n".encode())
    libc.fflush(None)
    subprocess.run(["sh", "-c", f"echo {word} from a program; echo {word} error of a program >&2"], check=True)
    os.write(1, f"{word} plain\n".encode())


@queued.job
def speak_in_thread(word: str) -> None:
    thread = threading.Thread(target=print, args=(f"{word} in a thread",))
    thread.start()
    thread.join()


@queued.job
def speak_in_process(word: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=print, args=(f"{word} in a process",))
    process.start()
    process.join()


@queued.job
def speak_badly() -> None:
    sys.stdout.buffer.write(b"bad \xff bytes\n")
    print("half a character \ud800")
    os.write(1, b"worse \xfe bytes\n")


@queued.job
def speak_long(length: int) -> None:
    print("x" * length)


@queued.job
def speak_much(lines: int) -> None:
    for number in range(lines):
        print(f"line {number} " + "." * 200)


@queued.job
def speak_much_beneath(size: int) -> None:
    """Write much from C code that keeps the interpreter's lock, so that no other thread gets a turn."""
    keeps_lock = ctypes.PyDLL(None)
    line = b"y" * 1023 + b"\n"
    for _ in range(size // 1024):
        keeps_lock.write(1, line, len(line))


@queued.job
def last_words(word: str) -> None:
    print(f"{word} printed")
    os.write(2, f"{word} written".encode())
    os._exit(9)
