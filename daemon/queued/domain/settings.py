"""The settings of `queued`: their values, and the one table that names, types, defaults and explains each of them.

The dataclasses are what every part is given. `SETTINGS` is what may be written in a file; it feeds validation,
`queued check` and the manual, so that no two of them can disagree. Nothing here reads a file or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["fork", "async"]
LogFormat = Literal["auto", "text", "json", "journal"]
#: What becomes of runs that nobody could start in time; whether a run may start while the last one goes on.
Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip"]

DAY = 86400.0

#: The file of recurring tasks beside the configuration, unless another is named.
USUAL_TASKS = "recurring.yml"


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the jobs are, and how to speak to it. URLs stay out of `repr`: they may hold a password."""

    url: str = field(repr=False)
    schema: str = "queued"
    listen: bool = True
    listen_url: str | None = field(default=None, repr=False)
    wake: bool = True
    busy_timeout: int = 5000
    mmap_size: int = 134217728
    cache_size: int = -16000
    synchronous: str = "full"
    connect_timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The application: its directory, its interpreter, the modules that define its jobs, its added environment."""

    path: str
    python: str
    imports: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """One dispatcher: what moves due jobs to ready."""

    polling_interval: float = 1.0
    batch_size: int = 500


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One kind of worker. With `tasks` above 0 jobs run as asyncio tasks and `threads` is 0."""

    queues: tuple[str, ...] = ("*",)
    threads: int = 3
    tasks: int = 0
    processes: int = 1
    polling_interval: float = 0.1
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """The scheduler of recurring tasks."""

    polling_interval: float = 5.0
    dynamic_tasks_enabled: bool = True
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class RecurringTaskSettings:
    """What one recurring task is, wherever it was defined. `timezone` is the one its schedule is read in.

    `arguments` is JSON text as jobs have it. `queue`, `priority` and `timeout` (seconds) are None where the job's own
    declaration decides. Commands and programs are jobs of the classes `queued.command` and `queued.shell`.
    """

    key: str
    schedule: str
    class_name: str
    arguments: str = '{"args":[],"kwargs":{}}'
    queue: str | None = None
    priority: int | None = None
    timeout: float | None = None
    timezone: str = "UTC"
    description: str | None = None
    missed: Missed = "skip"
    overlap: Overlap = "allow"
    jitter: float = 0.0
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long jobs are kept after their end, in seconds for each state; None is for ever."""

    finished: float | None = DAY
    discarded: float | None = DAY
    cancelled: float | None = DAY
    failed: float | None = None
    #: The record of operators' actions.
    audit: float | None = 90 * DAY
    batch_size: int = 500
    #: The queues whose jobs are deleted with their end when they ended well; none where it is empty.
    delete_finished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What monitoring is told and where. `listen` is HOST:PORT or the path of a socket; None is off, as for `textfile`.

    `latency_targets` has seconds by queue or `prefix*`.
    """

    listen: str | None = None
    textfile: str | None = None
    interval: float = 10.0
    latency_targets: Mapping[str, float] = field(default_factory=dict)
    label_limit: int = 200

    @property
    def wanted(self) -> bool:
        """Whether anybody is told at all."""
        return self.listen is not None or self.textfile is not None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one supervisor is told, each value final. Times are seconds."""

    environment: str
    mode: Mode
    database: DatabaseSettings
    #: The role or instance that this supervisor was started as. One that is named may have no actors.
    role: str | None = None
    app: AppSettings | None = None
    dispatchers: tuple[DispatcherSettings, ...] = ()
    workers: tuple[WorkerSettings, ...] = ()
    scheduler: SchedulerSettings | None = None
    shutdown_timeout: float = 5.0
    interrupt_grace: float = 2.0
    crash_limit: int = 3
    heartbeat_interval: float = 5.0
    alive_threshold: float = 25.0
    start_retries: int = 5
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    runtime_directory: str = "/run/queued"
    log_level: str = "info"
    log_format: LogFormat = "auto"
    skip_recurring: bool = False
    recurring_path: str | None = None
    recurring: tuple[RecurringTaskSettings, ...] = ()
    source: str = ""


#: What can be written for a setting. `section` holds settings, `sections` is a list of such, `roles` names sets of
#: actors, `tasks` names recurring tasks, `targets` gives seconds by queue.
Kind = Literal[
    "text", "path", "url", "name", "integer", "seconds", "retention", "flag", "choice",
    "endpoint", "file", "targets",
    "queues", "modules", "variables", "section", "sections", "roles", "tasks", "zone", "arguments", "program",
]  # fmt: skip

TYPES: Mapping[str, str] = {
    "text": "text",
    "path": "path",
    "url": "URL",
    "name": "name",
    "integer": "whole number",
    "seconds": 'seconds, or text such as "2 minutes"',
    "retention": 'seconds, text such as "12 hours", or never',
    "flag": "true or false",
    "choice": "one of",
    "endpoint": "HOST:PORT, path of a socket, or off",
    "file": "path, or off",
    "targets": "mapping of queues to seconds",
    "queues": "text or list of texts",
    "modules": "module name or list of them",
    "variables": "mapping of names to texts",
    "section": "mapping",
    "sections": "list of mappings",
    "roles": "mapping of role names to actors",
    "tasks": "mapping of keys to recurring tasks",
    "arguments": "a value, a list of values, or a mapping",
    "zone": "name of a time zone",
    "program": "text for /bin/sh, or a list of texts",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it may stand in a file.

    `path` names it, `[]` standing for each entry of a list. `default` is the value when nobody says anything;
    `default_text` says it in words where it is worked out. `variable` and `option` stand above the file.
    """

    path: str
    kind: Kind
    default: object
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    default_text: str | None = None
    variable: str | None = None
    option: str | None = None

    @property
    def section(self) -> str:
        """The path of what holds this setting; empty at the top."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The key as it stands in the file."""
        return self.path.rpartition(".")[2]

    @property
    def type(self) -> str:
        """What may be written, in words."""
        if self.kind == "choice":
            return " or ".join(", ".join(self.choices).rsplit(", ", 1))
        if self.kind == "integer" and self.minimum is not None and self.minimum >= 0:
            return f"whole number from {self.minimum:.0f}"
        return TYPES[self.kind]

    @property
    def shown_default(self) -> str:
        """The default in words, as the manual and error messages say it."""
        if self.default_text is not None:
            return self.default_text
        if self.default is None:
            return "none"
        if isinstance(self.default, bool):
            return "true" if self.default else "false"
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return str(self.default)


