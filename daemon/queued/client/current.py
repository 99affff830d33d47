"""The job that is running here: in this thread or this asyncio task."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queued.client.batches import CurrentBatch
    from queued.client.steps import Steps, StepsPort

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:  # Python 3.10 cannot subscript it
    _Adapter = logging.LoggerAdapter


class JobLogger(_Adapter):
    """A logger whose records carry `job_id` and `job_class`, beside the `extra` of each call."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


@dataclass(frozen=True)
class CurrentJob:
    """One attempt of a job, as the job's own code sees it.

    `id` stays the same through all attempts; `attempt` counts from 1. `enqueued_at` is an aware UTC moment by the database's
    clock. `logger` is named after the job and marks each record with its id.
    """

    id: int
    attempt: int
    class_name: str
    queue: str
    priority: int
    enqueued_at: datetime
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    #: The batch that it is a member or a callback of.
    batch: CurrentBatch | None = None

    @property
    def logger(self) -> JobLogger:
        """A logger that knows this job: every record has `job_id` and `job_class`."""
        return JobLogger(logging.getLogger(self.class_name), {"job_id": self.id, "job_class": self.class_name})


class Running:
    """What `queued` itself knows about the attempt: the job, its steps, and the jobs to be stored together with its end."""

    arguments: tuple[Sequence[Any], Mapping[str, Any]] = (), MappingProxyType({})
    context: Mapping[str, Any] = MappingProxyType({})
    batch: CurrentBatch | None = None
    _job: CurrentJob | None = None
    _steps: Steps | None = None

    def __init__(self, delivery: Mapping[str, Any], port: StepsPort | None = None) -> None:
        self.delivery = delivery
        self._port = port
        self.at_finish: list[dict[str, Any]] = []

    @property
    def job(self) -> CurrentJob:
        """The attempt as the job sees it; made when first asked for, for most jobs never ask."""
        if self._job is None:
            delivery, (args, kwargs) = self.delivery, self.arguments
            self._job = CurrentJob(
                id=delivery["id"],
                attempt=delivery["attempt"],
                class_name=delivery["class"],
                queue=delivery["queue"],
                priority=delivery["priority"],
                enqueued_at=datetime.fromtimestamp(delivery["enqueued_at"], timezone.utc),
                args=tuple(args),
                kwargs=MappingProxyType(kwargs),
                context=MappingProxyType(dict(self.context)),
                batch=self.batch,
            )
        return self._job

    @property
    def steps(self) -> Steps:
        """The steps of the attempt, with what earlier ones have stored."""
        if self._steps is None:
            from queued.client.steps import Steps  # most jobs have none

            delivery = self.delivery
            self._steps = Steps(delivery.get("steps"), (delivery["id"], delivery["lease"]), self._port)
        return self._steps

    @property
    def has_steps(self) -> bool:
        """Whether this attempt has used steps, or an earlier one has."""
        return self._steps is not None or self.delivery.get("steps") is not None


#: A context variable, so that each thread and each asyncio task sees its own job, and `asyncio.to_thread` takes it along.
running: ContextVar[Running | None] = ContextVar("queued_running", default=None)


def current_job() -> CurrentJob | None:
    """The job that is running in this thread or asyncio task; None outside a job.

    A thread that the job starts by itself does not know it, unless it runs in `contextvars.copy_context()`.
    """
    now = running.get()
    return None if now is None else now.job
