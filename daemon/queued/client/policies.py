"""How a job declares what becomes of it after an error."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from queued.client.failure import class_path
from queued.domain.retries import DiscardPolicy, Errors, Policy, RetryPolicy, Wait, error_classes, retry_policy

#: What the options `retry_on=` and `discard_on=` of a job accept: error classes, declarations, or a list that mixes them.
Declarations: TypeAlias = "type[BaseException] | Policy | Sequence[type[BaseException] | Policy]"


def retry_on(
    errors: Errors,
    *,
    wait: Wait = "polynomial",
    attempts: int | Literal["unlimited"] = 5,
    jitter: float = 0.15,
    queue: str | None = None,
    priority: int | None = None,
) -> RetryPolicy:
    """Declare that a job is tried again after one of `errors`, an exception class or a tuple of them.

    `wait` before the next attempt: seconds, a `timedelta`, a function of (attempt) or (attempt, error) that answers either, or
    "polynomial": attempt⁴ + 2 seconds (3, 18, 83, 258). Up to `jitter` of the wait, a part from 0 to 1, is added at random; a
    function's answer is taken as it is. `attempts` is how many in all, the first included, or "unlimited". `queue` and `priority`
    are where the job goes for its next attempt.

        @queued.job(retry_on=queued.retry_on((ConnectionError, TimeoutError), wait=5, attempts=3))

    Each declaration counts by itself, so an error of another kind does not use up its attempts. The job keeps its id. With the
    attempts used up the job fails with the last error, after its `after_discard` callbacks. Of several declarations the one nearest
    to the error's class decides, the last declared among equals. Covers what the job raises, its soft time-out
    (`queued.JobTimedOut`) included; not the death of its process, which has its own limit. Raises `ConfigurationError` for options
    that cannot be.
    """
    classes = error_classes(errors, "retry_on")
    return retry_policy(
        classes,
        key=_key(classes),
        wait=wait,
        attempts=attempts,
        jitter=jitter,
        queue=queue,
        priority=priority,
        wait_takes_error=callable(wait) and _takes_error(wait),
    )


def discard_on(errors: Errors) -> DiscardPolicy:
    """Declare that a job is given up quietly after one of `errors`: it ends as discarded, not as failed.

    The error is kept with the job; `after_discard` callbacks run. See `retry_on` for which of several declarations decides.
    """
    classes = error_classes(errors, "discard_on")
    return DiscardPolicy(classes, _key(classes))


def policies_of(retry: Declarations | None, discard: Declarations | None) -> tuple[Policy, ...]:
    """The policies that a job's two options declare; bare error classes of one option form one policy with its defaults."""
    policies: list[Policy] = []
    for given, declare in ((retry, retry_on), (discard, discard_on)):
        if given is None:
            continue
        entries: list[Any] = list(given) if isinstance(given, (list, tuple, set)) else [given]
        classes = tuple(entry for entry in entries if not isinstance(entry, (RetryPolicy, DiscardPolicy)))
        if classes:
            policies.append(declare(classes))
        policies += [entry for entry in entries if isinstance(entry, (RetryPolicy, DiscardPolicy))]
    return tuple(policies)


def _key(classes: tuple[type[BaseException], ...]) -> str:
    """What the policy's counter is stored under: stable as long as the classes keep their names."""
    return ", ".join(class_path(one) for one in classes)


def _takes_error(wait: Any) -> bool:
    try:
        parameters = inspect.signature(wait).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)
