"""The words of the log: what each event of `queued.telemetry` looks like to an operator. Nobody else words an event.

    2026-11-22 11:00:00.123+01:00 INFO  worker-3f0a9c417d52 Started Worker (pid: 71, hostname: db1, queues: *, threads: 3)

One event is one line, or one for each line of its text. Times are local, as the rest of the host's logs are, with
their distance from UTC. `LINES` is the table of events; one that is not in it is written as it is, so that nothing is lost.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TextIO

from queued import journal, telemetry
from queued.domain.errors import QueuedError
from queued.domain.failures import title
from queued.domain.jobs import Failure
from queued.domain.settings import LogFormat
from queued.entries import Entry, Level, Writer, as_json, plain, to_journal, to_stream

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "warn": 30, "error": 40, "critical": 40}
#: Metadata that helps the program and not the reader.
UNSAID = frozenset({"slots", "application", "supervisor"})

#: Events that are counted, and too many to be read.
UNTOLD = frozenset({"turned", "polled", "acked", "jobs_ended"})

Words = str | Callable[[Mapping[str, Any]], str]


def _facts(data: Mapping[str, Any]) -> str:
    """`pid: 71, hostname: db1, queues: *, threads: 3`."""
    facts = {key: data[key] for key in ("pid", "hostname") if key in data}
    facts.update({key: value for key, value in data.get("metadata", {}).items() if key not in UNSAID})
    return ", ".join(f"{key}: {_value(value)}" for key, value in facts.items())


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _error(error: Any) -> str:
    """An error in one line: what it is and, unless it was raised on purpose and so says all itself, where it comes from."""
    if isinstance(error, BaseException):
        frames = [] if isinstance(error, QueuedError) else traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        return f"{type(error).__name__}: {error}{place}"
    if isinstance(error, Failure):
        return title(error.error_class, error.message)
    if isinstance(error, Mapping):
        place = f"{error['file']}:{error['line']}: " if error.get("file") else ""
        return f"{place}{error.get('class', 'error')}: {error.get('message', '')}"
    return str(error)


def _ids(ids: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in list(ids)[:10])
    return f"{shown} and {len(ids) - 10} more" if len(ids) > 10 else shown


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _retry(data: Mapping[str, Any]) -> str:
    wait = data["retry_in"]
    return f"{data['key']} ended ({data['reason']}); " + (
        f"starting it again in {wait:g} s" if wait else "replacing it"
    )


def _fatal(data: Mapping[str, Any]) -> str:
    remedy = (
        "jobs stay ready until the application loads: repair it, then reload or restart queued"
        if data["kind"] == "application"
        else "find the cause above, then reload or restart queued"
    )
    return f"{data['key']} is FATAL: {data['reason']}. It is not started again; {remedy}"


def _slow(data: Mapping[str, Any]) -> str:
    if data["kind"] == "application":
        return (
            f"{data['key']} is still loading the application after {data['seconds']} s; its workers wait for it. "
            "Does a module of `import:` wait for something while it is imported?"
        )
    return f"{data['key']} is still starting after {data['seconds']} s"


def _recovered(data: Mapping[str, Any]) -> str:
    said = [f"{data['reason']}:"]
    for key, one, more in (
        ("crashed", "was running, runs again:", "were running, run again:"),
        (
            "failed",
            "was running, has crashed too often and failed:",
            "were running, have crashed too often and failed:",
        ),
        ("released", "ready again:", "ready again:"),
        ("cancelled", "cancelled:", "cancelled:"),
    ):
        if data.get(key):
            count = len(data[key])
            said.append(f"{_jobs(count)} {one if count == 1 else more} {_ids(data[key])};")
    return " ".join(said).rstrip(";")


def _output(data: Mapping[str, Any]) -> str:
    stream = data.get("logger") if data.get("stream") == "log" else data.get("stream")
    job = f"job={data['job_id']} " if data.get("job_id") else ""
    return f"{job}{stream or 'log'}: {data.get('line', '')}"


def _output_level(data: Mapping[str, Any]) -> Level:
    number = LEVELS.get(str(data.get("level", "info")).lower(), 20)
    return "debug" if number <= 10 else "info" if number <= 20 else "warning" if number <= 30 else "error"


def _job(data: Mapping[str, Any]) -> str:
    name = f" {data['class_name']}" if data.get("class_name") else ""
    attempt = f" attempt {data['attempt']}" if data.get("attempt") else ""
    return f"job={data['job_id']}{name}{attempt}"


def _crashed(data: Mapping[str, Any]) -> str:
    end = "failed, it has crashed too often" if data.get("final") else "it runs again"
    return f"{_job(data)} crashed: {data['reason']}; {end}"


def _released(data: Mapping[str, Any]) -> str:
    return f"{_job(data)} was cut short after {data['duration']:.1f} s, ready again: {data['failure'].message}"


def _stale(data: Mapping[str, Any]) -> str:
    ended = f"job={data['job_id']} ended here as {data['kind']}"
    if data.get("doubtful"):
        return (
            f"{ended}; that was stored before the database was lost, or its lease {data['lease']} was given to another"
        )
    return f"{ended}, but its lease {data['lease']} had been given to another: refused"


def _moment(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _synced(data: Mapping[str, Any]) -> str:
    parts = (f"{what} {', '.join(data[what])}" for what in ("added", "changed", "removed") if data[what])
    return f"Recurring tasks of the file: {'; '.join(parts)}"


def _job_error(data: Mapping[str, Any]) -> str:
    return _error(data.get("error") or data.get("failure") or data.get("reason") or "no reason given")


def _failed(data: Mapping[str, Any]) -> str:
    return f"{_job(data)} failed for good: {_job_error(data)}"


def _retried(data: Mapping[str, Any]) -> str:
    return f"{_job(data)} runs again in {float(data.get('wait', 0.0)):.1f} s: {_job_error(data)}"


def _with_jobs(text: str) -> Callable[[Mapping[str, Any]], str]:
    """The text, and which jobs it concerns."""

    def words(data: Mapping[str, Any]) -> str:
        jobs = f" ({_jobs(len(data['jobs']))}: {_ids(data['jobs'])})" if data.get("jobs") else ""
        return text.format_map(_Data(data)) + jobs

    return words


_guilty = _with_jobs("Killed the runner {pid}: a job in it did not end when told to")


def _killed(data: Mapping[str, Any]) -> str:
    beside = data.get("beside")
    return _guilty(data) + (f"; cut short beside it: {_ids(beside)}" if beside else "")


#: Each event: its level and its words. A text is filled from the event's data.
LINES: Mapping[str, tuple[Level | Callable[[Mapping[str, Any]], Level], Words]] = {
    "configuration_warning": ("warning", "{text}"),
    # supervisor
    "process_started": ("info", lambda data: f"Started {data['kind']} ({_facts(data)})"),
    "process_stopped": ("info", lambda data: f"Shutdown {data['kind']} ({_facts(data)})"),
    "process_failed": ("error", lambda data: f"{data['kind']} ended: {_error(data['error'])}"),
    "migrated": ("info", lambda data: f"Migrated the database: {', '.join(data['migrations'])}"),
    "refused": ("error", "{error}"),
    "database_waiting": ("warning", "Waiting for the database since {seconds:.0f} s: {error}"),
    "database_full": (
        "error",
        "The database cannot be written, trying again; no job is stored, started or ended until there is room: {error}",
    ),
    "database_room": ("info", "The database can be written again, after {seconds:g} s"),
    "database_lost": ("warning", "The database cannot be reached, trying again: {error}"),
    "database_deleted": (
        "error",
        "{path} was deleted while it was in use; no job is started and no end stored until it is put back. "
        "If it is gone for good, put a copy in its place and restart queued; without one a restart makes a new, empty database",
    ),
    "database_replaced": (
        "error",
        "{path} was replaced by another file while it was in use; stopping at once, for what is in hand is of the old one. "
        "The next start works with the new one; a copy is restored while queued is stopped",
    ),
    "database_back": ("info", "The database is back after {seconds:g} s"),
    "registration_lost": (
        "error",
        "Declared dead by another process, which gave its jobs away; stopping to be replaced",
    ),
    "registered_again": ("warning", "The supervisor's own registration was gone; registered again"),
    "deregister_failed": ("warning", "Left its registration behind, a later supervisor clears it: {error}"),
    "process_pruned": ("warning", "{reason}; clearing up after it"),
    "notify_failed": ("warning", "The service manager cannot be told that this runs (NOTIFY_SOCKET): {error}"),
    "orphaned": ("warning", "The supervisor has died; finishing and stopping"),
    "actor_died": ("warning", _retry),
    "actor_fatal": ("error", _fatal),
    "actor_still_fatal": ("error", _fatal),
    "actor_slow": ("warning", _slow),
    "actor_silent": ("error", "{key} has not moved for {seconds:g} s; killing it"),
    "stop_exceeded": ("warning", "{key} did not stop in time; killing it"),
    "stopping": ("info", lambda data: "Stopping at once" if data.get("immediate") else "Stopping"),
    "shutdown_timeout_exceeded": ("warning", lambda data: f"Not stopped in time, killing: {', '.join(data['actors'])}"),
    "stopped": (lambda data: "info" if data["status"] == 0 else "warning", "Supervisor stopped (exit status {status})"),
    "abandoned": (
        "error",
        "Threads that cannot be stopped are left; their jobs are given back and the process ends ({status})",
    ),
    "reloading": ("info", "Reloading"),
    "reloaded": ("info", "Reloaded: every actor runs with the new configuration and code"),
    "reload_failed": ("error", "Not reloaded, everything runs on as before: {reason}"),
    # application and runners
    "application_loaded": ("info", "Loaded the application (pid: {pid}, Python {python}, kinds of job: {jobs})"),
    "programs_ready": (
        "info",
        "No application is configured: the workers run the programs of shell: tasks and leave all other jobs (pid: {pid})",
    ),
    "application_without_jobs": ("warning", "The application defines no jobs: is app.import right?"),
    "application_failed": ("error", lambda data: f"The application does not load: {_error(data['error'])}"),
    "hook_failed": ("error", lambda data: f"Hook {data['hook']}: {_error(data['error'])}"),
    "runner_started": ("debug", "Started a runner (pid: {pid})"),
    "runner_not_started": ("debug", "No runner yet: {error}"),
    "runner_died": ("warning", _with_jobs("The runner {pid} died: {reason}")),
    "runner_killed": ("warning", _killed),
    "runner_remains": ("error", "The runner {pid} was killed and is still there; it hangs in the kernel"),
    # monitoring
    "exporter_listens": ("info", "Metrics and health at {address}"),
    "textfile_failed": ("error", "metrics.textfile: {path} cannot be written or removed: {error}"),
    "metrics_failed": ("error", lambda data: f"A request for {data['path']} failed: {_error(data['error'])}"),
    # recurring tasks
    "recurring_synced": ("info", _synced),
    "recurring_refused": (
        "warning",
        "The file's recurring task {key} is left out: one of that key was scheduled at run time; "
        "rename it, or: queuectl recurring unschedule {key}",
    ),
    "recurring_enqueued": (
        "info",
        lambda data: (
            f"job={data['job_id']} {data['class_name']} enqueued for {data['key']}"
            f" ({'asked for' if data['manual'] else 'due'} {_moment(data['run_at'])})"
            f"{', and discarded by its limit' if data.get('discarded') else ''}"
        ),
    ),
    "recurring_skipped": (
        "info",
        lambda data: f"{data['key']} of {_moment(data['run_at'])} left out: {data['message']}",
    ),
    "recurring_failed": (
        "error",
        lambda data: f"{data['key']} of {_moment(data['run_at'])} could not be enqueued: {data['message']}",
    ),
    "recurring_held": (
        "warning",
        lambda data: (
            f"{data['key']} of {_moment(data['run_at'])} is held back, tried again in {data['seconds']:g} s: {data['reason']}"
        ),
    ),
    "recurring_unknown": (
        "warning",
        "{key}: the application has no job {class_name}; it is enqueued without limits and callbacks, for another that may have it",
    ),
    "recurring_callback_failed": ("error", "{key} is enqueued; the process of its after_enqueue callbacks: {reason}"),
    "recurring_missed": ("warning", "{key}: runs missed and left out, as its policy has it: {count}"),
    "recurring_broken": ("error", "{key} cannot be run until it is corrected: {problem}"),
    "chore_done": ("info", "{key}: {message}"),
    "chore_failed": ("error", "{key} failed: {message}"),
    "heartbeat": ("info", lambda data: f"[HEARTBEAT] {json.dumps(data['heartbeat'])}"),
    "recurring_waiting": (
        "warning",
        lambda data: f"Held back until the application is loaded: {', '.join(data['keys'])}",
    ),
    # jobs
    "dispatched": ("debug", lambda data: f"Made {_jobs(data['count'])} ready"),
    "claimed": ("debug", lambda data: f"Claimed {_jobs(data['count'])}"),
    "retention": (
        "info",
        lambda data: "Deleted for age: " + ", ".join(f"{count} {state}" for state, count in data["deleted"].items()),
    ),
    "jobs_recovered": ("warning", _recovered),
    "jobs_expired": (
        "warning",
        lambda data: f"{_jobs(len(data['ids']))} discarded, not started in time: {_ids(data['ids'])}",
    ),
    "limits_repaired": (
        "error",
        "limits were not as they should be (were rows changed by hand?): took {evicted} slots back, let {admitted} jobs in",
    ),
    "jobs_released": (
        "info",
        lambda data: f"{_jobs(len(data['ids']))} ready again, {data['why']}: {_ids(data['ids'])}",
    ),
    "job_output": (_output_level, _output),
    "job_failed": ("error", _failed),
    "job_retry": ("warning", _retried),
    "job_interrupted": ("warning", lambda data: f"{_job(data)} is told to end ({data['reason']})"),
    "job_released": ("info", _released),
    "job_discarded": ("warning", lambda data: f"{_job(data)} discarded: {_job_error(data)}"),
    "job_crashed": ("error", _crashed),
    "job_cancelled": ("info", lambda data: f"{_job(data)} cancelled"),
    "stale_outcome": ("warning", _stale),
    "checkpoint_lost": (
        "warning",
        lambda data: f"{_job(data)}: how far it has come cannot be stored: {_error(data['error'])}",
    ),
    "outcome_lost": ("error", lambda data: f"{_job(data)}: how it ended cannot be stored: {_error(data['error'])}"),
    "job_done": ("debug", lambda data: f"{_job(data)} done in {data['duration']:.3f} s"),
}


class _Data(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def word(name: str, data: Mapping[str, Any]) -> tuple[Level, str]:
    """The level and the text of an event."""
    level, words = LINES.get(name, ("info", ""))
    try:
        text = words(data) if callable(words) else words.format_map(_Data(data))
        chosen = level(data) if callable(level) else level
    except (KeyError, TypeError, ValueError):
        text, chosen = "", "warning"  # told with other facts than the words need: the bare facts then
    return chosen, text or f"{name} " + " ".join(f"{key}={value}" for key, value in data.items() if key != "process")


def writer(form: LogFormat, role: str | None = None, stream: TextIO | None = None) -> Writer:
    """Where entries go, and how. `auto` is the journal where `stream` (stderr) is connected to it, else lines of text."""
    connected = stream is None and journal.is_stream(2, os.environ) and os.path.exists(journal.SOCKET)
    if form == "journal" or (form == "auto" and connected):
        return to_journal("queued" if role is None else f"queued@{role}")
    return to_stream(stream, as_json if form == "json" else plain)


def configure(
    level: str = "info", stream: TextIO | None = None, form: LogFormat = "text", role: str | None = None
) -> Callable[[], None]:
    """Write events of this level and above to `stream` (stderr); the returned function ends it."""
    least = LEVELS.get(level.lower(), 20)
    write = writer(form, role, stream)

    def interesting(name: str) -> bool:
        # Before any word is made: at full speed there are tens of thousands of these a second.
        if name in UNTOLD:
            return False
        known = LINES.get(name)
        return known is None or not isinstance(known[0], str) or LEVELS[known[0]] >= least

    def told(name: str, data: dict[str, Any]) -> None:
        if not interesting(name):
            return
        chosen, text = word(name, data)
        if LEVELS[chosen] >= least:
            write(Entry(time.time(), chosen, name, text, data))

    return telemetry.subscribe(told, interesting)
