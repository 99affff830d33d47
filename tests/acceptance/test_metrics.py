"""What a running daemon tells monitoring, over its own address and in its file."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.daemon import ENVIRONMENT, Daemon, DaemonFactory, registered
from fixtures.postgresql import PostgreSQLServer
from fixtures.scraping import Reply, Scraper, scraper_of
from queued.domain.jobs import NewJob
from queued.storage.store import open_store

APP = """
import os, time
import queued

@queued.job
def good():
    pass

@queued.job(queue="mail")
def bad():
    raise ValueError("no")

@queued.job
def dies():
    os.kill(os.getpid(), 9)

@queued.job(timeout=0.2)
def hangs():
    time.sleep(30)
"""
METRICS = {"listen": "127.0.0.1:0", "interval": 1, "latency_targets": {"mail": 30, "*": 60}}
PATIENCE = 30.0


def enqueue(daemon: Daemon, *names: str, queue: str = "default", options: str | None = None) -> list[int]:
    store = open_store(daemon.url)
    try:
        return store.enqueue([NewJob(f"jobs.{name}", queue=queue, options=options) for name in names])
    finally:
        store.close()


def until(ask: Callable[[], Reply], condition: Callable[[Reply], Any], timeout: float = PATIENCE) -> Reply:
    """The first reply for which the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition(reply := ask()):
        assert time.monotonic() < deadline, f"{reply.status}\n{reply.body}"
        time.sleep(0.05)
    return reply


def processed(reply: Reply, outcome: str) -> float:
    return reply.value("queued_jobs_processed_total", outcome=outcome)


@pytest.fixture
def watched(daemon: DaemonFactory, database_url: str, mode: str) -> tuple[Daemon, Scraper]:
    """A daemon with an address and short times, and who asks it."""
    started = daemon(database_url, mode=mode, app=APP, settings={"metrics": METRICS})
    started.wait_for_log("Metrics and health at")
    return started, scraper_of(started.log())


def test_what_jobs_did_is_counted_over_all_processes(watched: tuple[Daemon, Scraper]) -> None:
    daemon, scraper = watched
    enqueue(daemon, *["good"] * 20)
    enqueue(daemon, "bad", queue="mail")
    enqueue(daemon, "hangs", options='{"timeout": 0.2}')
    reply = until(
        scraper.metrics,
        lambda told: (
            processed(told, "succeeded") == 20
            and processed(told, "failed") == 2
            and told.value("queued_queue_jobs", queue="mail", state="failed") == 1
            and told.value("queued_worker_threads") == 3
        ),
    )
    assert reply.value("queued_job_duration_seconds_count", job_class="jobs.good") == 20
    assert reply.value("queued_job_wait_seconds_count", queue="mail") == 1
    assert 0 < reply.value("queued_job_wait_seconds_sum", queue="mail") < PATIENCE
    assert reply.value("queued_job_timeouts_total", job_class="jobs.hangs") == 1
    assert reply.value("queued_queue_latency_target_seconds", queue="mail") == 30
    assert reply.value("queued_db_query_duration_seconds_count", operation="ack") > 0
    assert reply.value("queued_db_query_duration_seconds_count", operation="claim") > 0
    assert reply.value("queued_jobs_enqueued_total") == 22
    assert reply.value("queued_actors_expected", kind="worker") == 1
    assert reply.value("queued_processes", kind="worker") == 1
    assert reply.value("queued_healthy") == 1


def test_all_is_well_is_said_at_every_address_and_by_queuectl(watched: tuple[Daemon, Scraper]) -> None:
    daemon, scraper = watched
    for path in ("/livez", "/readyz", "/startedz", "/health"):
        until(lambda path=path: scraper.get(path), lambda reply: reply.status == 200)  # type: ignore[misc]
    told = scraper.get("/health").json
    assert (told["healthy"], told["reasons"]) == (True, [])
    assert told["last_heartbeat"].endswith("Z")
    checked = daemon.queuectl("status", "--check")
    assert (checked.returncode, checked.stdout) == (0, "healthy\n")
    # With port 0 nobody knows from the file where it listens, so the database is what can be asked.
    printed = daemon.queuectl("metrics")
    assert "queued_processes{" in printed.stdout
    assert "what daemons count is left out" in printed.stderr


