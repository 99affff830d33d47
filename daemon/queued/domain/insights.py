"""What an operator sees: read models of jobs, queues, processes, and the verdict on the whole.

Values only. `queued.storage.insights` reads them, the command line shows them. Every moment is an aware UTC datetime on
the database's clock, and `now` always comes from there, so a host with a wrong clock shows right ages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote
from typing import Any, Literal

from queued.domain.errors import ConfigurationError
from queued.domain.jobs import Failure, State
from queued.domain.queues import Selector

#: Counting stops here: an exact count of a million rows would cost more than it tells.
COUNT_CAP = 100_000
#: Seconds without a heartbeat after which a process counts as dead, unless the configuration says otherwise.
ALIVE_THRESHOLD = 25.0
#: Seconds that a due job may wait for a dispatcher: several times the usual polling interval.
OVERDUE = 10.0
#: Bytes. With less than that free a disk counts as full: one commit of SQLite may write as much.
ROOM = 1_048_576


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows; `capped` means there are more than that."""

    value: int
    capped: bool = False

    @classmethod
    def of(cls, counted: int, cap: int = COUNT_CAP) -> Count:
        """The count of a query that stopped at `cap + 1` rows."""
        return cls(min(counted, cap), counted > cap)

    def __str__(self) -> str:
        return f"{self.value}+" if self.capped else str(self.value)

    def of_jobs(self, which: str = "") -> str:
        """The number with its noun: "1 job", "100000+ failed jobs"."""
        adjective = f"{which} " if which else ""
        return f"{self} {adjective}{'job' if self.value == 1 and not self.capped else 'jobs'}"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the database. `oldest` is how long the oldest ready job has waited, in seconds."""

    ready: int
    capped: bool = False
    oldest: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job says it is: `done` of `total`, with a few words."""

    done: float
    total: float | None = None
    message: str | None = None

    @property
    def percent(self) -> int | None:
        """Whole per cent, 100 only when all is done; None without a total."""
        return None if not self.total or self.total < 0 else int(100 * self.done / self.total)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a job: the finished ones in order, the one it is in, and that one's cursor as it is stored (JSON)."""

    finished: tuple[str, ...]
    current: str | None = None
    cursor: Any = None


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One line of a list. `state_at` is when the job came into its state, as far as it is known without a search."""

    id: int
    class_name: str
    queue: str
    priority: int
    state: State
    attempt: int
    enqueued_at: datetime
    state_at: datetime | None
    run_at: datetime | None = None
    error_class: str | None = None
    message: str | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A list of jobs. `more` says that others match; `following` is the place where the next page begins.

    `searched_to` is the id where the search stopped before the table did: others may match. `window` is how many ready jobs
    were looked at, those that would be claimed first, when there are more.
    """

    jobs: tuple[JobSummary, ...]
    more: bool = False
    searched_to: int | None = None
    window: int | None = None
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that did not end well. `counted` is false once an operator's retry gave the job a new start."""

    attempt: int
    error_class: str
    message: str
    backtrace: tuple[str, ...]
    hostname: str | None
    process_name: str | None
    policy: str | None
    started_at: datetime | None
    ended_at: datetime
    counted: bool


@dataclass(frozen=True, slots=True)
class LimitInfo:
    """One limit of a job. `holders` are the first few of the `held` jobs that have a slot; a blocked job waits for one of them."""

    key: str
    capacity: int
    held: int
    holders: tuple[int, ...]
    waited_for: bool
    on_conflict: str
    duration: float | None


@dataclass(frozen=True, slots=True)
class Lock:
    """A key of limits: how many may hold it, how many do (the first few in `holders`), and how many wait."""

    key: str
    capacity: int
    held: int
    holders: tuple[int, ...]
    blocked: Count


@dataclass(frozen=True, slots=True)
class UniqueInfo:
    """The unique key of a job: until when it is held, and which job has it at this moment."""

    key: str
    #: `start`, `waiting` or `finish`; None of a key that is held for a period.
    until: str | None
    holder: int | None
    #: When the period is over.
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class RateInfo:
    """The rate limit of a job, and whether it waits for a turn that it was given."""

    key: str
    starts: int
    period: float
    has_turn: bool


