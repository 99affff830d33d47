"""A job: a function that can be called here and now, or stored to run elsewhere and later."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from difflib import get_close_matches
from math import isfinite
from typing import Any, Generic, ParamSpec, TypeVar, overload

from queued.client import registry, sending
from queued.client.callbacks import Callbacks
from queued.client.limiting import Limits, RateLimit, UniqueJob, declared
from queued.client.names import path_of, why_unreachable
from queued.client.policies import Declarations, policies_of
from queued.client.unsent import NO_OPTIONS, EnqueuedJob, UnsentJob
from queued.domain.errors import ConfigurationError, EnqueueError
from queued.domain.jobs import DEFAULT_PRIORITY, DEFAULT_QUEUE

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
F = TypeVar("F")

#: Farthest a job can be put off, seconds: a hundred years. Beyond lie moments that databases cannot name.
MAX_WAIT = 100 * 365 * 86400.0
#: Options of `enqueue` that are not arguments of the job, unless its function has a parameter of that name.
_OPTIONS = ("connection", "at_finish")


class Job(Callbacks, Generic[P, R]):
    """A function made a job by `@queued.job`.

    Calling it calls the function, here and now, without callbacks, retries or `current_job()`. `enqueue` stores it. Type checkers
    know the arguments of both, of `aenqueue` and of `bind`. The decorators `before_enqueue`, `around_enqueue`,
    `after_enqueue`, `before_perform`, `around_perform`, `after_perform` and `after_discard` register callbacks of this job.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        queue: str | Callable[..., str] = DEFAULT_QUEUE,
        priority: int | Callable[..., int] = DEFAULT_PRIORITY,
        name: str | None = None,
        retry_on: Declarations | None = None,
        discard_on: Declarations | None = None,
        timeout: float | timedelta | None = None,
        limits: Limits | None = None,
        unique: UniqueJob | None = None,
        expires: float | timedelta | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        super().__init__()
        if not inspect.isfunction(function):
            raise TypeError(f"@queued.job goes above a function (def or async def), not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"the job {function.__qualname__} is a generator: calling it runs nothing; write return for yield"
            )
        functools.update_wrapper(self, function)
        self.function: Callable[P, R] = function
        self.name = sending.checked_name(name if name is not None else path_of(function), "name")
        self.queue = queue if callable(queue) else sending.checked_name(queue, "queue")
        self.priority = priority if callable(priority) else sending.checked_priority(priority)
        self.timeout = _timeout(timeout, "timeout")
        self.expires = _timeout(expires, "expires")
        self.limits = declared(limits)
        if unique is not None and not isinstance(unique, UniqueJob):
            raise ConfigurationError(f"unique={unique!r} says too little; write queued.unique(…)")
        self.unique = unique
        if rate is not None and not isinstance(rate, RateLimit):
            raise ConfigurationError(f"rate={rate!r} says too little; write queued.rate_limit(…)")
        self.rate = rate
        self.policies = policies_of(retry_on, discard_on)
        self.is_async = inspect.iscoroutinefunction(function)
        self.options = NO_OPTIONS
        self.unreachable = None if name is not None else why_unreachable(function)
        self._signature = inspect.signature(function)
        self._positional = _positional(self._signature)
        self._reserved = tuple(option for option in _OPTIONS if option not in self._signature.parameters)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<queued.job {self.name}>"

    def set(
        self,
        *,
        wait: float | timedelta | None = None,
        wait_until: datetime | None = None,
        queue: str | Callable[..., str] | None = None,
        priority: int | Callable[..., int] | None = None,
        connection: Any = None,
        at_finish: bool | None = None,
        expires: float | timedelta | None = None,
    ) -> Job[P, R]:
        """The same job with other options; the job itself stays as it is.

        `wait`: seconds or a `timedelta` from now, by the database's clock; zero or less is at once. `wait_until`: an aware
        moment. `queue`, `priority` (smaller runs first): a value, or a function of the job's arguments. `connection`: store in that
        connection's open transaction. `at_finish`: store together with the end of the job that is running here, and only if it ends
        well. `expires`: seconds or a `timedelta` after it is due in which the job must have started for the first time, in place of
        what its declaration says. Options not given keep what an earlier `set` gave. Raises `EnqueueError`.
        """
        other = copy.copy(self)
        changes: dict[str, Any] = {}
        if wait is not None or wait_until is not None:
            if wait is not None and wait_until is not None:
                raise EnqueueError("set(wait=…, wait_until=…): give one of the two")
            changes.update(wait=_wait(wait), wait_until=_moment(wait_until))
        if queue is not None:
            changes["queue"] = queue if callable(queue) else sending.checked_name(queue, "queue")
        if priority is not None:
            changes["priority"] = priority if callable(priority) else sending.checked_priority(priority)
        if connection is not None:
            changes["connection"] = connection
        if at_finish is not None:
            changes["at_finish"] = at_finish
        if expires is not None:
            changes["expires"] = _timeout(expires, "expires")
        other.options = replace(self.options, **changes)
        return other

    @overload
    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob: ...
    @overload
    def enqueue(self, *args: Any, connection: Any, **kwargs: Any) -> EnqueuedJob: ...
    @overload
    def enqueue(self, *args: Any, at_finish: bool, **kwargs: Any) -> EnqueuedJob: ...
    def enqueue(self, *args: Any, **kwargs: Any) -> EnqueuedJob:
        """Store the job, to run it with these arguments; when this returns, it is durable.

        With `connection=` it is stored in that connection's open transaction: durable once that commits, gone if it rolls back. It
        may be a psycopg 3, sqlite3, SQLAlchemy or Django connection, or a SQLAlchemy session. `at_finish=True`: see `set`. With
        these options among the arguments type checkers do not check the others; after `f.set(connection=c)` they do.

        Inside a job the worker stores it, so the application needs neither driver nor credentials there. Raises `TypeError`
        for arguments that the function does not take, `ArgumentError` for one that cannot be stored (nothing is sent to the
        database then), `EnqueueError`, and `DatabaseError` with its kinds.
        """
        return sending.enqueue_one(self._bound(args, kwargs))

    @overload
    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob: ...
    @overload
    async def aenqueue(self, *args: Any, connection: Any, **kwargs: Any) -> EnqueuedJob: ...
    @overload
    async def aenqueue(self, *args: Any, at_finish: bool, **kwargs: Any) -> EnqueuedJob: ...
    async def aenqueue(self, *args: Any, **kwargs: Any) -> EnqueuedJob:
        """As `enqueue`, for asyncio code: the database is spoken to in a thread, and the event loop goes on.

        `connection=` may also be a psycopg `AsyncConnection`, or a SQLAlchemy `AsyncConnection` or `AsyncSession` on psycopg.
        Callbacks run in the event loop's thread.
        """
        return await sending.aenqueue_one(self._bound(args, kwargs))

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> UnsentJob:
        """The job with these arguments, not stored: for `queued.enqueue_many`. Raises `TypeError` for wrong arguments."""
        self._check(args, kwargs)
        return UnsentJob(self, args, kwargs, self.options)

    def _check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        # The usual call needs a comparison and not the 3 µs of a full check.
        if kwargs or len(args) not in self._positional:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}{self._signature}: {error}") from None

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> UnsentJob:
        changes = {option: kwargs.pop(option) for option in self._reserved if option in kwargs}
        self._check(args, kwargs)
        return UnsentJob(self, args, kwargs, replace(self.options, **changes) if changes else self.options)


