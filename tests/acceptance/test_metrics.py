"""What a running daemon tells monitoring, over its own address and in its file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from fixtures.daemon import Daemon, DaemonFactory
from fixtures.scraping import Reply, Scraper, scraper_of

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
def slow(seconds):
    time.sleep(seconds)

@queued.job
def dies():
    os.kill(os.getpid(), 9)
"""


def enqueue(daemon: Daemon, *names: str, args: str = "{}") -> None:
    from queued.domain.jobs import NewJob
    from queued.storage.store import open_store

    store = open_store(daemon.url)
    queues = {"bad": "mail"}
    store.enqueue([NewJob(f"jobs.{name}", queue=queues.get(name, "default")) for name in names])
    store.close()


def until(scraper: Scraper, condition: Callable[[Reply], Any], timeout: float = 30.0) -> Reply:
    """The first exposition for which the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition(reply := scraper.metrics()):
        assert time.monotonic() < deadline, reply.body
        time.sleep(0.1)
    return reply


@pytest.fixture
def watched(daemon: DaemonFactory, database_url: str, mode: str) -> Daemon:
    """A daemon with an address and short times."""
    settings = {"metrics": {"listen": "127.0.0.1:0", "interval": 1, "latency_targets": {"mail": 30, "*": 60}}}
    return daemon(database_url, mode=mode, app=APP, settings=settings)


def test_what_jobs_did_is_counted_over_all_processes(watched: Daemon) -> None:
    scraper = scraper_of(watched.log())
    enqueue(watched, *["good"] * 20, "bad")
    reply = until(
        scraper,
        lambda told: (
            told.value("queued_jobs_processed_total", outcome="succeeded") == 20
            and told.value("queued_jobs_processed_total", outcome="failed") == 1
            and told.value("queued_queue_jobs", queue="mail", state="failed") == 1
        ),
    )
    assert reply.value("queued_job_duration_seconds_count", job_class="jobs.good") == 20
    assert reply.value("queued_job_wait_seconds_count", queue="mail") == 1
    assert reply.value("queued_queue_latency_target_seconds", queue="mail") == 30
    assert reply.value("queued_db_query_duration_seconds_count", operation="ack") > 0
    until(scraper, lambda told: told.value("queued_worker_threads") == 3)