def test_queues_without_a_worker_and_late_ones_are_reasons_and_the_exit_code_says_so(
    daemon: DaemonFactory, database_url: str
) -> None:
    metrics = {**METRICS, "latency_targets": {"mail": 0.5}}
    started = daemon(
        database_url, app=APP, workers=[{"queues": ["default"], "threads": 1}], settings={"metrics": metrics}
    )
    scraper = scraper_of(started.wait_for_log("Metrics and health at.*")[0])
    enqueue(started, "bad", queue="mail")
    reply = until(lambda: scraper.get("/health"), lambda reply: len(reply.json.get("reasons", ())) == 2)
    assert reply.status == 503
    assert "no living worker serves it" in reply.json["reasons"][0]
    assert "more than the 0.5 s promised" in reply.json["reasons"][1]
    checked = started.queuectl("status", "--check")
    assert checked.returncode == 3
    assert "no living worker serves it" in checked.stdout
    assert started.queuectl("status", "--check", "--json").stdout.count("promised") == 1
    assert scraper.get("/readyz").status == 200


def test_sums_do_not_fall_and_gauges_do_not_stay_when_a_worker_is_killed(
    daemon: DaemonFactory, database_url: str
) -> None:
    started = daemon(
        database_url,
        mode="fork",
        app=APP,
        workers=[{"threads": 2, "processes": 2, "polling_interval": 0.1}],
        settings={"metrics": METRICS},
    )
    scraper = scraper_of(started.wait_for_log("Metrics and health at.*")[0])
    enqueue(started, *["good"] * 30)
    until(scraper.metrics, lambda told: processed(told, "succeeded") == 30 and told.value("queued_worker_threads") == 4)
    for _ in range(2):
        name, pid = next((name, pid) for name, kind, _, pid in registered(started.url) if kind == "worker")
        os.kill(pid, signal.SIGKILL)
        falls = []
        last = 30.0
        deadline = time.monotonic() + PATIENCE
        while (
            name in {row[0] for row in registered(started.url)} or scraper.metrics().value("queued_worker_threads") != 4
        ):
            now = processed(scraper.metrics(), "succeeded")
            falls += [(last, now)] if now < last else []
            last = now
            assert time.monotonic() < deadline, scraper.metrics().body
        assert falls == []
    enqueue(started, *["good"] * 10)
    reply = until(scraper.metrics, lambda told: processed(told, "succeeded") == 40)
    assert reply.value("queued_child_restarts_total", kind="worker", reason="signal") == 2
    tallies = [path.name for path in Path(started.settings["runtime_directory"]).glob("supervisor-*/*.tally")]
    assert "ended.tally" in tallies


def test_a_job_that_kills_its_process_is_a_crash_and_no_end(watched: tuple[Daemon, Scraper]) -> None:
    daemon, scraper = watched
    enqueue(daemon, "dies")
    reply = until(scraper.metrics, lambda told: told.value("queued_queue_jobs", state="failed") == 1)
    reply = until(scraper.metrics, lambda told: told.value("queued_job_crashes_total") == 3)
    assert reply.value("queued_runners_ended_total", reason="died") == 3
    assert processed(reply, "succeeded") == 0


