"""Every metric: its name, type, labels and meaning. The exposition, the manual, the rules and the dashboard are held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Type = Literal["counter", "gauge", "histogram"]
#: Where the values come from: counted by the daemon's processes on this host, read from the database (then they are the same
#: on every host), or known to the exporter itself.
Source = Literal["daemon", "database", "exporter"]

#: Upper bounds of the buckets, in seconds. Waits grow past what runs take.
RUN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
STATEMENT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

#: What becomes of an attempt, by the words of the metric.
OUTCOMES = ("succeeded", "failed", "retried", "discarded", "cancelled", "released")
STATES = ("ready", "scheduled", "blocked", "running", "failed")
#: What stands for every value of a label beyond `metrics.label_limit`.
OTHER = "_other"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is that of the family: a counter's samples add `_total`."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    source: Source = "daemon"
    buckets: tuple[float, ...] = ()

    @property
    def sample(self) -> str:
        """The name as rules and dashboards write it."""
        return f"{self.name}_total" if self.type == "counter" else self.name

    @property
    def samples(self) -> tuple[str, ...]:
        """Every name under which values are exported."""
        if self.type == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.sample,)


CATALOGUE: tuple[Metric, ...] = (
    # what users feel
    Metric(
        "queued_queue_latency_seconds",
        "gauge",
        "How long the oldest ready job has waited; 0 when none is ready.",
        ("queue",),
        "database",
    ),
    Metric(
        "queued_queue_latency_target_seconds",
        "gauge",
        "The latency that metrics.latency_targets promises for the queue.",
        ("queue",),
        "exporter",
    ),
    Metric(
        "queued_queue_jobs",
        "gauge",
        "Jobs in each state, by queue. Counting stops at 20000 of a state: see queued_queue_jobs_capped.",
        ("queue", "state"),
        "database",
    ),
    Metric(
        "queued_queue_jobs_capped",
        "gauge",
        "1 while there are more jobs of the state than are counted, so that its queues may hold more than they show.",
        ("state",),
        "database",
    ),
    Metric(
        "queued_queue_longest_running_seconds",
        "gauge",
        "Age of the longest running job of the queue; 0 when none runs.",
        ("queue",),
        "database",
    ),
    Metric("queued_queue_paused", "gauge", "1 while the queue is paused.", ("queue",), "database"),
    Metric(
        "queued_queue_workers", "gauge", "Living workers, of any host, that serve the queue.", ("queue",), "database"
    ),
    Metric(
        "queued_jobs_enqueued",
        "counter",
        "Numbers given to jobs since the database was made; an enqueue that was rolled back has used some too.",
        (),
        "database",
    ),
    Metric(
        "queued_jobs_processed",
        "counter",
        "Attempts that ended in this daemon's workers, by outcome: succeeded, failed (for good), retried, discarded, "
        "cancelled, or released (given back unfinished).",
        ("queue", "job_class", "outcome"),
    ),
    Metric("queued_job_duration_seconds", "histogram", "How long attempts ran.", ("job_class",), buckets=RUN_BUCKETS),
    Metric(
        "queued_job_wait_seconds",
        "histogram",
        "From the moment a job was ready to the start of its attempt.",
        ("queue",),
        buckets=WAIT_BUCKETS,
    ),
    Metric("queued_job_timeouts", "counter", "Jobs told to end because their timeout had passed.", ("job_class",)),
    Metric("queued_job_crashes", "counter", "Attempts whose process died under them."),
    Metric(
        "queued_stale_outcomes",
        "counter",
        "Outcomes that were refused because the job had been given to another process meanwhile.",
    ),
    # scheduling
    Metric(
        "queued_scheduled_lag_seconds",
        "gauge",
        "How far past its time the most overdue scheduled job is; 0 when none is due.",
        (),
        "database",
    ),
    Metric("queued_jobs_dispatched", "counter", "Scheduled jobs that this daemon's dispatchers made ready."),
    Metric(
        "queued_blocked_oldest_seconds",
        "gauge",
        "How long the blocked job that was enqueued first has waited for its limit; 0 when none is blocked.",
        (),
        "database",
    ),
    Metric("queued_orphaned_jobs", "gauge", "Claimed jobs whose process is not registered any more.", (), "database"),
    Metric(
        "queued_jobs_deleted", "counter", "Jobs that this daemon deleted for age, by how they had ended.", ("state",)
    ),
    Metric(
        "queued_recurring_task_enabled",
        "gauge",
        "1 while the task runs on its schedule; 0 while it is paused, switched off, or cannot be planned.",
        ("task",),
        "database",
    ),
    Metric(
        "queued_recurring_task_last_enqueued_timestamp_seconds",
        "gauge",
        "When the last run of the task was started, in seconds since 1970.",
        ("task",),
        "database",
    ),
    Metric(
        "queued_recurring_task_last_success_timestamp_seconds",
        "gauge",
        "When one of the last 100 runs of the task ended well, in seconds since 1970. It may be told a minute late.",
        ("task",),
        "database",
    ),
    Metric(
        "queued_recurring_task_next_timestamp_seconds",
        "gauge",
        "When the task is due next, in seconds since 1970.",
        ("task",),
        "database",
    ),
    Metric(
        "queued_recurring_task_interval_seconds",
        "gauge",
        "The longest gap between two of the task's next 20 runs.",
        ("task",),
        "database",
    ),
    Metric(
        "queued_recurring_runs",
        "counter",
        "Runs that this daemon's scheduler decided on: enqueued, skipped (the last one goes on) or missed (left out).",
        ("task", "result"),
    ),
    Metric(
        "queued_chore_runs",
        "counter",
        "Tasks that the scheduler does itself, such as queued.clear_finished_jobs: done or failed.",
        ("task", "result"),
    ),
    # processes
    Metric(
        "queued_healthy",
        "gauge",
        "1 while nothing keeps jobs from running, as `queuectl status` judges it; 0 while something does.",
        (),
        "database",
    ),
    Metric("queued_processes", "gauge", "Registered processes, by kind and host.", ("kind", "hostname"), "database"),
    Metric(
        "queued_process_oldest_heartbeat_timestamp_seconds",
        "gauge",
        "The least recent heartbeat among the processes of one kind on one host, in seconds since 1970.",
        ("kind", "hostname"),
        "database",
    ),
    Metric(
        "queued_process_oldest_start_timestamp_seconds",
        "gauge",
        "When the oldest of the processes of one kind on one host was started, in seconds since 1970.",
        ("kind", "hostname"),
        "database",
    ),
    Metric(
        "queued_actors_expected", "gauge", "Actors that this daemon's configuration asks for.", ("kind",), "exporter"
    ),
    Metric(
        "queued_child_restarts",
        "counter",
        "Actors of this daemon that ended unasked, by how: signal, exit (with a status), or error.",
        ("kind", "reason"),
    ),
    Metric(
        "queued_runners_ended",
        "counter",
        "Processes that run jobs and came to a bad end: died under their jobs, or killed for a job that did not end.",
        ("reason",),
    ),
    Metric(
        "queued_worker_threads", "gauge", "Jobs that this daemon's workers may run at once, by queue list.", ("queues",)
    ),
    Metric("queued_worker_threads_busy", "gauge", "Of these, how many run a job or are about to.", ("queues",)),
    Metric(
        "queued_worker_busy_seconds",
        "counter",
        "Thread time spent running jobs, from a look once a second.",
        ("queues",),
    ),
    # the database
    Metric(
        "queued_polls",
        "counter",
        "Claims that this daemon's workers made: hit when they got jobs, empty when there were none.",
        ("result",),
    ),
    Metric(
        "queued_db_query_duration_seconds",
        "histogram",
        "Time of the workers' own statements: claim takes jobs, ack stores how a batch of them ended.",
        ("operation",),
        buckets=STATEMENT_BUCKETS,
    ),
    Metric("queued_db_outages", "counter", "Times that a process of this daemon lost the database."),
    Metric(
        "queued_db_size_bytes", "gauge", "Size of the tables and their indexes; on SQLite of the file.", (), "database"
    ),
    Metric(
        "queued_db_table_size_bytes",
        "gauge",
        "Size on disk of each table with its indexes; PostgreSQL only.",
        ("table",),
        "database",
    ),
    Metric(
        "queued_db_table_dead_rows",
        "gauge",
        "Rows that wait for vacuum, by the server's own estimate; PostgreSQL only.",
        ("table",),
        "database",
    ),
    # the daemon and its exporter
    Metric("queued_build_info", "gauge", "A constant 1.", ("version", "python", "backend"), "exporter"),
    Metric(
        "queued_config_last_reload_successful",
        "gauge",
        "1 when the last reload was accepted, or there was none; 0 when it was refused and the old configuration runs on.",
    ),
    Metric(
        "queued_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration in force was taken, in seconds since 1970.",
    ),
    Metric(
        "queued_collector_success",
        "gauge",
        "1 when the collector's last run succeeded. While database is 0 everything read from the database is left out.",
        ("collector",),
        "exporter",
    ),
    Metric(
        "queued_collector_duration_seconds",
        "gauge",
        "How long the collector's last run took.",
        ("collector",),
        "exporter",
    ),
    Metric(
        "queued_collector_last_run_timestamp_seconds",
        "gauge",
        "When the collector ran last, in seconds since 1970.",
        ("collector",),
        "exporter",
    ),
)

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in CATALOGUE}
