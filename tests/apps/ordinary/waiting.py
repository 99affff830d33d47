"""Async jobs."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextvars import ContextVar

import queued


@queued.job
async def nothing() -> None:
    pass


@queued.job
async def rest(seconds: float) -> None:
    await asyncio.sleep(seconds)


@queued.job
async def meet(directory: str, name: str, other: str) -> None:
    with open(os.path.join(directory, name), "w"):
        pass
    async with Limit(10):
        while not os.path.exists(os.path.join(directory, other)):
            await asyncio.sleep(0.002)


@queued.job
async def tidy(path: str, started: str) -> None:
    """Wait for ever in a child task, and write what was raised here and what became of the child."""
    child = asyncio.create_task(asyncio.sleep(3600))
    with open(started, "w"):
        pass
    try:
        await asyncio.wait_for(asyncio.gather(child), 3600)
    except BaseException as error:
        with open(path, "w") as file:
            names = sorted(kind.__name__ for kind in type(error).__mro__)
            file.write(f"{' '.join(names)} child-cancelled={child.cancelled()}")
        raise


@queued.job
async def which_loop(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{id(asyncio.get_running_loop())}\n")


@queued.job
async def fail(message: str) -> None:
    raise ValueError(message)


@queued.job
async def say(word: str, pause: float) -> None:
    print(f"{word} before")
    await asyncio.sleep(pause)
    print(f"{word} after")


@queued.job
async def enqueue(path: str) -> None:
    job = await nothing.aenqueue()
    with open(path, "w") as file:
        file.write(str(job.id))


@queued.job
async def block(seconds: float) -> None:
    """What an async job should not do: the loop stands still."""
    time.sleep(seconds)


class Limit:
    """`asyncio.timeout`, which Python 3.10 has not."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handle = asyncio.get_running_loop().call_later(self._seconds, task.cancel)

    async def __aexit__(self, *error: object) -> None:
        self._handle.cancel()


_seen: ContextVar[str] = ContextVar("seen", default="nothing")


@queued.job
async def remember(path: str) -> None:
    """Write what an earlier job left in the context, then leave something there."""
    with open(path, "a") as file:
        file.write(_seen.get() + "\n")
    _seen.set("something")


@queued.job
async def hurry() -> None:
    """Have every task of this loop started where it is made, from now on."""
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))


@queued.job
async def slack(path: str) -> None:
    """As that of `plain`, in the thread of the loop."""
    with open(path, "a") as file, open(f"/proc/{threading.get_native_id()}/timerslack_ns") as slack:
        file.write(slack.read())
