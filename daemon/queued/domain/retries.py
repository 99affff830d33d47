"""What becomes of a job whose attempt raised: another attempt, discarded, or failed.

A job declares policies; the first that knows the error decides. The error's class is looked at first, then its ancestors,
nearest first; among policies that name the same class the one declared last wins. So `discard_on(Exception)` never hides
`retry_on(ConnectionError)`, in whatever order they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import isfinite
from typing import Any, Literal, TypeAlias

from queued.domain.errors import ConfigurationError

#: Longest pause before a retry, seconds: ten years. n⁴ of an unlimited policy would outgrow what databases call a date.
MAX_WAIT = 3650 * 86400.0

#: Seconds, a timedelta, "polynomial", or a function of (attempt) or (attempt, error) that answers seconds or a timedelta.
Wait: TypeAlias = "float | timedelta | Literal['polynomial'] | Callable[..., float | timedelta]"
Errors: TypeAlias = "type[BaseException] | Sequence[type[BaseException]]"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Try again when one of `errors` ends an attempt. `key` names the counter that this policy spends."""

    errors: tuple[type[BaseException], ...]
    key: str
    wait: Wait = "polynomial"
    #: How many attempts in all, the first included; None is without end.
    attempts: int | None = 5
    jitter: float = 0.15
    queue: str | None = None
    priority: int | None = None
    #: Whether `wait` takes the error too; only looked at when `wait` is a function.
    wait_takes_error: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class DiscardPolicy:
    """Give the job up, quietly, when one of `errors` ends an attempt."""

    errors: tuple[type[BaseException], ...]
    key: str


Policy: TypeAlias = RetryPolicy | DiscardPolicy


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt after `wait` seconds, counted on `policy`."""

    wait: float
    policy: RetryPolicy


@dataclass(frozen=True, slots=True)
class Discard:
    """The job ends as discarded."""

    policy: DiscardPolicy


@dataclass(frozen=True, slots=True)
class Fail:
    """The job ends as failed. `exhausted` is the policy whose attempts are used up, if one knew the error."""

    exhausted: RetryPolicy | None = None


Decision: TypeAlias = Retry | Discard | Fail


def decide(
    policies: Sequence[Policy],
    error: BaseException,
    counters: Mapping[str, int],
    random: Callable[[], float],
) -> Decision:
    """What becomes of the job that `error` ended.

    `counters` says how often each policy was used before; `random` answers a number from 0 up to 1. Errors of a policy's own
    `wait` function pass through.
    """
    policy = policy_for(policies, type(error))
    if policy is None:
        return Fail()
    if isinstance(policy, DiscardPolicy):
        return Discard(policy)
    attempt = counters.get(policy.key, 0) + 1
    if policy.attempts is not None and attempt >= policy.attempts:
        return Fail(exhausted=policy)
    return Retry(seconds_to_wait(policy, attempt, error, random), policy)


def policy_for(policies: Sequence[Policy], error_class: type[BaseException]) -> Policy | None:
    """The policy that decides about errors of this class."""
    for ancestor in error_class.__mro__:
        for policy in reversed(policies):
            if ancestor in policy.errors:
                return policy
    return None


def seconds_to_wait(policy: RetryPolicy, attempt: int, error: BaseException, random: Callable[[], float]) -> float:
    """The pause after the policy's `attempt`-th use: its wait and up to `jitter` of it on top.

    "polynomial" is attempt⁴ + 2 (3, 18, 83, 258 s, …), its jitter on the power alone. A function's answer is taken as it is.
    """
    wait = policy.wait
    if wait == "polynomial":
        power = float(min(attempt, 1000) ** 4)
        return min(power + random() * policy.jitter * power + 2.0, MAX_WAIT)
    if callable(wait):
        answer = wait(attempt, error) if policy.wait_takes_error else wait(attempt)
        return _seconds(answer, f"the wait function of the retry policy for {policy.key}")
    seconds = _seconds(wait, "wait")
    return min(seconds + random() * policy.jitter * seconds, MAX_WAIT)


def retry_policy(
    errors: Errors,
    *,
    key: str,
    wait: Wait,
    attempts: int | Literal["unlimited"],
    jitter: float,
    queue: str | None,
    priority: int | None,
    wait_takes_error: bool,
) -> RetryPolicy:
    """A checked `RetryPolicy`. Raises `ConfigurationError` that names every option that cannot be."""
    problems: list[str] = []
    if isinstance(wait, str) and wait != "polynomial":
        problems.append(f'retry_on: wait={wait!r} is unknown; write seconds, a timedelta, a function, or "polynomial"')
    elif not isinstance(wait, str) and not callable(wait):
        try:
            _seconds(wait, "retry_on: wait")
        except ValueError as error:
            problems.append(str(error))
    if attempts != "unlimited" and (isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1):
        problems.append(f'retry_on: attempts={attempts!r} must be a whole number from 1 up, or "unlimited"')
    if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter <= 1:
        problems.append(f"retry_on: jitter={jitter!r} must be a number from 0 to 1")
    if queue is not None and not (isinstance(queue, str) and queue and queue == queue.strip()):
        problems.append(f"retry_on: queue={queue!r} must be the name of a queue")
    if priority is not None and (
        isinstance(priority, bool) or not isinstance(priority, int) or not -(2**31) <= priority < 2**31
    ):
        problems.append(f"retry_on: priority={priority!r} must be a whole number of 32 bits; smaller runs first")
    if problems:
        raise ConfigurationError(problems)
    return RetryPolicy(
        errors=error_classes(errors, "retry_on"),
        key=key,
        wait=wait,
        attempts=None if attempts == "unlimited" else attempts,
        jitter=float(jitter),
        queue=queue,
        priority=priority,
        wait_takes_error=wait_takes_error,
    )


def error_classes(errors: Any, option: str) -> tuple[type[BaseException], ...]:
    """The exception classes that `errors` names, one or several. Raises `ConfigurationError`."""
    classes = (errors,) if isinstance(errors, type) else tuple(errors) if isinstance(errors, (tuple, list, set)) else ()
    if not classes:
        raise ConfigurationError(f"{option}: {errors!r} names no error; write an exception class or a tuple of them")
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise ConfigurationError(f"{option}: {one!r} is no exception class")
    return classes


def _seconds(value: Any, what: str) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise ValueError(f"{what}={value!r} must be seconds from 0 up, or a timedelta")
    return min(float(value), MAX_WAIT)
