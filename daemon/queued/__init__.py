"""Durable background jobs and recurring tasks, with no broker: only the database.

    import queued

    @queued.job(queue="mail", retry_on=ConnectionError)
    def welcome(user_id: int) -> None:
        ...

    welcome.enqueue(17)                     # stored; the daemon runs it
    welcome.set(wait=3600).enqueue(17)      # in an hour
    welcome(17)                             # here and now

The database is the one of `queued.configure(url)`, of `QUEUED_DATABASE_URL`, or of the file that `QUEUED_CONFIG` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from queued.client.after_commit import enqueue_after_commit as enqueue_after_commit
    from queued.client.batches import Batch as Batch
    from queued.client.batches import CurrentBatch as CurrentBatch
    from queued.client.batches import batch as batch
    from queued.client.callbacks import Abort as Abort
    from queued.client.callbacks import everywhere as _everywhere
    from queued.client.context import context as context
    from queued.client.context import current_context as current_context
    from queued.client.context import set_context as set_context
    from queued.client.converters import register_converter as register_converter
    from queued.client.current import CurrentJob as CurrentJob
    from queued.client.current import current_job as current_job
    from queued.client.hooks import on_dispatcher_exit as on_dispatcher_exit
    from queued.client.hooks import on_dispatcher_start as on_dispatcher_start
    from queued.client.hooks import on_dispatcher_stop as on_dispatcher_stop
    from queued.client.hooks import on_exit as on_exit
    from queued.client.hooks import on_scheduler_exit as on_scheduler_exit
    from queued.client.hooks import on_scheduler_start as on_scheduler_start
    from queued.client.hooks import on_scheduler_stop as on_scheduler_stop
    from queued.client.hooks import on_start as on_start
    from queued.client.hooks import on_stop as on_stop
    from queued.client.hooks import on_worker_exit as on_worker_exit
    from queued.client.hooks import on_worker_start as on_worker_start
    from queued.client.hooks import on_worker_stop as on_worker_stop
    from queued.client.interrupts import JobInterrupted as JobInterrupted
    from queued.client.jobs import Job as Job
    from queued.client.jobs import job as job
    from queued.client.limiting import ConcurrencyLimit as ConcurrencyLimit
    from queued.client.limiting import RateLimit as RateLimit
    from queued.client.limiting import UniqueJob as UniqueJob
    from queued.client.limiting import limits_concurrency as limits_concurrency
    from queued.client.limiting import rate_limit as rate_limit
    from queued.client.limiting import unique as unique
    from queued.client.policies import discard_on as discard_on
    from queued.client.policies import retry_on as retry_on
    from queued.client.programs import ProgramFailed as ProgramFailed
    from queued.client.recurring import pause_recurring_task as pause_recurring_task
    from queued.client.recurring import resume_recurring_task as resume_recurring_task
    from queued.client.recurring import run_recurring_task as run_recurring_task
    from queued.client.recurring import schedule_recurring_task as schedule_recurring_task
    from queued.client.recurring import unschedule_recurring_task as unschedule_recurring_task
    from queued.client.recurring import update_recurring_task as update_recurring_task
    from queued.client.route import configure as configure
    from queued.client.sending import aenqueue_many as aenqueue_many
    from queued.client.sending import enqueue_many as enqueue_many
    from queued.client.step import Step as Step
    from queued.client.step import progress as progress
    from queued.client.step import step as step
    from queued.client.tracing import trace as trace
    from queued.client.unsent import EnqueuedJob as EnqueuedJob
    from queued.client.unsent import UnsentJob as UnsentJob
    from queued.domain.errors import ArgumentError as ArgumentError
    from queued.domain.errors import BatchFinished as BatchFinished
    from queued.domain.errors import ConfigurationError as ConfigurationError
    from queued.domain.errors import DatabaseError as DatabaseError
    from queued.domain.errors import DatabaseMisconfigured as DatabaseMisconfigured
    from queued.domain.errors import DatabaseUnavailable as DatabaseUnavailable
    from queued.domain.errors import EnqueueError as EnqueueError
    from queued.domain.errors import JobCancelled as JobCancelled
    from queued.domain.errors import JobCrashed as JobCrashed
    from queued.domain.errors import JobFailed as JobFailed
    from queued.domain.errors import JobTimedOut as JobTimedOut
    from queued.domain.errors import NotAllowed as NotAllowed
    from queued.domain.errors import NotUnique as NotUnique
    from queued.domain.errors import QueuedError as QueuedError
    from queued.domain.errors import SchemaTooNew as SchemaTooNew
    from queued.domain.errors import StepError as StepError
    from queued.domain.errors import StepsChanged as StepsChanged
    from queued.domain.errors import UnknownId as UnknownId
    from queued.domain.errors import UnknownJob as UnknownJob

    after_discard = _everywhere.after_discard
    after_enqueue = _everywhere.after_enqueue
    after_perform = _everywhere.after_perform
    around_enqueue = _everywhere.around_enqueue
    around_perform = _everywhere.around_perform
    before_enqueue = _everywhere.before_enqueue
    before_perform = _everywhere.before_perform

#: Where the public names live. They are loaded when first used: `import queued` costs next to nothing, and the daemon, which
#: lives in this package too, never loads the client. After a colon: the object in that module that has the name.
_NAMES: dict[str, str] = {
    "queued.client.after_commit": "enqueue_after_commit",
    "queued.client.batches": "Batch CurrentBatch batch",
    "queued.client.callbacks": "Abort",
    "queued.client.callbacks:everywhere": (
        "after_discard after_enqueue after_perform around_enqueue around_perform before_enqueue before_perform"
    ),
    "queued.client.context": "context current_context set_context",
    "queued.client.converters": "register_converter",
    "queued.client.current": "CurrentJob current_job",
    "queued.client.hooks": (
        "on_start on_stop on_exit on_worker_start on_worker_stop on_worker_exit "
        "on_dispatcher_start on_dispatcher_stop on_dispatcher_exit on_scheduler_start on_scheduler_stop on_scheduler_exit"
    ),
    "queued.client.interrupts": "JobInterrupted",
    "queued.client.jobs": "Job job",
    "queued.client.limiting": "ConcurrencyLimit RateLimit UniqueJob limits_concurrency rate_limit unique",
    "queued.client.policies": "discard_on retry_on",
    "queued.client.programs": "ProgramFailed",
    "queued.client.recurring": (
        "pause_recurring_task resume_recurring_task run_recurring_task schedule_recurring_task unschedule_recurring_task "
        "update_recurring_task"
    ),
    "queued.client.route": "configure",
    "queued.client.sending": "aenqueue_many enqueue_many",
    "queued.client.step": "Step progress step",
    "queued.client.tracing": "trace",
    "queued.client.unsent": "EnqueuedJob UnsentJob",
    "queued.domain.errors": (
        "ArgumentError BatchFinished ConfigurationError DatabaseError DatabaseMisconfigured DatabaseUnavailable EnqueueError "
        "JobCancelled JobCrashed JobFailed JobTimedOut NotAllowed NotUnique QueuedError SchemaTooNew StepError StepsChanged "
        "UnknownId UnknownJob"
    ),
}
_PLACES = {name: place for place, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_PLACES]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        place = _PLACES.get(name)
        if place is None:
            raise AttributeError(f"module 'queued' has no attribute {name!r}")
        from importlib import import_module

        module, _, within = place.partition(":")
        found = import_module(module)
        value = getattr(getattr(found, within) if within else found, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PLACES})
