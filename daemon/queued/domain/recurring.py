"""Recurring tasks: what one is, which of its runs are due, and the job that a run enqueues. Pure; clocks and rows come in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from queued.domain.errors import ConfigurationError
from queued.domain.jobs import DEFAULT_PRIORITY, DEFAULT_QUEUE, SHELL, NewJob, parse_options
from queued.domain.schedule import Schedule, ScheduleError, parse
from queued.domain.schedule.misfire import GRACE, due_between, jitter_of
from queued.domain.settings import RECURRING, RecurringTaskSettings

#: The class of jobs that run a `command` in the application's interpreter; a `shell` program is `jobs.SHELL`.
COMMAND = "queued.command"
#: What the daemon does itself, in a scheduler, without a job: the application has no credentials for the database.
CHORES = frozenset({"queued.clear_finished_jobs", "queued.heartbeat", "queued.backup_database", "queued.verify_backup"})
#: Runs that one transaction starts at most, when `missed: all` has many to make up for.
CATCH_UP = 100
#: Seconds by which a run may be late however often its task runs.
SHORTEST_GRACE = 5.0
#: Longest key of a task, characters.
MAX_KEY = 255
#: Of moments left out no more than so many are counted.
COUNTED = 1000

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RecurringTask:
    """A task as it is stored. `next_run_at` is None until a scheduler has worked it out; `due_at` has its jitter.

    `asked_at` is when somebody wanted a run now, `problem` why the task cannot be planned, `held` why a run that is due cannot be
    started yet.
    """

    settings: RecurringTaskSettings
    source: Literal["file", "dynamic"]
    version: int = 1
    paused_at: datetime | None = None
    next_run_at: datetime | None = None
    due_at: datetime | None = None
    last_run_at: datetime | None = None
    asked_at: datetime | None = None
    problem: str | None = None
    held: str | None = None

    @property
    def key(self) -> str:
        return self.settings.key


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scheduler does about one task: the moments to run, oldest first, and when to look again.

    `left_out` is how many moments were missed and will not be run.
    """

    runs: tuple[datetime, ...] = ()
    left_out: int = 0
    next_run_at: datetime | None = None
    due_at: datetime | None = None


def plan(task: RecurringTask, schedule: Schedule, now: datetime) -> Plan:
    """The runs that are due, by the task's policy for missed ones.

    A moment up to the last run is never run again, whatever the clock says: it may have been set back.
    """
    if task.next_run_at is None:
        return _next(task, schedule, max(now, task.last_run_at or now))
    until = _settled(task, schedule, now)
    if task.next_run_at > until:
        return _next(task, schedule, task.next_run_at - MICROSECOND)
    since = task.next_run_at - MICROSECOND
    runs = _due(task, schedule, since, until, now)
    if task.settings.missed == "all" and len(runs) == CATCH_UP:
        return _next(task, schedule, runs[-1], runs)
    left_out = len(schedule.between(since, until, COUNTED)) - len(runs) if task.settings.missed != "all" else 0
    return _next(task, schedule, until, runs, max(0, left_out))


def _due(task: RecurringTask, schedule: Schedule, since: datetime, until: datetime, now: datetime) -> list[datetime]:
    """The runs to start, by the policy. A run is on time until `grace` seconds after its start was due, jitter included.

    Of a task that runs every second no more than a few are on time together: a scheduler that was suspended must not burst.
    """
    settings = task.settings
    # A run that was held back was not missed for want of a scheduler: it is made up for, once for all that came meanwhile.
    missed = "once" if task.held is not None and settings.missed == "skip" else settings.missed
    second = schedule.next_after(since + MICROSECOND)
    interval = (second - since).total_seconds() if second is not None else GRACE
    grace = min(GRACE, max(SHORTEST_GRACE, interval))
    runs = due_between(schedule, since, until, missed, CATCH_UP, grace + settings.jitter)
    if missed == "all" or not settings.jitter:
        return runs
    on_time = [run for run in runs if due_at(settings, run) >= now - timedelta(seconds=grace)]
    return on_time or (runs[-1:] if missed == "once" else [])


def _settled(task: RecurringTask, schedule: Schedule, now: datetime) -> datetime:
    """Up to when every moment's time has come, its jitter included."""
    jitter = task.settings.jitter
    if not jitter or task.next_run_at is None:
        return now
    moment: datetime | None = max(task.next_run_at - MICROSECOND, now - timedelta(seconds=jitter))
    while moment is not None and (moment := schedule.next_after(moment)) is not None and moment <= now:
        if due_at(task.settings, moment) > now:
            return moment - MICROSECOND
    return now


def _next(
    task: RecurringTask, schedule: Schedule, after: datetime, runs: Sequence[datetime] = (), left_out: int = 0
) -> Plan:
    moment = schedule.next_after(after)
    return Plan(tuple(runs), left_out, moment, None if moment is None else due_at(task.settings, moment))


