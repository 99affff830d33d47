"""Exposition: what is known, in the words of Prometheus. The only place that imports prometheus_client."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from queued.domain.gauges import Sample, target_of
from queued.domain.health import whole
from queued.domain.insights import Overview
from queued.domain.release import VERSION
from queued.metrics.catalogue import BY_NAME, CATALOGUE, OTHER, OUTCOMES, STATES
from queued.metrics.gaps import Gaps
from queued.metrics.tally import Histogram, Key, Labels, Tally

#: What `Accept` gets when nothing is asked for.
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Collected:
    """How the last run of one collector went. `at` is the wall clock's, in seconds since 1970."""

    ok: bool
    seconds: float
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is exposed. `sample` is None while the database does not answer; `actors` while no daemon is asked."""

    tally: Tally
    sample: Sample | None
    backend: str
    targets: Mapping[str, float] = field(default_factory=dict)
    label_limit: int = 200
    actors: Mapping[str, int] | None = None
    collected: Mapping[str, Collected] = field(default_factory=dict)


class Exposition:
    """Turns what is known into text. Keeps which values its labels have, so that a series once told is told again."""

    def __init__(self) -> None:
        self._labels: dict[str, Labels] = {}
        self._gaps = Gaps()

    def text(self, known: Known, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type: OpenMetrics where `accept` asks for it, else the older text."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Once(self.families(known)))
        if not accept:
            return generate_latest(registry), PLAIN
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    def families(self, known: Known) -> list[Metric]:
        """Every family that has samples, in the catalogue's order."""
        gathered = _Gathered(known, self._labels, self._gaps)
        return [family for metric in CATALOGUE if (family := gathered.family(metric.name)) is not None]


