"""queuectl metrics and status --check, without a daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.conftest import Hand, Program, job
from queued.storage.store import Store


def test_what_the_database_tells_is_printed_as_prometheus_reads_it(ctl: Program, store: Store, worker: Hand) -> None:
    store.enqueue([job(queue="mail") for _ in range(3)])
    done = ctl("metrics")
    assert (done.status, done.err) == (0, "")
    families = {family.name: family for family in text_string_to_metric_families(done.out)}
    ready = [s.value for s in families["queued_queue_jobs"].samples if s.labels == {"queue": "mail", "state": "ready"}]
    assert ready == [3]
    assert families["queued_db_size_bytes"].samples[0].value > 0
    # Nobody has counted these, and 0 would be a lie.
    assert "queued_jobs_processed" not in families
    assert "queued_job_crashes" not in families


def test_as_json_it_is_a_list_of_metrics(ctl: Program, store: Store) -> None:
    store.enqueue([job()])
    told = {metric["name"]: metric for metric in ctl("metrics", "--json").json["metrics"]}
    assert told["queued_queue_workers"]["type"] == "gauge"
    (sample,) = told["queued_queue_workers"]["samples"]
    assert sample == {"name": "queued_queue_workers", "labels": {"queue": "default"}, "value": 0.0}


def test_a_check_says_healthy_or_each_reason(ctl: Program, store: Store, worker: Hand) -> None:
    assert ctl("status", "--check").out == "healthy\n"
    store.enqueue([job(queue="mail")])
    with store.transaction() as session:
        session.run("processes.delete", process_id=worker.id)
    done = ctl("status", "--check")
    assert (done.status, done.out) == (3, "no worker is alive; 1 job waiting\n")
    told = ctl("status", "--check", "--json").json
    assert told == {"healthy": False, "last_heartbeat": None, "reasons": ["no worker is alive; 1 job waiting"]}


def test_a_check_measures_by_the_targets_of_the_configuration(
    program: Program, store: Store, worker: Hand, database_url: str, tmp_path: Path
) -> None:
    store.enqueue([job(queue="mail")])
    configuration = tmp_path / "queue.yml"
    for target, status in (("1 hour", 0), ("1 ms", 3)):
        configuration.write_text(
            f"test:\n  database: {database_url}\n  metrics: {{latency_targets: {{mail: {target}}}}}\n"
        )
        done = program("queuectl", "status", "--check", "--config", configuration, "--env", "test")
        assert done.status == status, done


def test_a_check_of_a_database_that_is_away_is_not_healthy(program: Program) -> None:
    done = program("queuectl", "status", "--check", "--database", "postgresql://queued@127.0.0.1:1/x")
    assert done.status == 69


def test_a_daemon_that_does_not_answer_is_said(
    program: Program, store: Store, database_url: str, tmp_path: Path
) -> None:
    configuration = tmp_path / "queue.yml"
    configuration.write_text(f"production:\n  database: {database_url}\n  metrics: {{listen: {tmp_path}/none.sock}}\n")
    done = program("queuectl", "metrics", "--config", configuration)
    assert done.status == 0
    assert done.err == f"no daemon answers at {tmp_path}/none.sock: what daemons count is left out\n"
    assert "queued_build_info" in done.out


@pytest.mark.parametrize("words", [["metrics"], ["status", "--check"]])
def test_a_configuration_that_is_wrong_is_told_and_not_passed_over(
    program: Program, tmp_path: Path, words: list[str]
) -> None:
    configuration = tmp_path / "queue.yml"
    configuration.write_text("production:\n  database: sqlite:////tmp/x\n  metrics: {listen: 9090}\n")
    done = program("queuectl", *words, "--config", configuration)
    assert done.status == 78
    assert "metrics.listen" in done.err


def test_without_prometheus_client_one_sentence_says_how_to_get_it(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('none here')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"}
    done = subprocess.run(
        [sys.executable, "-m", "queued", "metrics", "--database", database_url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr == (
        "queuectl: metrics need the package prometheus_client, which this Python does not have (none here); "
        "install it with `pip install 'queued-jobs[daemon]'`\n"
    )