@dataclass(frozen=True, slots=True)
class Interruptions:
    """How often a job was stopped while it ran, and the last time."""

    times: int
    reason: str
    attempt: int
    hostname: str
    process_name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class JobDetail:
    """Everything that is known of one job. Fields that do not belong to its state are None."""

    id: int
    class_name: str
    state: State
    queue: str
    priority: int
    attempt: int
    arguments: str
    options: str | None
    enqueued_at: datetime
    now: datetime
    run_at: datetime | None = None
    ready_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    cancel_at: datetime | None = None
    failed_at: datetime | None = None
    finished_at: datetime | None = None
    process: ProcessInfo | None = None
    queue_paused_at: datetime | None = None
    #: The error that a failed job stands on, else the one of its last attempt that did not end well.
    failure: Failure | None = None
    attempts: tuple[Attempt, ...] = ()
    steps: Steps | None = None
    progress: Progress | None = None
    #: When steps or progress were stored last.
    saved_at: datetime | None = None
    #: Whether a dispatcher is alive, without which a scheduled job waits also when it is due.
    dispatched: bool = True
    blocked_at: datetime | None = None
    #: The limits of a job that has not ended.
    limits: tuple[LimitInfo, ...] = ()
    #: How many wait before a blocked job in its line.
    ahead: Count | None = None
    unique: UniqueInfo | None = None
    rate: RateInfo | None = None
    #: When it must have started.
    expires_at: datetime | None = None
    #: The batch that it is a member of, and whether it still counts there.
    batch: int | None = None
    batch_open: bool = False
    interruptions: Interruptions | None = None
    #: The key of the recurring task that it is a run of.
    task: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A registered process. It is alive while its last heartbeat is younger than the threshold, and it is not known to be gone."""

    id: int
    name: str
    kind: str
    supervisor: str | None
    pid: int
    hostname: str
    started_at: datetime
    last_heartbeat_at: datetime
    heartbeat_age: float
    alive: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: It has ended on the host of whoever looks, whatever its last heartbeat says.
    gone: bool = False

    @property
    def application(self) -> tuple[str, str | None] | None:
        """The application's state as its supervisor tells it, and the error if there is one."""
        told = self.metadata.get("application")
        if not isinstance(told, Mapping) or "state" not in told:
            return None
        error = told.get("error")
        if isinstance(error, Mapping):
            error = ": ".join(str(error[key]) for key in ("class", "message") if error.get(key))
        return str(told["state"]), str(error) if error else None


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """One queue: how much waits in it and since when."""

    name: str
    paused_at: datetime | None
    ready: Count
    scheduled: Count
    blocked: Count
    running: int
    failed: Count
    oldest_ready_at: datetime | None
    latency: float | None
    workers: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole system at one moment."""

    now: datetime
    ready: Count
    scheduled: Count
    blocked: Count
    running: Count
    failed: Count
    #: Ends of the last hour by state: finished, discarded, cancelled; `failed` counts jobs that failed for good.
    last_hour: Mapping[str, Count]
    oldest_ready_at: datetime | None
    queues: tuple[QueueInfo, ...]
    processes: tuple[ProcessInfo, ...]
    #: Since when the longest due of the scheduled jobs is due; None while none is.
    oldest_due_at: datetime | None = None
    #: Bytes free on the disk of a SQLite file, where that is known.
    free: int | None = None


Severity = Literal["problem", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing an operator should know. A `problem` keeps jobs from running though nobody asked for that."""

    severity: Severity
    text: str
    hint: str | None = None


def diagnose(overview: Overview) -> list[Finding]:
    """What is wrong, the worst first."""
    found: list[Finding] = []
    alive = [process for process in overview.processes if process.alive]
    dead = [process for process in overview.processes if not process.alive]
    if not any(process.kind == "worker" for process in alive):
        waiting = f"; {overview.ready.of_jobs()} waiting" if overview.ready.value else ""
        if any(process.kind == "supervisor" for process in alive):
            hint = "a daemon runs: its log says why it has no worker (does the application load?)"
        else:
            hint = "start the daemon: queued start"
        found.append(Finding("problem", f"no worker is alive{waiting}", hint))
    overdue = (overview.now - overview.oldest_due_at).total_seconds() if overview.oldest_due_at else 0.0
    if overdue > OVERDUE and not any(process.kind == "dispatcher" for process in alive):
        text = f"no dispatcher is alive: scheduled jobs, retries among them, are due since {overdue:.0f} s and wait"
        found.append(Finding("problem", text, "write dispatchers: [{}] in queue.yml, and start or reload the daemon"))
    for process in alive:
        state, error = process.application or ("", None)
        if state == "FATAL":
            text = f"the application on {process.hostname} is FATAL: {error or 'it could not be loaded'}"
            found.append(Finding("problem", text, "correct it, then reload or restart the daemon"))
        elif state == "BACKOFF":
            text = (
                f"the application on {process.hostname} does not start and is tried again: {error or 'no reason told'}"
            )
            found.append(Finding("problem", text, "see the daemon's log"))
    if overview.free is not None and overview.free < ROOM:
        text = f"the disk of the database is full ({overview.free // 1024} KiB left)"
        found.append(Finding("problem", text, "make room on it: no job is stored, started or ended until then"))
    for process in dead:
        fault = "has ended" if process.gone else f"has been silent for {process.heartbeat_age:.0f} s"
        text = f"{process.kind} {process.name} (pid {process.pid} on {process.hostname}) {fault}"
        found.append(Finding("problem", text, "a living supervisor gives its jobs back; else start one"))
    workers = any(process.kind == "worker" for process in alive)
    for queue in overview.queues:
        if queue.paused_at is not None:
            found.append(
                Finding("warning", f"queue {queue.name} is paused", f"queuectl queues resume {quote(queue.name)}")
            )
        elif workers and queue.ready.value and not queue.workers:
            text = f"queue {queue.name} holds {queue.ready.of_jobs('ready')} and no living worker serves it"
            found.append(Finding("problem", text, "add it to a worker's queues: in queue.yml"))
    if overview.failed.value:
        found.append(Finding("warning", overview.failed.of_jobs("failed"), "queuectl errors"))
    return sorted(found, key=lambda finding: finding.severity != "problem")


def serves(queues: object, name: str) -> bool:
    """Whether a worker that told `queues` in its metadata takes jobs of the queue `name`; nothing told means all."""
    listed = queues.split(",") if isinstance(queues, str) else queues
    if not isinstance(listed, (list, tuple)):
        return True
    try:
        return Selector.parse([str(entry) for entry in listed]).serves(name)
    except ConfigurationError:
        return True


def uncounted(processes: Iterable[ProcessInfo]) -> str:
    """Which jobs no figure of ended ones knows, in words: workers delete them. Empty where there are none."""
    queues = sorted({str(process.metadata.get("delete_finished") or "") for process in processes} - {""})
    return f"jobs of {', '.join(queues)} that ended well are deleted, and are not counted" if queues else ""
