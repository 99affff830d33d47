"""Who is compared with `queued`, how much each has to do, and the table of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from figures import spread


@dataclass(frozen=True, slots=True)
class Contender:
    """One system on one database. Counts of jobs are for about two seconds of its own speed: no run is all start, or all night."""

    name: str
    #: Below `peers`: its adapter, and what is to be installed for it.
    directory: str
    #: `postgresql` or `sqlite`, as in a URL.
    database: str
    drain: int
    single: int
    #: None: it has no call that enqueues many.
    bulk: int | None
    #: One process of the adapter is all workers; of the others each worker is a process.
    whole: bool = False
    #: Whether the planner is told what the tables hold once they are full: whichever makes it faster.
    analyzed: bool = True
    #: The oldest Python it runs on.
    python: tuple[int, int] = (3, 10)


CONTENDERS = (
    Contender("queued", "queued", "postgresql", drain=60_000, single=4_000, bulk=60_000, whole=True),
    Contender("graphile-worker", "graphile-worker", "postgresql", drain=100_000, single=2_000, bulk=80_000),
    Contender("pgqueuer", "pgqueuer", "postgresql", drain=40_000, single=3_000, bulk=60_000),
    Contender("awa", "awa", "postgresql", drain=10_000, single=1_000, bulk=40_000),
    Contender("oban", "oban", "postgresql", drain=6_000, single=1_500, bulk=8_000, analyzed=False, python=(3, 12)),
    Contender("chancy", "chancy", "postgresql", drain=16_000, single=1_500, bulk=10_000),
    Contender("procrastinate", "procrastinate", "postgresql", drain=1_000, single=1_000, bulk=10_000),
    Contender("huey", "huey", "postgresql", drain=2_500, single=2_000, bulk=None),
    Contender("queued on SQLite", "queued", "sqlite", drain=60_000, single=5_000, bulk=80_000, whole=True),
    Contender("huey on SQLite", "huey", "sqlite", drain=6_000, single=6_000, bulk=None),
)


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of everything."""

    rounds: int
    #: Of the counts that a contender has.
    share: float
    latency: int
    compute: int
    wait: int
    #: Longer than the ten seconds after which an idle process of PostgreSQL tells what it did before.
    settle: float
    idle: float


FULL = Amount(rounds=3, share=1.0, latency=80, compute=700, wait=1_200, settle=12.0, idle=8.0)
QUICK = Amount(rounds=1, share=0.3, latency=30, compute=300, wait=600, settle=12.0, idle=4.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, and the measurement that gives it."""

    key: str
    measurement: str
    label: str
    unit: str


ROWS = (
    Row("drain_1", "drain_1", "drain, 1 worker", "jobs/s"),
    Row("drain_2", "drain_2", "drain, 2 workers", "jobs/s"),
    Row("cost_worker", "drain_1", "CPU of a drained job: the worker's processes", "µs"),
    Row("cost_server", "drain_1", "CPU of a drained job: database server", "µs"),
    Row("drain_memory", "drain_1", "memory after the drain", "MiB PSS"),
    Row("bulk", "bulk", "enqueue in batches", "jobs/s"),
    Row("single", "single", "enqueue one by one, durable", "jobs/s"),
    Row("latency_p50", "latency", "enqueue to start, idle, p50", "ms"),
    Row("latency_p99", "latency", "enqueue to start, idle, p99", "ms"),
    Row("compute", "compute", "1 ms of CPU, 1 worker", "jobs/s"),
    Row("wait", "wait", "5 ms of waiting, ten at once", "jobs/s"),
    Row("idle_memory", "idle", "idle memory", "MiB PSS"),
    Row("idle_cpu", "idle", "idle CPU", "% of a core"),
    Row("idle_transactions", "idle", "idle transactions", "per s"),
)

#: For each contender's name, for each row's key, the values of its rounds.
Results = Mapping[str, Mapping[str, Sequence[float]]]


def comparison(results: Results, failures: Collection[tuple[str, str]]) -> str:
    """One Markdown table, a column for each contender: the median of the rounds, and in brackets the least and the most.

    `failures` are the measurements that did not come to an end, as (contender, measurement).
    """
    lines = [["", "unit", *results], ["---", "---", *["---:"] * len(results)]]
    for row in ROWS:
        cells = [
            "failed" if (name, row.measurement) in failures else spread(results[name].get(row.key, ()))
            for name in results
        ]
        if set(cells) != {"-"}:
            lines.append([row.label, row.unit, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies, 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * part))]