#: Long enough for every real purpose, short enough for every timer and every date.
FOREVER = 3_153_600_000.0

#: One entry for each setting, in the order of the manual.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "database",
        "section",
        None,
        "Where the jobs are stored: a URL, or a mapping of the settings below.",
        default_text="none; must be given here or by QUEUED_DATABASE_URL",
    ),
    Setting(
        "database.url",
        "url",
        None,
        "sqlite:///PATH (relative to the directory of the file), sqlite:////PATH (absolute) or "
        "postgresql://USER@HOST/DATABASE with any parameter of libpq.",
        default_text="none; must be given here or by QUEUED_DATABASE_URL",
        variable="QUEUED_DATABASE_URL",
    ),
    Setting("database.schema", "name", "queued", "PostgreSQL: the schema that holds the tables."),
    Setting(
        "database.listen",
        "flag",
        True,
        "PostgreSQL: be woken by LISTEN. Behind a pooler that pools transactions turn it off, so that polling"
        " alone finds new jobs, or give listen_url.",
    ),
    Setting(
        "database.listen_url",
        "url",
        None,
        "PostgreSQL: a URL of its own for LISTEN, past a pooler.",
        default_text="the same as url",
    ),
    Setting(
        "database.wake", "flag", True, "Wake waiting workers after each enqueue. Off, polling alone finds new jobs."
    ),
    Setting(
        "database.busy_timeout",
        "integer",
        5000,
        "SQLite: milliseconds that a writer waits for its turn, and again for the lock. Both together end after 22 seconds in the "
        "daemon's actors and after 10 in its supervisor, however long this is.",
        minimum=0,
        maximum=2**31 - 1,
    ),
    Setting(
        "database.mmap_size",
        "integer",
        134217728,
        "SQLite: bytes of the file that are mapped into memory; 0 turns mapping off.",
        minimum=0,
        maximum=2**40,
    ),
    Setting(
        "database.cache_size",
        "integer",
        -16000,
        "SQLite: size of the page cache; below 0 in KiB, above 0 in pages.",
        minimum=-(2**31),
        maximum=2**31 - 1,
    ),
    Setting(
        "database.synchronous",
        "choice",
        "full",
        "SQLite: full survives a power cut, extra also syncs the directory, normal may lose the last moments "
        "at a power cut.",
        choices=("normal", "full", "extra"),
    ),
    Setting(
        "database.connect_timeout",
        "seconds",
        5.0,
        "PostgreSQL: how long one attempt to connect may take. For all hosts of the URL together it ends after 22 seconds in the "
        "daemon's actors and after 10 in its supervisor, however long this is.",
        minimum=1,
        maximum=3600,
    ),
    Setting("app", "section", None, "The application whose jobs the workers run.", default_text="none"),
    Setting(
        "app.path",
        "path",
        ".",
        "The application's directory, relative to the directory of the file. Imports start here.",
        default_text="the directory of the file",
    ),
    Setting(
        "app.python",
        "path",
        None,
        "The application's own interpreter: a path, relative to app.path, or a name that is looked for on PATH.",
        default_text=".venv/bin/python or venv/bin/python under app.path where it is, else python3 from PATH",
    ),
    Setting(
        "app.import",
        "modules",
        None,
        "The modules that define the jobs, as in an import statement.",
        default_text="none; must be given with app",
    ),
    Setting(
        "app.environment",
        "variables",
        None,
        "Environment variables added for the application alone.",
        default_text="none",
    ),
    Setting(
        "mode",
        "choice",
        None,
        "fork gives each actor a process of its own; async runs the actors as threads of one process.",
        choices=("fork", "async"),
        default_text="async on SQLite, fork on PostgreSQL",
        variable="QUEUED_SUPERVISOR_MODE",
        option="--mode",
    ),
    Setting(
        "workers",
        "sections",
        None,
        "The workers, one entry for each kind. An empty list means none.",
        default_text="one worker when workers, dispatchers and scheduler are all left out, else none",
    ),
    Setting(
        "workers[].queues",
        "queues",
        ("*",),
        "The queues it serves, first entry first: a name, prefix* for all queues that begin so, * for all, "
        "-name or -prefix* for none of those. A text is split at commas.",
        default_text="*",
    ),
    Setting(
        "workers[].threads", "integer", 3, "How many jobs run at once, each in a thread.", minimum=1, maximum=10_000
    ),
    Setting(
        "workers[].tasks",
        "integer",
        None,
        "How many async jobs run at once as asyncio tasks of one thread. Instead of threads, never with it.",
        minimum=1,
        maximum=10_000,
    ),
    Setting(
        "workers[].fibers",
        "integer",
        None,
        "Another word for tasks, as Solid Queue's files have it.",
        minimum=1,
        maximum=10_000,
    ),
    Setting("workers[].processes", "integer", 1, "How many such workers.", minimum=1, maximum=1_000),
    Setting(
        "workers[].polling_interval",
        "seconds",
        0.1,
        "The longest an idle worker waits before it looks for jobs unasked.",
        minimum=0.01,
        maximum=DAY,
    ),
    Setting(
        "workers[].name", "text", None, "A name for the log and for queuectl.", default_text="made from kind and number"
    ),
    Setting(
        "dispatchers",
        "sections",
        None,
        "The dispatchers, which move due jobs to ready. An empty list means none.",
        default_text="one dispatcher when workers, dispatchers and scheduler are all left out, else none",
    ),
    Setting(
        "dispatchers[].polling_interval",
        "seconds",
        1.0,
        "The longest it waits before it looks for due jobs unasked.",
        minimum=0.01,
        maximum=DAY,
    ),
    Setting(
        "dispatchers[].batch_size",
        "integer",
        500,
        "How many jobs it moves in one transaction.",
        minimum=1,
        maximum=100_000,
    ),
    Setting(
        "dispatchers[].concurrency_maintenance",
        "flag",
        True,
        "Accepted because Solid Queue's files have it; this release does not use it.",
    ),
    Setting(
        "dispatchers[].concurrency_maintenance_interval",
        "seconds",
        600.0,
        "Accepted because Solid Queue's files have it; this release does not use it.",
        minimum=0,
        maximum=FOREVER,
    ),
    Setting(
        "dispatchers[].batch_maintenance",
        "flag",
        True,
        "Accepted because Solid Queue's files have it; this release does not use it.",
    ),
    Setting(
        "dispatchers[].recurring_tasks",
        "tasks",
        None,
        "Recurring tasks, written as in recurring.yml(5), whose tasks they join.",
        default_text="none",
    ),
    Setting(
        "scheduler",
        "section",
        None,
        "The scheduler, which starts recurring tasks. It runs where there are tasks, or where they may be scheduled at run"
        " time; not with --skip-recurring, and in a role only where the role has this key.",
        default_text="as below",
    ),
    Setting(
        "scheduler.polling_interval", "seconds", 5.0, "How often it looks for changed tasks.", minimum=0.01, maximum=DAY
    ),
    Setting(
        "scheduler.dynamic_tasks_enabled",
        "flag",
        True,
        "Whether it also runs the tasks that were scheduled at run time, by applications or queuectl.",
    ),
    Setting(
        "scheduler.timezone",
        "zone",
        "UTC",
        "The time zone of schedules that name none, as in Europe/Rome.",
    ),
    Setting(
        "roles",
        "roles",
        None,
        "Named sets of workers, dispatchers and scheduler for different hosts; queued start --role NAME runs "
        "that set alone, instead of the section's own. In a role, workers: [] and nothing else means that nobody works there.",
        default_text="none",
    ),
    Setting(
        "shutdown_timeout",
        "seconds",
        5.0,
        "How long running jobs may go on after a stop was asked for; then they are interrupted and go back to"
        " ready. 0 does not wait.",
        minimum=0,
        maximum=FOREVER,
    ),
    Setting(
        "interrupt_grace",
        "seconds",
        2.0,
        "How long a job may take to end after an exception was raised in it, before its process is killed. "
        "Jobs that run beside it in that process run again.",
        minimum=0,
        maximum=FOREVER,
    ),
    Setting(
        "crash_limit",
        "integer",
        3,
        "How often a job may kill the process that runs it before it is failed for good.",
        minimum=1,
        maximum=1_000,
    ),
    Setting(
        "heartbeat_interval", "seconds", 5.0, "How often each process says that it is alive.", minimum=0.1, maximum=DAY
    ),
    Setting(
        "alive_threshold",
        "seconds",
        25.0,
        "A process that was silent for so long counts as dead and loses its jobs. More than twice heartbeat_interval.",
        minimum=0.2,
        maximum=FOREVER,
    ),
    Setting(
        "start_retries",
        "integer",
        5,
        "How often an actor may fail to start before it is FATAL.",
        minimum=0,
        maximum=1_000_000,
    ),
    Setting(
        "retention",
        "section",
        None,
        "How long jobs are kept after their end, by how they ended.",
        default_text="as below",
    ),
    Setting("retention.finished", "retention", DAY, "Jobs that ended well.", default_text="1 day"),
    Setting("retention.discarded", "retention", DAY, "Jobs that were discarded.", default_text="1 day"),
    Setting("retention.cancelled", "retention", DAY, "Jobs that were cancelled.", default_text="1 day"),
    Setting("retention.failed", "retention", None, "Jobs that failed for good.", default_text="never"),
    Setting("retention.audit", "retention", 90 * DAY, "The record of what operators did.", default_text="90 days"),
    Setting(
        "retention.batch_size",
        "integer",
        500,
        "How many jobs are cleared in one transaction.",
        minimum=1,
        maximum=100_000,
    ),
    Setting(
        "retention.delete_finished",
        "queues",
        (),
        "The queues whose jobs are deleted as soon as they have ended well, instead of being kept for finished: a name, prefix*"
        " for all queues that begin so, * for all, -name or -prefix* for none of those. Nothing tells of such a job any more.",
        default_text="none",
    ),
    Setting(
        "metrics",
        "section",
        None,
        "What monitoring is told, and where; see queued-metrics(7). In a role these keys win over the section's, so that each"
        " daemon of a host can have an address of its own.",
        default_text="as below",
    ),
    Setting(
        "metrics.listen",
        "endpoint",
        None,
        "Where /metrics, /livez, /startedz, /readyz and /health are served. Whoever reaches it may read, so it is best kept to"
        " the host or a private network.",
        default_text="off",
    ),
    Setting(
        "metrics.textfile",
        "file",
        None,
        "A file for the textfile collector of Prometheus' node exporter, whose name ends in .prom."
        " Instead of listen, never with it under one Prometheus: it would add up the same jobs twice."
        " Each role of a host needs a file of its own.",
        default_text="off",
    ),
    Setting(
        "metrics.interval",
        "seconds",
        10.0,
        "How often the database is read for it, and the textfile is written.",
        minimum=1,
        maximum=3600,
    ),
    Setting(
        "metrics.latency_targets",
        "targets",
        None,
        "How long a ready job may wait, by queue: a name, prefix* for all queues that begin so, or * for all others. The closest"
        " one holds. /health and the alert rules measure by it.",
        default_text="none",
    ),
    Setting(
        "metrics.label_limit",
        "integer",
        200,
        "How many queues, kinds of job and recurring tasks are told apart; all others are one, _other.",
        minimum=1,
        maximum=10_000,
    ),
    Setting(
        "runtime_directory",
        "path",
        None,
        "Where sockets and slot files are; made if missing, for its owner alone.",
        default_text="$RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/queued, else /tmp/queued-UID",
    ),
    Setting(
        "log_level",
        "choice",
        "info",
        "The least important messages that are logged.",
        choices=("debug", "info", "warning", "error"),
        option="--log-level",
    ),
    Setting(
        "log_format",
        "choice",
        "auto",
        "text is lines for people, json an object in each line, journal entries with fields for systemd's journal; auto is journal"
        " where standard error is connected to it, else text.",
        choices=("auto", "text", "json", "journal"),
        option="--log-format",
    ),
)