class _Once(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Gathered:
    """The values of all metrics by label values, once."""

    def __init__(self, known: Known, labels: dict[str, Labels], gaps: Gaps) -> None:
        self._known = known
        self._labels = labels
        self._gaps = gaps
        self._values: dict[str, dict[tuple[str, ...], float]] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._from_tally(known.tally)
        if known.sample is not None:
            self._from_sample(known.sample)
        self._own()

    def family(self, name: str) -> Metric | None:
        metric = BY_NAME[name]
        if metric.type == "histogram":
            histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            for (of, values), kept in self._histograms.items():
                if of == name:
                    histogram.add_metric(values, _cumulative(metric.buckets, kept.counts), kept.total)
            return histogram if histogram.samples else None
        family: Metric
        if metric.type == "counter":
            family = CounterMetricFamily(name, metric.help, labels=metric.labels)
        else:
            family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
        for values, value in self._values.get(name, {}).items():
            family.add_metric(values, value)
        return family if family.samples else None

    def put(self, name: str, values: tuple[str, ...], value: float, how: str = "sum") -> None:
        """Set one value. Those whose labels were folded into `_other` come together: as a sum, the largest or the smallest."""
        told = self._admitted(name, values)
        of = self._values.setdefault(name, {})
        if told not in of or how == "set":
            of[told] = value
        else:
            of[told] = {"sum": of[told] + value, "max": max(of[told], value), "min": min(of[told], value)}[how]

    def _admitted(self, name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        told = []
        for label, value in zip(BY_NAME[name].labels, values, strict=True):
            # Half characters, which an application may have put into a name, cannot be encoded.
            clean = value.encode("utf-8", "replace").decode("utf-8")
            known = self._labels.setdefault(label, Labels(self._known.label_limit))
            told.append(clean if clean == OTHER else known.admit(clean))
        return tuple(told)

    # what the daemon's processes have counted

    def _from_tally(self, tally: Tally) -> None:
        if self._known.actors is not None:
            # What has not happened yet is told as 0: from nothing to one is no increase for Prometheus.
            for metric in CATALOGUE:
                if metric.source == "daemon" and metric.type == "counter" and not metric.labels:
                    self.put(metric.name, (), 0.0)
            for reason in ("died", "killed"):
                self.put("queued_runners_ended", (reason,), 0.0)
        for key, value in tally.counts.items():
            self.put(key[0], key[1:], value)
        for queue, job_class in {key[1:3] for key in tally.counts if key[0] == "queued_jobs_processed"}:
            for outcome in OUTCOMES:
                self.put("queued_jobs_processed", (queue, job_class, outcome), 0.0)
            self.put("queued_job_timeouts", (job_class,), 0.0)
        for gauges in tally.gauges.values():
            for key, value in gauges.items():
                self.put(key[0], key[1:], value)
        for key, histogram in tally.histograms.items():
            self._fold(key, histogram)

    def _fold(self, key: Key, histogram: Histogram) -> None:
        told = (key[0], self._admitted(key[0], key[1:]))
        mine = self._histograms.get(told)
        if mine is None:
            mine = self._histograms[told] = Histogram.empty(key[0])
        mine.add(histogram)

    # what the database says

    def _from_sample(self, sample: Sample) -> None:
        self._queues(sample)
        self._processes(sample.overview)
        for state in STATES:
            self.put("queued_queue_jobs_capped", (state,), float(state in sample.capped))
        self.put("queued_healthy", (), float(whole(sample.overview, {}).ok))
        self.put("queued_scheduled_lag_seconds", (), sample.scheduled_lag)
        self.put("queued_blocked_oldest_seconds", (), sample.blocked_oldest)
        self.put("queued_orphaned_jobs", (), sample.orphaned)
        self.put("queued_jobs_enqueued", (), sample.enqueued)
        for task in sample.tasks:
            moments = {
                "last_enqueued": task.enqueued_at,
                "last_success": task.succeeded_at,
                "next": task.next_run_at if task.enabled else None,
            }
            for name, moment in moments.items():
                if moment is not None:
                    self.put(f"queued_recurring_task_{name}_timestamp_seconds", (task.key,), moment.timestamp(), "max")
            gap = self._gaps.of(task.settings, sample.overview.now)
            if gap is not None:
                self.put("queued_recurring_task_interval_seconds", (task.key,), gap, "max")
            self.put("queued_recurring_task_enabled", (task.key,), float(task.enabled), "max")
        if sample.sizes is not None:
            self.put("queued_db_size_bytes", (), sample.sizes.total)
            for table, (size, dead) in sample.sizes.tables.items():
                self.put("queued_db_table_size_bytes", (table,), size)
                self.put("queued_db_table_dead_rows", (table,), dead)

    def _queues(self, sample: Sample) -> None:
        for queue in sample.overview.queues:
            name = (queue.name,)
            for state in STATES:
                count = getattr(queue, state)
                number = count if isinstance(count, int) else count.value
                self.put("queued_queue_jobs", (queue.name, state), number)
            self.put("queued_queue_latency_seconds", name, queue.latency or 0.0, "max")
            self.put("queued_queue_paused", name, float(queue.paused_at is not None), "max")
            self.put("queued_queue_workers", name, queue.workers, "min")
            self.put("queued_queue_longest_running_seconds", name, sample.longest_running.get(queue.name, 0.0), "max")
            target = target_of(self._known.targets, queue.name)
            if target is not None:
                self.put("queued_queue_latency_target_seconds", name, target, "min")

    def _processes(self, overview: Overview) -> None:
        for process in overview.processes:
            where = (process.kind, process.hostname)
            self.put("queued_processes", where, 1.0)
            beat, start = process.last_heartbeat_at.timestamp(), process.started_at.timestamp()
            self.put("queued_process_oldest_heartbeat_timestamp_seconds", where, beat, "min")
            self.put("queued_process_oldest_start_timestamp_seconds", where, start, "min")

    # what the exporter knows itself

    def _own(self) -> None:
        self.put("queued_build_info", (VERSION, platform.python_version(), self._known.backend), 1.0, "set")
        for kind, number in (self._known.actors or {}).items():
            self.put("queued_actors_expected", (kind,), number)
        for collector, run in self._known.collected.items():
            self.put("queued_collector_success", (collector,), float(run.ok))
            self.put("queued_collector_duration_seconds", (collector,), run.seconds)
            self.put("queued_collector_last_run_timestamp_seconds", (collector,), run.at)


def _cumulative(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    def steps() -> Iterator[tuple[str, float]]:
        total = 0
        for bound, count in zip((*(f"{bound:g}" for bound in bounds), "+Inf"), counts, strict=True):
            total += count
            yield bound, float(total)

    return list(steps())
