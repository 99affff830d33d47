"""What the runner asks of the client. The contract is §4.5 of the design document; a change of it changes `PROTOCOL`.

The runner raises `soft_exception(reason)` inside a job that must end: in its thread, or in its coroutine.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import queued
from queued.client import hooks, registry, route
from queued.client.attempt import Attempt, call_here
from queued.client.hooks import run_hooks as run_hooks
from queued.client.interrupts import soft_exception as soft_exception
from queued.client.runs import asks
from queued.client.runs import enqueue_run as enqueue_run
from queued.client.runs import unknown as unknown
from queued.domain.errors import UnknownJob

#: Version of this interface; the runner refuses one it does not know.
PROTOCOL = 2


def load(modules: Sequence[str]) -> None:
    """Import the application's modules, in order. Whatever they raise passes through."""
    for module in ("queued.client.programs", *modules):
        importlib.import_module(module)


def manifest() -> dict[str, Any]:
    """What the application declared: its jobs with their options, the lifecycle events it has hooks for, our version.

    `queue` and `priority` are None where a function of the arguments decides. `asks` is true where an enqueue depends on more than
    these, so that a scheduler has to have it made here.
    """
    return {
        "jobs": {
            name: {
                "queue": None if callable(job.queue) else job.queue,
                "priority": None if callable(job.priority) else job.priority,
                "timeout": job.timeout,
                "async": job.is_async,
                "asks": asks(job),
            }
            for name, job in registry.registered().items()
        },
        "hooks": hooks.registered_events(),
        "version": queued.__version__,
    }


def is_coroutine(class_name: str) -> bool:
    """Whether the job of that name is an `async def`; an unknown job is not."""
    try:
        return registry.find(class_name).is_async
    except UnknownJob:
        return False


def perform(delivery: Mapping[str, Any], port: route.Port) -> dict[str, Any]:
    """Run one attempt in this thread and return its outcome. An async job gets an event loop for itself.

    Nothing the job does escapes: not an unknown name, arguments that cannot be read, `sys.exit`, or want of memory.
    """
    route.bind_port(port)
    attempt = Attempt(delivery, port)
    try:
        with attempt:
            call_here(attempt.opened())
            attempt.returned()
    except BaseException as error:  # raised into this thread while the end was being written down
        attempt.conclude(error)
    assert attempt.outcome is not None
    return attempt.outcome


async def aperform(delivery: Mapping[str, Any], port: route.Port) -> dict[str, Any]:
    """Run one attempt in this asyncio task and return its outcome. See `perform`."""
    route.bind_port(port)
    attempt = Attempt(delivery, port)
    try:
        with attempt:
            result = attempt.opened()()
            if inspect.iscoroutine(result):
                await result
            attempt.returned()
    except BaseException as error:
        attempt.conclude(error)
    assert attempt.outcome is not None
    return attempt.outcome
