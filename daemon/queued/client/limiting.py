"""How a job declares what must not run too often at once, or not be there twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, TypeAlias

from queued.client.arguments import encode_value
from queued.domain.errors import ConfigurationError, EnqueueError
from queued.domain.limits import Limit, OnConflict
from queued.domain.rates import Rate
from queued.domain.unique import OnTaken, Unique, Until

#: Characters that a key may have, its group included.
MAX_KEY = 500
#: Longest time that can be given, seconds: a hundred years.
MAX_SPAN = 100 * 365 * 86400.0
#: Most starts of one rate: so many moments are kept for each key.
MAX_STARTS = 1000

#: What a key is made of: a text, or a function of the job's arguments. None is the group alone.
Key: TypeAlias = "str | Callable[..., Any] | None"


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """A declared limit; its key is computed at each enqueue. Made by `limits_concurrency`."""

    to: int
    key: Key
    group: str | None
    duration: float | None
    on_conflict: OnConflict

    def limit(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limit:
        """The limit of a job of that name with these arguments. Raises `EnqueueError`."""
        group = self.group if self.group is not None else name
        return Limit(full_key(group, self.key, args, kwargs), self.to, self.duration, self.on_conflict)


#: What the option `limits=` of a job accepts: one limit or several.
Limits: TypeAlias = "ConcurrencyLimit | Iterable[ConcurrencyLimit]"


def limits_concurrency(
    *,
    to: int = 1,
    key: Key = None,
    group: str | None = None,
    duration: float | timedelta | None = None,
    on_conflict: OnConflict = "block",
) -> ConcurrencyLimit:
    """Declare that at most `to` jobs of one key are ready or running at the same time.

    `key`: a text, or a function of the job's arguments that answers what they are about (anything that could be an argument; None
    too). Without it all jobs of the group share the limit. `group` is the job's name unless given; jobs with the same group and key
    share one limit. `on_conflict`: "block" has a job wait in line, smaller priorities first, then the older; "discard" gives it up
    when no slot is free at the moment it first asks, and its handle says so (`discarded`).

        @queued.job(limits=queued.limits_concurrency(to=2, key=lambda account_id: account_id))

    A slot is held by the job itself, so a worker that dies does not keep it longer than the job, and one that lives need not renew
    it: `duration` (seconds or a `timedelta`) is kept with the job for those who come from Solid Queue, and no limit is lifted when
    it has passed. With several limits a job needs a slot of each. A job that waits for a retry frees its slots and asks again. How
    many may hold a key is what the newest enqueue says. Raises `ConfigurationError`.
    """
    problems = []
    if isinstance(to, bool) or not isinstance(to, int) or not 1 <= to < 2**31:
        problems.append(f"limits_concurrency: to={to!r} must be a whole number from 1 up")
    if key is not None and not isinstance(key, str) and not callable(key):
        problems.append(f"limits_concurrency: key={key!r} must be a text or a function of the job's arguments")
    if group is not None and (not isinstance(group, str) or not group):
        problems.append(f"limits_concurrency: group={group!r} must be a text")
    if on_conflict not in ("block", "discard"):
        problems.append(f'limits_concurrency: on_conflict={on_conflict!r} is unknown; write "block" or "discard"')
    seconds = _span(duration, "limits_concurrency: duration", problems)
    if problems:
        raise ConfigurationError(problems)
    return ConcurrencyLimit(to, key, group, seconds, on_conflict)


@dataclass(frozen=True, slots=True)
class UniqueJob:
    """A declared uniqueness; its key is computed at each enqueue. Made by `unique`."""

    key: Key
    until: Until | None
    period: float | None
    on_conflict: OnTaken

    def unique(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], stored: str) -> Unique:
        """The uniqueness of a job of that name; `stored` is the text of its arguments. Raises `EnqueueError`."""
        if self.key is None:
            text = f"{name}({stored})"
            key = text if len(text) <= MAX_KEY else f"{name}#{sha256(stored.encode()).hexdigest()}"
        else:
            key = full_key(name, self.key, args, kwargs)
        return Unique(key, self.until, self.period, self.on_conflict)


def unique(
    key: Key = None,
    *,
    until: Until | None = None,
    period: float | timedelta | None = None,
    on_conflict: OnTaken = "keep",
) -> UniqueJob:
    """Declare that of the jobs with one key only one is there at a time.

    `key`: a text, or a function of the job's arguments; without it the arguments themselves are the key. Keys are the job's own:
    another job's never conflict. How long a job holds its key:

    - `until="finish"`, the default: until it has ended or failed, through all its attempts.
    - `until="start"`: until a worker takes it for the first time, and never again.
    - `until="waiting"`: whenever it is scheduled, blocked or ready. A worker that takes it frees the key; when it waits again (for
      a retry, after a crash or a stop) it has the key again. If another job has taken it meanwhile, both wait: what was
      accepted is not given up.
    - `period` (seconds or a `timedelta`): for so long after its enqueue, whatever becomes of it.

    `on_conflict` says what an enqueue does while the key is held: "keep" stores nothing, and the handle is that of the job that is
    there (`existing`); "replace" discards that one and stores the new one, unless it runs already: then it is kept; "raise" raises
    `queued.NotUnique`. The database decides, so of two that enqueue at the same moment one is told of the other.

        @queued.job(unique=queued.unique(lambda account_id: account_id, until="start"))

    A failed job that an operator retries has its key again, unless another job took it meanwhile. Inside your own transaction on
    PostgreSQL a job that is ready or blocked by a limit is kept in place of being replaced. Raises `ConfigurationError`.
    """
    problems = []
    if key is not None and not isinstance(key, str) and not callable(key):
        problems.append(f"unique: key={key!r} must be a text or a function of the job's arguments")
    if until not in (None, "start", "waiting", "finish"):
        problems.append(f'unique: until={until!r} is unknown; write "start", "waiting" or "finish"')
    if until is not None and period is not None:
        problems.append(
            "unique: give either until= or period=, for a key that is held for a period is not freed by the job"
        )
    if on_conflict not in ("keep", "replace", "raise"):
        problems.append(f'unique: on_conflict={on_conflict!r} is unknown; write "keep", "replace" or "raise"')
    seconds = _span(period, "unique: period", problems)
    if problems:
        raise ConfigurationError(problems)
    return UniqueJob(key, (until or "finish") if period is None else None, seconds, on_conflict)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A declared rate; its key is computed at each enqueue. Made by `rate_limit`."""

    starts: int
    period: float
    key: Key

    def rate(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Rate:
        """The rate of a job of that name with these arguments. Raises `EnqueueError`."""
        return Rate(full_key(name, self.key, args, kwargs), self.starts, self.period)


def rate_limit(starts: int, *, per: float | timedelta, key: Key = None) -> RateLimit:
    """Declare that at most `starts` jobs of one key become ready in any time of the length `per` (seconds or a `timedelta`).

    `key`: a text, or a function of the job's arguments; without it all jobs of the name share the rate. A job that comes too
    early is scheduled for the moment of its turn, which it keeps also when one before it is cancelled. Each attempt takes a turn,
    but not the second run of a job that was given back or whose process died. A job that starts late, because workers are busy,
    does not move the turns of others. `starts` is 1000 at most.

        @queued.job(rate=queued.rate_limit(10, per=60, key=lambda host, path: host))

    Raises `ConfigurationError`.
    """
    problems: list[str] = []
    if isinstance(starts, bool) or not isinstance(starts, int) or not 1 <= starts <= MAX_STARTS:
        problems.append(f"rate_limit: {starts!r} must be a whole number from 1 to {MAX_STARTS}")
    if key is not None and not isinstance(key, str) and not callable(key):
        problems.append(f"rate_limit: key={key!r} must be a text or a function of the job's arguments")
    seconds = _span(per, "rate_limit: per", problems)
    if seconds is None and not problems:
        problems.append("rate_limit: per=None must be seconds above 0, or a timedelta")
    if problems or seconds is None:
        raise ConfigurationError(problems)
    return RateLimit(starts, seconds, key)


def _span(value: Any, what: str, problems: list[str]) -> float | None:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SPAN:
        problems.append(f"{what}={value!r} must be seconds above 0, up to a hundred years, or a timedelta")
        return None
    return float(seconds)


def declared(limits: Limits | None) -> tuple[ConcurrencyLimit, ...]:
    """What a job's option `limits=` declares. Raises `ConfigurationError`."""
    if limits is None:
        return ()
    given = (limits,) if isinstance(limits, ConcurrencyLimit) else tuple(limits)
    for one in given:
        if not isinstance(one, ConcurrencyLimit):
            raise ConfigurationError(
                f"limits={one!r} is no limit; write queued.limits_concurrency(…), or a list of them"
            )
    return given


def limits_of(
    declarations: Sequence[ConcurrencyLimit], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Limit, ...]:
    """The limits of one job, each key once: of two that share a key the smaller holds."""
    found: dict[str, Limit] = {}
    for declaration in declarations:
        limit = declaration.limit(name, args, kwargs)
        known = found.get(limit.key)
        if known is None or limit.capacity < known.capacity:
            found[limit.key] = limit
    return tuple(found.values())


def full_key(group: str, key: Key, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """`GROUP` or `GROUP/KEY`. Raises `EnqueueError` for a key that cannot be stored; errors of a function pass through."""
    value = key(*args, **kwargs) if callable(key) else key
    if value is None:
        return group
    text = value if isinstance(value, str) else json.dumps(encode_value(value, "key"), separators=(",", ":"))
    full = f"{group}/{text}"
    if len(full) > MAX_KEY:
        raise EnqueueError(f"the key {full[:80]!r}… has {len(full)} characters; at most {MAX_KEY}")
    if "\0" in full or any("\ud800" <= sign <= "\udfff" for sign in full):
        raise EnqueueError(f"the key {full!r} holds characters that no database stores")
    return full
