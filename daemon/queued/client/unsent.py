"""A call of a job on its way to the database, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queued.client.jobs import Job


@dataclass(frozen=True)
class Options:
    """What `set` changes for the jobs made after it."""

    wait: float | None = None
    wait_until: datetime | None = None
    queue: str | Callable[..., str] | None = None
    priority: int | Callable[..., int] | None = None
    connection: Any = field(default=None, repr=False)
    at_finish: bool = False
    expires: float | None = None


NO_OPTIONS = Options()


@dataclass(slots=True)  # not frozen: that makes each of a batch of thousands cost three times as much
class UnsentJob:
    """A job with its arguments that is not stored yet: what `f.bind(…)` makes and `queued.enqueue_many` takes."""

    job: Job[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Options = NO_OPTIONS
    #: What goes with this job alone, beside the context: a trace's identity.
    carried: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    @property
    def class_name(self) -> str:
        """The name under which the job is stored."""
        return self.job.name


@dataclass(slots=True)
class EnqueuedJob:
    """What became of one enqueue.

    `id` is None when nothing is stored yet (`at_finish=True`) or at all: `aborted` when a `before_enqueue` callback raised
    `queued.Abort`, `error` when the job of an `enqueue_many` cannot be stored. An `id` together with an `error` is a job that is
    stored and whose `after_enqueue` callback failed. `discarded`: a limit with `on_conflict="discard"` had no free slot, so the
    job is kept as discarded and will not run; one stored in your own transaction on PostgreSQL is judged after the commit.
    `existing`: another job holds the unique key; `id` is that one's, and nothing was stored. `run_at` is an aware UTC moment,
    None for "at once"; with `wait=` the database's clock decides and this is an estimate by the local one.
    """

    id: int | None
    class_name: str
    queue: str
    priority: int
    run_at: datetime | None
    aborted: bool = False
    error: Exception | None = None
    discarded: bool = False
    existing: bool = False
    args: tuple[Any, ...] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