def test_while_the_database_is_away_it_lives_is_not_ready_and_tells_what_it_counted(
    daemon: DaemonFactory, postgresql_server: PostgreSQLServer, postgresql_url: str, mode: str
) -> None:
    started = daemon(postgresql_url, mode=mode, app=APP, settings={"metrics": METRICS})
    scraper = scraper_of(started.wait_for_log("Metrics and health at.*")[0])
    enqueue(started, *["good"] * 5)
    until(scraper.metrics, lambda told: processed(told, "succeeded") == 5)
    until(lambda: scraper.get("/readyz"), lambda reply: reply.status == 200)
    postgresql_server.stop()
    try:
        reply = until(scraper.metrics, lambda told: told.value("queued_collector_success", collector="database") == 0)
        assert processed(reply, "succeeded") == 5
        assert "queued_queue_jobs" not in reply.samples
        reply = until(lambda: scraper.get("/readyz"), lambda reply: reply.status == 503)
        assert "the database has not answered for" in reply.json["reasons"][0]
        assert scraper.get("/health").status == 503
        assert scraper.get("/livez").status == 200
        assert scraper.get("/startedz").status == 200
        began = time.monotonic()
        scraper.metrics()
        assert time.monotonic() - began < 5.0
        assert started.queuectl("status", "--check").returncode == 69
    finally:
        postgresql_server.start()
    until(lambda: scraper.get("/readyz"), lambda reply: reply.status == 200)
    reply = until(scraper.metrics, lambda told: told.value("queued_db_outages_total") >= 1)
    assert processed(reply, "succeeded") == 5


def test_a_supervisor_that_does_not_move_is_not_alive(daemon: DaemonFactory, sqlite_url: str) -> None:
    started = daemon(sqlite_url, mode="fork", settings={"metrics": METRICS}, workers=[])
    scraper = scraper_of(started.wait_for_log("Metrics and health at.*")[0])
    assert scraper.get("/livez").status == 200
    started.signal(signal.SIGSTOP)
    try:
        (mark,) = Path(started.settings["runtime_directory"]).glob("supervisor-*/pulse")
        long_ago = mark.stat().st_mtime - 45.0
        os.utime(mark, (long_ago, long_ago))
        reply = until(lambda: scraper.get("/livez"), lambda reply: reply.status == 503)
        assert "the supervisor has not moved for" in reply.json["reasons"][0]
    finally:
        started.signal(signal.SIGCONT)
    until(lambda: scraper.get("/livez"), lambda reply: reply.status == 200)


def test_with_an_application_that_does_not_load_it_lives_and_neither_starts_nor_is_ready(
    daemon: DaemonFactory, sqlite_url: str, mode: str
) -> None:
    started = daemon(
        sqlite_url, mode=mode, app="raise RuntimeError('not today')", settings={"metrics": METRICS}, ready=False
    )
    scraper = scraper_of(started.wait_for_log("Metrics and health at.*")[0])
    reply = until(lambda: scraper.get("/readyz"), lambda reply: "not today" in reply.body)
    assert reply.status == 503
    assert "0 of 1 workers are up" in reply.json["reasons"]
    assert scraper.get("/startedz").status == 503
    assert scraper.get("/livez").status == 200