BY_PATH: Mapping[str, Setting] = {setting.path: setting for setting in SETTINGS}

#: What one task of recurring.yml may say, in the order of its manual.
RECURRING: tuple[Setting, ...] = (
    Setting(
        "class", "text", None, "The job to enqueue, by its name.", default_text="none; one of class, command, shell"
    ),
    Setting(
        "command",
        "text",
        None,
        "Python that is run as a job in the application's interpreter.",
        default_text="none; one of class, command, shell",
    ),
    Setting(
        "shell",
        "program",
        None,
        "A program that is run as a job: a text for /bin/sh, or a list of the program and its arguments.",
        default_text="none; one of class, command, shell",
    ),
    Setting(
        "args",
        "arguments",
        None,
        "The job's arguments, with class: one value, or a list. A mapping, alone or last in the list, gives keyword arguments.",
        default_text="none",
    ),
    Setting("schedule", "text", None, "When to run; see SCHEDULES.", default_text="none; must be given"),
    Setting(
        "timezone", "zone", None, "The time zone of the schedule.", default_text="scheduler.timezone of queue.yml(5)"
    ),
    Setting("queue", "text", None, "The queue to enqueue in.", default_text="the job's own"),
    Setting(
        "priority",
        "integer",
        None,
        "The priority to enqueue with; smaller runs first.",
        minimum=-(2**31),
        maximum=2**31 - 1,
        default_text="the job's own",
    ),
    Setting(
        "timeout",
        "seconds",
        None,
        "How long one attempt may take before it is ended.",
        minimum=0.1,
        maximum=FOREVER,
        default_text="the job's own",
    ),
    Setting(
        "missed",
        "choice",
        "skip",
        "What becomes of runs that no scheduler was there to start in time: skip leaves them out, once makes up for all of"
        " them by one run, all makes up for each.",
        choices=("skip", "once", "all"),
    ),
    Setting(
        "overlap",
        "choice",
        "allow",
        "Whether a run is enqueued while the last one has not ended: allow does, skip leaves it out.",
        choices=("allow", "skip"),
    ),
    Setting(
        "jitter",
        "seconds",
        0.0,
        "Start each run up to so much later, so that not everything starts at once. The delay of a run is the same on every host.",
        minimum=0,
        maximum=3600,
    ),
    Setting("description", "text", None, "What the task is for, for those who read lists.", default_text="none"),
    Setting("enabled", "flag", True, "Whether the task runs on its schedule."),
)

#: What a section or a role may run.
ACTORS: tuple[str, ...] = ("workers", "dispatchers", "scheduler")
#: What a role may hold.
ROLE: tuple[str, ...] = (*ACTORS, "metrics")


def known(section: str) -> tuple[str, ...]:
    """The keys that a section may hold; `section` is a path such as `workers[]`, empty for the top."""
    return tuple(setting.name for setting in SETTINGS if setting.section == section)