def due_at(settings: RecurringTaskSettings, moment: datetime) -> datetime:
    """When the run of that moment is started: the same on every host."""
    return moment + timedelta(seconds=jitter_of(settings.key, moment, settings.jitter))


def schedule_of(settings: RecurringTaskSettings) -> Schedule:
    """The task's schedule in its zone. Raises ScheduleError."""
    return parse(settings.schedule, settings.timezone)


def job_of(settings: RecurringTaskSettings, declared: Mapping[str, Any]) -> NewJob:
    """The job of a run that needs no answer from the application, or can get none. `declared` is what that says of the class:
    queue, priority, timeout."""
    timeout = settings.timeout if settings.timeout is not None else declared.get("timeout")
    queue = settings.queue if settings.queue is not None else declared.get("queue")
    priority = settings.priority if settings.priority is not None else declared.get("priority")
    return NewJob(
        settings.class_name,
        settings.arguments,
        queue if isinstance(queue, str) else DEFAULT_QUEUE,
        priority if isinstance(priority, int) else DEFAULT_PRIORITY,
        options=None if timeout is None else json.dumps({"timeout": timeout}, separators=(",", ":")),
    )


def with_timeout(job: NewJob, timeout: float | None) -> NewJob:
    """The job with the timeout that its task says, where it says one; the rest of its options stays."""
    if timeout is None:
        return job
    options = {**parse_options(job.options, json.loads), "timeout": timeout}
    return replace(job, options=json.dumps(options, separators=(",", ":")))


def call_of(args: Any) -> str:
    """One value, a list, or a mapping as a call: a mapping, alone or last in the list, gives the keyword arguments."""
    positional = args if isinstance(args, list) else [args]
    if positional and isinstance(positional[-1], dict):
        return call(positional[:-1], positional[-1])
    return call(positional)


def call(args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> str:
    """Arguments that are plain JSON, as jobs store them."""
    return json.dumps({"args": list(args), "kwargs": dict(kwargs or {})}, separators=(",", ":"))


def define(
    key: str,
    *,
    class_name: str | None = None,
    command: str | None = None,
    shell: str | Sequence[str] | None = None,
    arguments: str | None = None,
    **told: Any,
) -> RecurringTaskSettings:
    """A task from what somebody said of it; `arguments` is JSON text. Raises ConfigurationError with everything wrong."""
    kinds = [
        name for name, value in (("class", class_name), ("command", command), ("shell", shell)) if value is not None
    ]
    problems = []
    if len(kinds) != 1:
        problems.append(
            f"{key}: {' and '.join(kinds) or 'nothing'} to run is given; give one of class, command and shell"
        )
    if arguments is not None and class_name is None:
        problems.append(f"{key}: arguments go with class; leave them out")
    if class_name is None:
        class_name = COMMAND if command is not None else SHELL
        arguments = call([command if command is not None else shell if isinstance(shell, str) else list(shell or [])])
    settings = RecurringTaskSettings(key=key, class_name=class_name, arguments=arguments or call(), **told)
    problems += [f"{key}: {name}: {wrong}" for name, wrong in [*faults(settings), *_limits(settings)]]
    if problems:
        raise ConfigurationError(problems)
    return settings


def _limits(settings: RecurringTaskSettings) -> list[tuple[str, str]]:
    """What the table of settings says of values that no file has checked."""
    found = []
    for setting in RECURRING:
        value = getattr(settings, setting.name, None)
        if value is None:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if setting.choices and value not in setting.choices:
            found.append((setting.name, f"{value!r} is not one of {', '.join(setting.choices)}"))
        elif setting.kind in ("integer", "seconds") and not number:
            found.append((setting.name, f"{value!r} is no number"))
        elif setting.minimum is not None and not setting.minimum <= value <= (setting.maximum or value):
            found.append((setting.name, f"{value!r} is not between {setting.minimum:g} and {setting.maximum:g}"))
    return found


def faults(settings: RecurringTaskSettings) -> list[tuple[str, str]]:
    """(setting, what is wrong and what to write) for everything that keeps the task from being run."""
    found: list[tuple[str, str]] = []
    for name, text in (("key", settings.key), ("class", settings.class_name), ("queue", settings.queue)):
        if text is not None and (wrong := name_fault(text)):
            found.append((name, wrong))
    if settings.class_name.startswith("queued.") and settings.class_name not in {COMMAND, SHELL, *CHORES}:
        found.append(("class", f"{settings.class_name} is not one of queued's own: {', '.join(sorted(CHORES))}"))
    try:
        schedule_of(settings)
    except ScheduleError as error:
        found.append(("schedule", str(error)))
    return found


def name_fault(name: str) -> str | None:
    """Why a text cannot be the name of a task, a job or a queue; None when it can."""
    if not name or name != name.strip() or len(name) > MAX_KEY:
        return f"must have 1 to {MAX_KEY} characters and no space at either end"
    return None if name.isprintable() else "holds a character that cannot be printed; remove it"
