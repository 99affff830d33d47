"""Figures and their table: what was measured, how it varied, and what it should have been."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. The targets are those of the design, in words, for SQLite and for PostgreSQL."""

    key: str
    label: str
    unit: str
    sqlite: str = "-"
    postgresql: str = "-"

    def target(self, database: str) -> str:
        """What must be reached on this database."""
        return self.sqlite if database == "SQLite" else self.postgresql


ROWS = (
    Row("drain_1", "drain, 1 worker", "jobs/s", "≥ 20 k", "> 25 k, then > 58 k"),
    Row("drain_2", "drain, 2 workers", "jobs/s", "-", "> 35 k, then > 75 k"),
    Row("drain_deleted", "drain, 1 worker, finished jobs deleted", "jobs/s"),
    Row("cost_daemon", "CPU of a drained job: worker", "µs"),
    Row("cost_runner", "CPU of a drained job: its runner", "µs"),
    Row("cost_server", "CPU of a drained job: database server", "µs"),
    Row("bulk", "enqueue in batches of 1000", "jobs/s", "-", "> 151 k"),
    Row("batched", "the same, into one batch", "jobs/s"),
    Row("single", "enqueue one by one, durable", "jobs/s", "> 6.1 k", "> 4 k"),
    Row("latency_p50", "enqueue to start, idle, p50", "ms", "≤ 2", "≤ 2"),
    Row("latency_p99", "enqueue to start, idle, p99", "ms", "≤ 10", "≤ 10"),
    Row("compute", "1 ms of CPU, 1 thread", "jobs/s", "≥ 950", "≥ 950"),
    Row("wait_threads", "5 ms of waiting, 10 threads", "jobs/s", "≥ 1 900", "≥ 1 900"),
    Row("wait_tasks", "5 ms of waiting, 10 tasks", "jobs/s", "≥ 1 900", "≥ 1 900"),
    Row("steps_advance", "one advance of a step, tight loop", "µs", "≤ 2", "≤ 2"),
    Row("steps_checkpoint", "one checkpoint that waits until stored", "ms"),
    Row("memory", "idle memory, all processes, fork", "MiB PSS", "≤ 60", "≤ 60"),
    Row("memory_daemon", "the same without runners", "MiB PSS"),
    Row("cpu", "idle CPU, fork", "% of a core", "< 0.5", "< 0.5"),
    Row("transactions", "idle transactions, fork", "per s"),
    Row("async_memory", "idle memory, all processes, async", "MiB PSS", "≤ 60", "≤ 60"),
    Row("async_memory_daemon", "the same without runners", "MiB PSS"),
    Row("async_cpu", "idle CPU, async", "% of a core", "< 0.5", "< 0.5"),
    Row("async_transactions", "idle transactions, async", "per s"),
    Row("lists_plain", "slowest list of one state, a million jobs", "ms", "< 300", "< 300"),
    Row("lists_chosen", "slowest list by what no index tells", "ms", "< 300", "< 300"),
    Row("lists_overview", "queuectl status, a million jobs", "ms", "< 300", "< 300"),
    Row("hard_ready", "drain, a million jobs are ready", "jobs/s"),
    Row("hard_ready_share", "share of the clean rate", "%", "≥ 80", "≥ 80"),
    Row("hard_unanalysed", "drain, tables were never analysed or vacuumed", "jobs/s"),
    Row("hard_unanalysed_share", "share of the rate after ANALYZE", "%", "≥ 80", "≥ 80"),
    Row("hard_held", "drain, a transaction is held open", "jobs/s"),
    Row("hard_held_share", "share of the clean rate", "%", "≥ 70", "≥ 70"),
    Row("hard_held_2", "the same, 2 workers", "jobs/s"),
    Row("hard_held_2_share", "share of the clean rate", "%", "≥ 70", "≥ 70"),
    Row("hard_queues", "drain, 100 queues and 3 priorities", "jobs/s"),
    Row("hard_queues_share", "share of the clean rate", "%", "≥ 80", "≥ 80"),
    Row("hard_blocked", "drain, 50 000 jobs wait for one key", "jobs/s"),
    Row("hard_blocked_share", "share of the clean rate", "%", "≥ 80", "≥ 80"),
    Row("hard_line", "jobs of that key, one at a time", "jobs/s"),
    Row("hard_line_share", "share of a line of 1 000", "%", "≥ 80", "≥ 80"),
    Row("hard_scheduled", "drain, a million jobs lie ahead", "jobs/s"),
    Row("hard_scheduled_share", "share of the clean rate", "%", "≥ 80", "≥ 80"),
    Row("hard_due", "dispatch and drain, all due at once", "jobs/s"),
    Row("hard_large", "drain, arguments of 100 KB", "jobs/s"),
    Row("hard_large_memory", "most memory meanwhile, all processes", "MiB PSS"),
    Row("hard_pruned", "drain, a million old jobs are deleted meanwhile", "jobs/s"),
    Row("hard_pruned_share", "share of the clean rate", "%", "≥ 80", "≥ 80"),
    Row("hard_pruning", "finished jobs deleted meanwhile", "jobs/s", "≥ 10 k", "≥ 10 k"),
)

#: For each database, for each row's key, the values of its repeats.
Results = Mapping[str, Mapping[str, Sequence[float]]]


def table(results: Results) -> str:
    """The figures as one Markdown table: the median of the repeats, and in brackets the least and the most."""
    databases = list(results)
    head = ["", "unit", *(cell for name in databases for cell in (name, "target"))]
    lines = [head, ["---", "---", *["---:", "---"] * len(databases)]]
    for row in ROWS:
        if any(results[name].get(row.key) for name in databases):
            cells = [cell for name in databases for cell in (spread(results[name].get(row.key, ())), row.target(name))]
            lines.append([row.label, row.unit, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float]) -> str:
    """`12 345 (12 000-12 500)`, or the one value there is."""
    if not values:
        return "-"
    middle = shown(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({shown(min(values))}-{shown(max(values))})"


def shown(value: float) -> str:
    """Three figures are as many as repeat: `12 345`, `976`, `43.2`, `1.93`, `0.12`."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
