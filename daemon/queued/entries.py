"""An event on its way out: a line for people, a line of JSON for programs, or an entry of the journal."""

from __future__ import annotations

import json
import select
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, TextIO

from queued.domain.failures import title
from queued.domain.jobs import Failure
from queued.journal import Journal

Level = Literal["debug", "info", "warning", "error"]

NAMES: Mapping[str, str] = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR"}
#: syslog's numbers.
PRIORITIES: Mapping[str, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3}

#: The journal's field for a fact of an event. Lists of jobs become one field for each.
FIELDS: Mapping[str, str] = {
    "process": "QUEUED_PROCESS",
    "job_id": "QUEUED_JOB_ID",
    "class_name": "QUEUED_CLASS",
    "queue": "QUEUED_QUEUE",
    "attempt": "QUEUED_ATTEMPT",
    "stream": "QUEUED_STREAM",
    "key": "QUEUED_KEY",
}
#: Facts that are lists of job ids.
JOBS = ("ids", "jobs", "crashed", "failed", "released", "cancelled")
#: Bytes that a stream takes without waiting when select calls it writable: a pipe no more than these (PIPE_BUF), a socket's
#: queue some more.
AT_ONCE = 4096
CUT = " ... [cut]\n"
#: Jobs of one event that are named; the journal holds 1024 fields an entry.
MOST_JOBS = 900


@dataclass(frozen=True, slots=True)
class Entry:
    """One event with its words. `time` is seconds since 1970."""

    time: float
    level: Level
    event: str
    text: str
    data: Mapping[str, Any]

    @property
    def process(self) -> str:
        return str(self.data.get("process") or "supervisor")

    def jobs(self) -> Iterator[int]:
        """The ids of the jobs it is about."""
        if isinstance(self.data.get("job_id"), int):
            yield self.data["job_id"]
        for name in JOBS:
            listed = self.data.get(name)
            if isinstance(listed, list | tuple):
                yield from (job for job in listed if isinstance(job, int))


Writer = Callable[[Entry], None]


def plain(entry: Entry) -> str:
    """Lines for people, with the local time as the rest of the host's logs have it, and its distance from UTC."""
    moment = datetime.fromtimestamp(entry.time).astimezone().isoformat(" ", "milliseconds")
    head = f"{moment} {NAMES[entry.level]:<5} {entry.process}"
    return "".join(f"{head} {printable(line)}\n" for line in lines_of(entry.text))


def lines_of(text: str) -> list[str]:
    """The lines, at least one. Only a line feed ends one: what else could, a job has printed, and it begins no line here."""
    return text.removesuffix("\n").split("\n")


def briefly(entry: Entry) -> str:
    """As `plain`, cut to what a stream takes without waiting."""
    text = plain(entry)
    data = text.encode("utf-8", "backslashreplace")
    return text if len(data) <= AT_ONCE else data[: AT_ONCE - len(CUT)].decode("utf-8", "ignore") + CUT


def as_json(entry: Entry) -> str:
    """One object in a line: time (UTC), level, event, process, message, and the event's own facts."""
    told = {
        "time": datetime.fromtimestamp(entry.time, timezone.utc).isoformat(timespec="milliseconds"),
        "level": entry.level,
        "event": entry.event,
        "process": entry.process,
        "message": entry.text,
    }
    facts = {name: value for name, value in entry.data.items() if name not in told and value is not None}
    return json.dumps({**told, **facts}, default=_simple, ensure_ascii=False) + "\n"


def _simple(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, Failure):
        return title(value.error_class, value.message)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def as_fields(entry: Entry, identifier: str) -> Iterator[tuple[str, str]]:
    """The entry as the journal holds it."""
    yield "MESSAGE", "\n".join(printable(line) for line in lines_of(entry.text))
    yield "PRIORITY", str(PRIORITIES[entry.level])
    yield "SYSLOG_IDENTIFIER", identifier
    yield "QUEUED_EVENT", entry.event
    for name, field in FIELDS.items():
        value = entry.data.get(name)
        if name != "job_id" and isinstance(value, str | int) and value != "":
            yield field, str(value)
    for job, _ in zip(dict.fromkeys(entry.jobs()), range(MOST_JOBS), strict=False):
        yield FIELDS["job_id"], str(job)


def to_stream(stream: TextIO | None, render: Callable[[Entry], str]) -> Writer:
    """Write to a stream, whole entries at a time. `None` is stderr, whatever that is at the time."""
    lock = threading.Lock()

    def write(entry: Entry) -> None:
        target = stream if stream is not None else sys.stderr
        try:
            with lock:
                target.write(render(entry))
                target.flush()
        except (OSError, ValueError):
            pass  # nobody reads the log any more; the work goes on

    return write


def to_journal(identifier: str, journal: Journal | None = None) -> Writer:
    """Write to the journal. What it does not take goes to stderr as plain lines, cut, if those are taken at once, else lost."""
    target = journal if journal is not None else Journal()
    on_stderr = to_stream(None, briefly)

    def write(entry: Entry) -> None:
        lost = target.lost
        fields: Iterable[tuple[str, str]] = as_fields(entry, identifier)
        if target.send([*fields, ("QUEUED_LOST", str(lost))] if lost else fields):
            return
        if _takes_more(sys.stderr):
            on_stderr(entry)

    return write


def _takes_more(stream: TextIO) -> bool:
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        return False


def printable(text: str) -> str:
    """The text without control characters: a job's output must not drive an operator's terminal."""
    return "".join(
        character if character.isprintable() or character == "\t" else _escaped(character) for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