@overload
def job(function: Callable[P, R], /) -> Job[P, R]: ...
@overload
def job(
    *,
    queue: str | Callable[..., str] = DEFAULT_QUEUE,
    priority: int | Callable[..., int] = DEFAULT_PRIORITY,
    name: str | None = None,
    retry_on: Declarations | None = None,
    discard_on: Declarations | None = None,
    timeout: float | timedelta | None = None,
    limits: Limits | None = None,
    unique: UniqueJob | None = None,
    expires: float | timedelta | None = None,
    rate: RateLimit | None = None,
) -> Callable[[Callable[P, R]], Job[P, R]]: ...
def job(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a job: `@queued.job`, or `@queued.job(queue="mail", …)`, above a `def` or an `async def`.

    `queue`, `priority` (smaller runs first, 32 bits): a value, or a function of the job's arguments. `name`: what is stored to find
    the function again, `module.function` unless given; keep it when the function moves. `retry_on`, `discard_on`: error
    classes or declarations (`queued.retry_on`, `queued.discard_on`), one or a list. `timeout`: seconds or a `timedelta` that one
    attempt may take; then `queued.JobTimedOut` is raised in it, and soon after its process is killed. `expires`: seconds or a
    `timedelta` after it is due in which the job must have started for the first time; else it is discarded. `limits`: what
    `queued.limits_concurrency(…)` made, one or a list; `unique`: what `queued.unique(…)`; `rate`: what `queued.rate_limit(…)`.

    The daemon runs a job at least once, in another process: its function must be importable there, so it stands at the top level
    of a module. Raises `ConfigurationError` for options that cannot be and for a name that another function has, `TypeError`
    for an option that there is none of.
    """
    known = tuple(Job.__init__.__kwdefaults__ or ())
    for option in options:
        if option not in known:
            raise TypeError(_no_option(option, known))

    def declare(function: Callable[..., Any]) -> Job[..., Any]:
        try:
            made: Job[..., Any] = Job(function, **options)
        except EnqueueError as error:
            raise ConfigurationError(
                f"@queued.job above {getattr(function, '__qualname__', function)}: {error}"
            ) from None
        registry.register(made)
        return made

    return declare if function is None else declare(function)


def _no_option(option: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(option, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"@queued.job has no option {option!r}; {hint}"


def _positional(signature: inspect.Signature) -> range:
    """How many arguments a call without keywords may surely have."""
    parameters = signature.parameters.values()
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return range(0)
    return range(sum(p.default is p.empty for p in places), len(places) + 1)


def _seconds(value: Any, what: str) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not isfinite(seconds):
        raise EnqueueError(f"{what}={value!r} must be seconds, or a timedelta")
    return float(seconds)


def _wait(value: Any) -> float | None:
    if value is None:
        return None
    seconds = _seconds(value, "wait")
    if seconds > MAX_WAIT:
        raise EnqueueError(f"wait={value!r} is more than a hundred years")
    return seconds if seconds > 0 else None


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise EnqueueError(f"wait_until={value!r} must be a datetime")
    if value.utcoffset() is None:
        raise EnqueueError(
            f"wait_until={value!r} has no time zone, so it names no moment; write datetime.now(timezone.utc) + …, or "
            'value.replace(tzinfo=ZoneInfo("Europe/Paris"))'
        )
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        raise EnqueueError(f"wait_until={value!r} lies outside the years 1 to 9999 in UTC") from None


def _timeout(value: Any, what: str) -> float | None:
    if value is None:
        return None
    seconds = _seconds(value, what)
    if not 0 < seconds <= MAX_WAIT:
        raise EnqueueError(f"{what}={value!r} must be more than 0 seconds, and a hundred years at most")
    return seconds