def test_the_textfile_is_readable_by_all_and_gone_after_a_stop(
    daemon: DaemonFactory, database_url: str, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "queued.prom"
    started = daemon(database_url, mode=mode, app=APP, settings={"metrics": {"textfile": str(path), "interval": 1}})
    enqueue(started, *["good"] * 3)

    def read() -> Reply:
        return Reply(0, {}, path.read_text() if path.exists() else "")

    reply = until(read, lambda told: processed(told, "succeeded") == 3)
    assert reply.value("queued_processes", kind="exporter") == 1
    assert path.stat().st_mode & 0o777 == 0o644
    assert started.stop() == 0
    assert list(tmp_path.glob("queued.prom*")) == []


def test_a_textfile_that_cannot_be_written_is_said_once_and_stops_nobody(
    daemon: DaemonFactory, sqlite_url: str, tmp_path: Path
) -> None:
    metrics = {**METRICS, "textfile": str(tmp_path / "none" / "queued.prom")}
    started = daemon(sqlite_url, app=APP, settings={"metrics": metrics})
    scraper = scraper_of(started.wait_for_log("Metrics and health at.*")[0])
    until(scraper.metrics, lambda told: told.value("queued_collector_success", collector="database") == 1)
    reply = scraper.metrics()
    assert reply.value("queued_collector_success", collector="textfile") == 0
    enqueue(started, "good")
    until(scraper.metrics, lambda told: processed(told, "succeeded") == 1)
    assert started.log().count("cannot be written or removed: No such file") == 1
    assert started.stop() == 0


def test_a_role_of_metrics_alone_watches_over_the_work_of_others(
    daemon: DaemonFactory, database_url: str, mode: str
) -> None:
    worker = daemon(database_url, mode=mode, app=APP)
    web = daemon(
        database_url,
        mode=mode,
        workers=[],
        dispatchers=[],
        settings={"roles": {"web": {"metrics": METRICS}}},
        arguments=["--role", "web"],
        start=False,
    )
    web.start(ready=False)
    scraper = scraper_of(web.wait_for_log("Metrics and health at.*")[0])
    enqueue(worker, "bad", queue="mail")
    until(scraper.metrics, lambda told: told.value("queued_queue_jobs", queue="mail", state="failed") == 1)
    assert scraper.get("/readyz").status == 200
    assert scraper.get("/health").status == 200
    assert worker.stop() == 0
    reply = until(lambda: scraper.get("/health"), lambda reply: reply.status == 503)
    assert any("no worker is alive" in reason for reason in reply.json["reasons"])
    assert scraper.get("/readyz").status == 200
    assert web.stop() == 0


def test_an_address_that_is_taken_is_told_and_the_work_goes_on(
    daemon: DaemonFactory, sqlite_url: str, mode: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        started = daemon(
            sqlite_url, mode=mode, app=APP, settings={"metrics": {"listen": f"127.0.0.1:{port}", "interval": 1}}
        )
        started.wait_for_log(rf"metrics\.listen: 127\.0\.0\.1:{port} cannot be listened on: .*in use; write another")
        enqueue(started, "good")
        started.wait_until(lambda: started.json("jobs", "list", "--state", "finished")["jobs"], "the job's end")
        assert "Traceback" not in started.log()
    # As soon as the address is free the exporter has it.
    until_up = time.monotonic() + PATIENCE
    scraper = Scraper(("127.0.0.1", port))
    while True:
        try:
            assert scraper.get("/livez").status == 200
            break
        except OSError:
            assert time.monotonic() < until_up, started.log()
            time.sleep(0.1)
    counted = 'queued_jobs_processed_total{job_class="jobs.good",outcome="succeeded",queue="default"} 1.0'
    # A process tells what it has counted once a second.
    started.wait_until(lambda: counted in started.queuectl("metrics").stdout, "the job to be counted")
    assert started.queuectl("metrics").stderr == ""


def test_a_reload_may_bring_it_and_take_it_away(
    daemon: DaemonFactory, sqlite_url: str, mode: str, tmp_path: Path
) -> None:
    started = daemon(sqlite_url, mode=mode, app=APP)
    path = str(Path(started.settings["runtime_directory"]).parent / "m.sock")

    def reload(metrics: dict[str, Any], count: int) -> None:
        started.config.write_text(yaml.safe_dump({ENVIRONMENT: {**started.settings, "metrics": metrics}}))
        started.signal(signal.SIGHUP)
        started.wait_until(lambda: started.log().count("Reloaded") == count, "the reload")

    assert "Exporter" not in started.log()
    reload({"listen": path, "interval": 1}, 1)
    scraper = Scraper(path)
    enqueue(started, *["good"] * 4)
    until(scraper.metrics, lambda told: processed(told, "succeeded") == 4)
    assert scraper.metrics().value("queued_config_last_reload_successful") == 1
    reload({"listen": path, "interval": 2}, 2)
    reply = until(scraper.metrics, lambda told: told.value("queued_worker_threads") == 3)
    assert processed(reply, "succeeded") == 4
    reload({}, 3)
    assert not os.path.exists(path)
    assert started.stop() == 0
