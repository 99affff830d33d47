"""Recurring tasks that the application schedules at run time.

They are stored in the database; every scheduler that runs such tasks sees a change within seconds. Tasks of recurring.yml can be
paused, resumed and run from here too, but not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from queued.client import route
from queued.client.arguments import encode_call
from queued.client.jobs import Job
from queued.domain.errors import ConfigurationError
from queued.domain.jobs import SHELL
from queued.domain.recurring import COMMAND, define
from queued.domain.settings import Missed, Overlap, RecurringTaskSettings
from queued.storage import recurring
from queued.storage.session import Session

T = TypeVar("T")
Length = float | timedelta

#: What `update_recurring_task` may be given beside what to run.
_PLAIN = frozenset(
    {"schedule", "timezone", "queue", "priority", "timeout", "missed", "overlap", "jitter", "description", "enabled"}
)


def schedule_recurring_task(
    key: str,
    class_name: str | Job[..., Any] | None = None,
    *,
    schedule: str,
    command: str | None = None,
    shell: str | Sequence[str] | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    timeout: Length | None = None,
    timezone: str = "UTC",
    missed: Missed = "skip",
    overlap: Overlap = "allow",
    jitter: Length = 0.0,
    description: str | None = None,
    enabled: bool = True,
    connection: Any = None,
) -> bool:
    """Have a job enqueued on a schedule from now on; True when there was no task of that key.

        queued.schedule_recurring_task("report-17", send_report, args=[17], schedule="every monday at 8am", timezone="Europe/Rome")

    `class_name` is a job or its name; or `command` is Python that is run in the application's interpreter, or `shell` a
    program, as a text for /bin/sh or as a list. The rest is as in recurring.yml(5). A dynamic task of that key gets this
    definition in place of its own. With `connection` it is stored in that connection's open transaction, as an enqueue would be.

    Raises `ConfigurationError` with everything that is wrong with it, `ArgumentError`, `NotAllowed` when recurring.yml has a
    task of that key, and `DatabaseError`.
    """
    task = define(
        key,
        class_name=_name(class_name),
        command=command,
        shell=shell,
        arguments=encode_call(args, kwargs or {}) if class_name is not None or args or kwargs else None,
        schedule=schedule,
        queue=queue,
        priority=priority,
        timeout=_seconds(timeout),
        timezone=timezone,
        missed=missed,
        overlap=overlap,
        jitter=_seconds(jitter) or 0.0,
        description=description,
        enabled=enabled,
    )
    return _do(key, lambda session: recurring.save(session, task), connection)


def update_recurring_task(
    key: str,
    *,
    class_name: str | Job[..., Any] | None = None,
    command: str | None = None,
    shell: str | Sequence[str] | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    connection: Any = None,
    **changes: Any,
) -> None:
    """Change what is given of a dynamic task and leave the rest: `update_recurring_task("report", schedule="every day at 6am")`.

    `changes` are the other arguments of `schedule_recurring_task`. With `args` or `kwargs` all arguments are replaced. Raises
    as that, and `UnknownId`.
    """
    unknown = sorted(set(changes) - _PLAIN)
    if unknown:
        raise ConfigurationError(
            f"{key}: {', '.join(unknown)} cannot be changed; there are: {', '.join(sorted(_PLAIN))}"
        )
    for length in {"timeout", "jitter"} & set(changes):
        changes[length] = _seconds(changes[length])
    told = args is not None or kwargs is not None
    arguments = encode_call(args or (), kwargs or {}) if told else None

    def change(session: Session) -> None:
        known = recurring.get(session, key).settings
        if class_name is not None or command is not None or shell is not None:
            fresh = define(
                key,
                class_name=_name(class_name),
                command=command,
                shell=shell,
                arguments=arguments,
                **{**_plain(known), **changes},
            )
        else:
            if told and known.class_name in (COMMAND, SHELL):
                raise ConfigurationError(f"{key}: arguments go with class; leave them out")
            kept = replace(known, arguments=arguments) if arguments is not None else known
            fresh = define(key, class_name=kept.class_name, arguments=kept.arguments, **{**_plain(kept), **changes})
        recurring.save(session, fresh)

    _do(key, change, connection)


def unschedule_recurring_task(key: str, *, connection: Any = None) -> None:
    """Forget a dynamic task. Jobs that it has enqueued stay. Raises `UnknownId`, and `NotAllowed` for a task of recurring.yml."""
    _do(key, lambda session: recurring.unschedule(session, key), connection)


def pause_recurring_task(key: str, *, connection: Any = None) -> bool:
    """Start no run of a task until it is resumed; False when it was paused already. Raises `UnknownId`."""
    return _do(key, lambda session: recurring.pause(session, key), connection)


def resume_recurring_task(key: str, *, connection: Any = None) -> bool:
    """Run a paused task again, from its next moment on; False when it was not paused. Raises `UnknownId`."""
    return _do(key, lambda session: recurring.resume(session, key), connection)


def run_recurring_task(key: str, *, connection: Any = None) -> None:
    """Have one run started at once by a scheduler, paused or not, beside its schedule. Raises `UnknownId`.

    Asked twice before a scheduler has looked, it is run once.
    """
    _do(key, lambda session: recurring.ask(session, key), connection)


def _do(key: str, act: Callable[[Session], T], connection: Any) -> T:
    with _session(connection) as session:
        done = act(session)
    if connection is None:
        route.store().control(f"recurring {key}")
    return done


@contextmanager
def _session(connection: Any) -> Iterator[Session]:
    if connection is None:
        with route.store().transaction() as session:
            yield session
        return
    from queued.storage import adopt

    with adopt.adopt(connection, route.schema()) as session:
        yield session


def _plain(known: RecurringTaskSettings) -> dict[str, Any]:
    return {name: getattr(known, name) for name in _PLAIN}


def _name(job: str | Job[..., Any] | None) -> str | None:
    return job.name if isinstance(job, Job) else job


def _seconds(length: Length | None) -> float | None:
    return length.total_seconds() if isinstance(length, timedelta) else length
