"""Lifecycle hooks: functions of the application that run when a part of the daemon starts, stops or has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

Hook = Callable[[dict[str, Any]], object]
H = TypeVar("H", bound=Hook)

#: Every event, in the order of its life. Those without an actor's name are the supervisor's.
EVENTS: tuple[str, ...] = tuple(
    f"{actor}{moment}" for actor in ("", "worker_", "dispatcher_", "scheduler_") for moment in ("start", "stop", "exit")
)
_hooks: dict[str, list[Hook]] = {event: [] for event in EVENTS}


def registered_events() -> list[str]:
    """The events for which the application registered a hook."""
    return [event for event in EVENTS if _hooks[event]]


def run_hooks(event: str, info: dict[str, Any]) -> None:
    """Run the hooks of `event`, first registered first. One that fails is logged and does not keep the others from running."""
    for hook in tuple(_hooks.get(event, ())):
        try:
            hook(dict(info))
        except Exception:
            name = getattr(hook, "__qualname__", repr(hook))
            logging.getLogger("queued").exception("the %s hook %s failed; the others still run", event, name)


def forget_hooks() -> None:
    """Forget every hook: for tests."""
    for hooks in _hooks.values():
        hooks.clear()


def _register(event: str, hook: H) -> H:
    if not callable(hook):
        raise TypeError(
            f"on_{event}: {hook!r} is no function; write @queued.on_{event} above a function of one argument"
        )
    _hooks[event].append(hook)
    return hook


def on_start(hook: H) -> H:
    """Run the function when the supervisor has started. It gets one dict: `kind`, `name`, `pid`, `hostname` and settings.

    Hooks run in the application's interpreter, one after the other. An exception in one is logged and stops neither the
    others nor the daemon. The same holds for every `on_…` of this family.
    """
    return _register("start", hook)


def on_stop(hook: H) -> H:
    """Run the function when the supervisor begins to stop. See `on_start`."""
    return _register("stop", hook)


def on_exit(hook: H) -> H:
    """Run the function when the supervisor is about to exit, everything else having stopped. See `on_start`."""
    return _register("exit", hook)


def on_worker_start(hook: H) -> H:
    """Run the function when a worker has started. See `on_start`."""
    return _register("worker_start", hook)


def on_worker_stop(hook: H) -> H:
    """Run the function when a worker begins to stop: jobs may still be running. See `on_start`."""
    return _register("worker_stop", hook)


def on_worker_exit(hook: H) -> H:
    """Run the function when a worker has let go of its jobs and is about to exit. See `on_start`."""
    return _register("worker_exit", hook)


def on_dispatcher_start(hook: H) -> H:
    """Run the function when a dispatcher has started. See `on_start`."""
    return _register("dispatcher_start", hook)


def on_dispatcher_stop(hook: H) -> H:
    """Run the function when a dispatcher begins to stop. See `on_start`."""
    return _register("dispatcher_stop", hook)


def on_dispatcher_exit(hook: H) -> H:
    """Run the function when a dispatcher is about to exit. See `on_start`."""
    return _register("dispatcher_exit", hook)


def on_scheduler_start(hook: H) -> H:
    """Run the function when the scheduler has started. See `on_start`."""
    return _register("scheduler_start", hook)


def on_scheduler_stop(hook: H) -> H:
    """Run the function when the scheduler begins to stop. See `on_start`."""
    return _register("scheduler_stop", hook)


def on_scheduler_exit(hook: H) -> H:
    """Run the function when the scheduler is about to exit. See `on_start`."""
    return _register("scheduler_exit", hook)
