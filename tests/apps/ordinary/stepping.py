"""Jobs with steps."""

from __future__ import annotations

import os
import time

import queued


@queued.job
def race(count: int) -> None:
    """Move on as fast as it goes."""
    with queued.step("race", start=0) as s:
        for number in range(s.cursor, count):
            s.advance(number + 1)


@queued.job
def pause(path: str) -> None:
    """Move on three times at once, then wait until the file is there."""
    with queued.step("pause", start=0) as s:
        for _ in range(3):
            s.advance(s.cursor + 1)
        wait_for(path)
        raise ValueError("after the pause")


@queued.job
def stroll(path: str) -> None:
    """Say that it has begun; move on for ever, a little at a time."""
    with queued.step("stroll", start=0) as s:
        while True:
            s.advance(s.cursor + 1)
            if s.cursor == 2:
                with open(path, "w"):
                    pass
            time.sleep(0.005)


@queued.job
async def astroll(path: str) -> None:
    """The same in one asyncio task, which never lets go of the loop for long."""
    import asyncio

    async with queued.step("stroll", start=0) as s:
        while True:
            s.advance(s.cursor + 1)
            if s.cursor == 2:
                with open(path, "w"):
                    pass
            await asyncio.sleep(0.005)


@queued.job
def ask(path: str) -> None:
    """Write a line when its checkpoint is stored, and what is raised if it is not."""
    try:
        with queued.step("ask", start=0) as s:
            s.set(s.cursor + 1)
            s.checkpoint()
            write(path, "stored")
    except BaseException as error:
        write(path, f"{type(error).__module__}.{type(error).__name__}: {error}")
        raise


@queued.job
def tell(path: str) -> None:
    """Tell progress, without any step."""
    queued.progress(1, 4, "one")
    wait_for(path)
    queued.progress(2, 4, "two")


@queued.job
def forked(path: str) -> None:
    """Move on in a child process, where nobody listens."""
    with queued.step("forked", start=0) as s:
        place = s.cursor
        child = os.fork()
        if child == 0:
            s.advance(place + 1)
            try:
                s.checkpoint()
            except Exception as error:
                write(path, str(error))
            os._exit(0)
        os.waitpid(child, 0)


def wait_for(path: str) -> None:
    """Wait until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.002)


def write(path: str, line: str) -> None:
    """Add a line to the file."""
    with open(path, "a") as file:
        file.write(line + "\n")
