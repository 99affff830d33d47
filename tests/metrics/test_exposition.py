"""What is known, in the words of Prometheus: as its own parsers and promtool read them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from fixtures.scraping import Reply
from queued.domain.gauges import Sample, Sizes, TaskGauge
from queued.domain.insights import Count, Overview, ProcessInfo, QueueInfo
from queued.domain.settings import RecurringTaskSettings
from queued.metrics.catalogue import CATALOGUE, OUTCOMES
from queued.metrics.exposition import Collected, Exposition, Known
from queued.metrics.tally import Tally

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)


def queue(name: str = "mail", **fields: Any) -> QueueInfo:
    none = Count(0)
    given: dict[str, Any] = {
        "paused_at": None,
        "ready": none,
        "scheduled": none,
        "blocked": none,
        "running": 0,
        "failed": none,
        "oldest_ready_at": None,
        "latency": None,
        "workers": 1,
        **fields,
    }
    return QueueInfo(name, **given)


def process(number: int, kind: str = "worker", **fields: Any) -> ProcessInfo:
    ago = timedelta(seconds=number)
    return ProcessInfo(
        number, f"{kind}-{number}", kind, "s", number, "app1", NOW - 100 * ago, NOW - ago, 1.0, True, **fields
    )


def sample(**fields: Any) -> Sample:
    nothing = Count(0)
    overview = Overview(
        now=NOW,
        ready=nothing,
        scheduled=nothing,
        blocked=nothing,
        running=nothing,
        failed=nothing,
        last_hour={},
        oldest_ready_at=None,
        queues=fields.pop("queues", (queue(),)),
        processes=fields.pop("processes", (process(1), process(2))),
    )
    given: dict[str, Any] = {
        "capped": frozenset(),
        "longest_running": {},
        "scheduled_lag": 0.0,
        "blocked_oldest": 0.0,
        "orphaned": 0,
        "enqueued": 17,
        **fields,
    }
    return Sample(overview, **given)


def everything() -> Known:
    """A value for every metric of the catalogue."""
    tally = Tally()
    for metric in CATALOGUE:
        if metric.source == "daemon":
            key = (metric.name, *(f"{label}1" for label in metric.labels))
            if metric.type == "histogram":
                tally.observe(key, 0.2, 3.0)
            elif metric.type == "counter":
                tally.count(key, 2)
            else:
                tally.gauges.setdefault("worker-1", {})[key] = 1.0
    tally.settle()
    task = RecurringTaskSettings("digest", "every hour", "app.digest")
    return Known(
        tally,
        sample(tasks=[TaskGauge(task, True, NOW, NOW, NOW)], sizes=Sizes(9, {"jobs": (5, 1)})),
        "postgresql",
        {"mail": 30.0},
        actors={"worker": 2},
        collected={"database": Collected(True, 0.01, 1.0)},
    )


def told(known: Known, exposition: Exposition | None = None) -> Reply:
    return Reply(200, {}, (exposition or Exposition()).text(known)[0].decode())


def test_every_metric_of_the_catalogue_is_exported_with_its_labels() -> None:
    samples = told(everything()).samples
    for metric in CATALOGUE:
        for name in metric.samples:
            assert name in samples, name
            labels = {label for label, _ in next(iter(samples[name]))} - {"le"}
            assert labels == set(metric.labels), name
    assert {name for name in samples if not name.endswith("_created")} == {n for m in CATALOGUE for n in m.samples}


def test_openmetrics_is_told_where_it_is_asked_for() -> None:
    text, content_type = Exposition().text(everything(), "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    families = {family.name: family.type for family in openmetrics(text.decode())}
    assert families == {metric.name: metric.type for metric in CATALOGUE}
    plain, content_type = Exposition().text(everything(), "text/html, */*")
    assert content_type.startswith("text/plain")
    assert b"# EOF" not in plain


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)
def test_promtool_finds_no_fault() -> None:
    text = Exposition().text(everything())[0]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_what_has_not_happened_is_zero_and_not_absent() -> None:
    tally = Tally()
    tally.count(("queued_jobs_processed", "mail", "app.send", "succeeded"))
    samples = told(Known(tally, None, "sqlite", actors={})).samples
    assert samples["queued_job_crashes_total"] == {(): 0.0}
    assert samples["queued_stale_outcomes_total"] == {(): 0.0}
    assert len(samples["queued_jobs_processed_total"]) == len(OUTCOMES)
    assert sum(samples["queued_jobs_processed_total"].values()) == 1


def test_without_the_database_nothing_is_told_that_was_read_from_it() -> None:
    reply = told(replace(everything(), sample=None))
    kept = {name for metric in CATALOGUE if metric.source != "database" for name in metric.samples}
    assert set(reply.samples) <= kept
    assert "queued_jobs_processed_total" in reply.samples


def test_a_target_is_told_for_the_queues_that_there_are() -> None:
    reply = told(
        Known(
            Tally(), sample(queues=(queue("mail"), queue("mail_bulk"), queue("x"))), "sqlite", {"mail": 30, "mail*": 60}
        )
    )
    assert reply.samples["queued_queue_latency_target_seconds"] == {
        (("queue", "mail"),): 30,
        (("queue", "mail_bulk"),): 60,
    }


def test_queues_beyond_the_limit_are_one_and_those_once_told_are_told_again() -> None:
    exposition = Exposition()
    queues = [queue(f"q{n}", ready=Count(n), latency=float(n), workers=n) for n in range(1, 6)]
    known = Known(Tally(), sample(queues=tuple(queues[:2])), "sqlite", label_limit=2)
    told(known, exposition)
    reply = told(replace(known, sample=sample(queues=tuple(reversed(queues)))), exposition)
    assert {dict(labels)["queue"] for labels in reply.samples["queued_queue_latency_seconds"]} == {"q1", "q2", "_other"}
    assert reply.value("queued_queue_jobs", queue="_other", state="ready") == 12
    assert reply.value("queued_queue_latency_seconds", queue="_other") == 5
    assert reply.value("queued_queue_workers", queue="_other") == 3


def test_names_may_hold_anything() -> None:
    names = ('a"b', "back\\slash", "new\nline", "snow ☃", "half \ud800")
    reply = told(Known(Tally(), sample(queues=tuple(queue(name) for name in names)), "sqlite"))
    found = {dict(labels)["queue"] for labels in reply.samples["queued_queue_paused"]}
    assert found == {*names[:-1], "half ?"}


def test_processes_are_told_by_kind_and_host_with_the_oldest_of_each() -> None:
    reply = told(Known(Tally(), sample(processes=(process(3), process(7), process(5, "dispatcher"))), "sqlite"))
    where = {"kind": "worker", "hostname": "app1"}
    assert reply.value("queued_processes", **where) == 2
    assert reply.value("queued_process_oldest_heartbeat_timestamp_seconds", **where) == NOW.timestamp() - 7
    assert reply.value("queued_process_oldest_start_timestamp_seconds", **where) == NOW.timestamp() - 700


def test_a_task_that_nothing_starts_has_no_next_moment() -> None:
    settings = RecurringTaskSettings("digest", "every hour", "app.digest")
    tasks = [
        TaskGauge(settings, True, NOW, None, NOW),
        TaskGauge(replace(settings, key="off"), False, None, None, NOW),
        TaskGauge(replace(settings, key="broken", schedule="no schedule"), False, None, None, None),
    ]
    samples = told(Known(Tally(), sample(tasks=tasks), "sqlite")).samples
    assert samples["queued_recurring_task_next_timestamp_seconds"] == {(("task", "digest"),): NOW.timestamp()}
    assert samples["queued_recurring_task_interval_seconds"] == {(("task", "digest"),): 3600, (("task", "off"),): 3600}
    assert samples["queued_recurring_task_enabled"] == {
        (("task", "digest"),): 1,
        (("task", "off"),): 0,
        (("task", "broken"),): 0,
    }
    assert "queued_recurring_task_last_success_timestamp_seconds" not in samples


def test_two_hundred_kinds_of_job_are_told_in_time() -> None:
    import time

    tally = Tally()
    for number in range(200):
        for outcome in OUTCOMES:
            tally.count(("queued_jobs_processed", "mail", f"app.job{number}", outcome))
        tally.observe(("queued_job_duration_seconds", f"app.job{number}"), 0.1)
    tally.settle()
    exposition, known = Exposition(), Known(tally, sample(), "sqlite", actors={})
    took = []
    for _ in range(5):
        started = time.process_time()
        exposition.text(known)
        took.append(time.process_time() - started)
    assert min(took) < 0.15, "some 4500 series; measured 0.033 s"
