"""A run of a schedule, enqueued in the application as its own code would: with limits, keys, context and callbacks."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from queued.client import registry, route, sending
from queued.client.arguments import decode_call
from queued.client.callbacks import Point, coming_out
from queued.client.context import current_context
from queued.client.jobs import Job
from queued.client.route import Port, Receipts
from queued.domain.errors import EnqueueError, UnknownJob

#: Where callbacks take part in an enqueue.
POINTS: tuple[Point, ...] = ("before_enqueue", "around_enqueue", "after_enqueue")


class RunPort(Port, Protocol):
    """The way to the scheduler, which stores the job together with the run."""

    def bound(self, job: dict[str, Any]) -> dict[str, Any]:
        """Have the job stored; its `ids` and `notes`, as of `enqueue`. Raises `EnqueueError` when it is not to be, after all."""

    def unbound(self, why: str, message: str) -> None:
        """Say that this run has no job: `aborted` by a callback, `failed`, or the job is `unknown` here."""


def asks(job: Job[..., Any]) -> bool:
    """Whether only the application can say what an enqueue of this job stores."""
    return bool(
        job.limits
        or job.unique is not None
        or job.rate is not None
        or job.expires is not None
        or callable(job.queue)
        or callable(job.priority)
        or any(coming_out(point, job) for point in POINTS)
        or current_context()
    )


def enqueue_run(run: Mapping[str, Any], port: RunPort) -> None:
    """Enqueue the job of a run; what becomes of it is said to the port. Never raises, whatever the application's code does."""
    route.bind_port(port)
    try:
        job = registry.find(run["class"])
        args, kwargs = decode_call(run["args"])
        batch = sending.Batch([job.set(queue=run.get("queue"), priority=run.get("priority")).bind(*args, **kwargs)])
        with batch:
            jobs = batch.to_store()
            if jobs:
                answer = _store(port, jobs[0])
                batch.stored(Receipts(answer["ids"], dict(answer.get("notes") or ())))
        (handle,) = batch.handles()
    except _NotStored:
        return
    except UnknownJob as error:
        port.unbound("unknown", str(error))
        return
    except BaseException as error:
        port.unbound("failed", _text(error))
        return
    if handle.aborted:
        port.unbound("aborted", "an enqueue callback said no")
    elif handle.error is not None and not jobs:
        port.unbound("failed", _text(handle.error))
    elif handle.error is not None and handle.id is not None:
        print(f"job {handle.id} is stored, and its after_enqueue callback failed:", file=sys.stderr)
        traceback.print_exception(handle.error)


def unknown(names: Sequence[str]) -> dict[str, str]:
    """What is wrong with those of the names that are no jobs, with near names."""
    found = {}
    for name in names:
        try:
            registry.find(name)
        except UnknownJob as error:
            found[name] = str(error)
    return found


class _NotStored(EnqueueError):
    """The scheduler did not store the job: another run has taken its place, or the task was changed meanwhile."""


def _store(port: RunPort, job: Any) -> dict[str, Any]:
    try:
        return port.bound(route.as_frame(job))
    except EnqueueError as error:
        raise _NotStored(str(error)) from error


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
