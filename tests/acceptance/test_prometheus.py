"""A real Prometheus scrapes the daemon and evaluates the shipped rules; a real node exporter reads its textfile."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from fixtures.daemon import Daemon, DaemonFactory
from fixtures.postgresql import die_with_parent, free_port
from fixtures.scraping import Scraper, scraper_of
from queued.domain.jobs import NewJob
from queued.storage.store import open_store

MONITORING = Path(__file__).parents[2] / "packaging" / "monitoring"
PATIENCE = 30.0

Start = Callable[..., Scraper]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program of Debian's on a port of its own: `start(name, option, …)`. It is ready when the path `ready` answers 200."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, *options: str, ready: str = "/metrics") -> Scraper:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed (Debian: apt install prometheus prometheus-node-exporter)")
        port = free_port()
        with (tmp_path / f"{name}.log").open("wb") as log:
            command = [program, *options, f"--web.listen-address=127.0.0.1:{port}"]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, preexec_fn=die_with_parent))
        scraper = Scraper(("127.0.0.1", port))
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if scraper.get(ready).status == 200:
                    return scraper
            except OSError:
                pass
            assert time.monotonic() < deadline, (tmp_path / f"{name}.log").read_text()
            time.sleep(0.1)

    yield run
    for process in started:
        process.kill()
        process.wait()


def run_jobs(daemon: Daemon, count: int) -> None:
    store = open_store(daemon.url)
    store.enqueue([NewJob("jobs.good") for _ in range(count)])
    store.close()


APP = "import queued\n\n@queued.job\ndef good():\n    pass\n"


def test_prometheus_scrapes_it_and_its_rules_find_what_they_ask_for(
    daemon: DaemonFactory, sqlite_url: str, start: Start, tmp_path: Path
) -> None:
    metrics = {"listen": "127.0.0.1:0", "interval": 1, "latency_targets": {"*": 60}}
    started = daemon(sqlite_url, app=APP, settings={"metrics": metrics})
    host, port = scraper_of(started.wait_for_log("Metrics and health at.*")[0]).address
    configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(MONITORING / "queued.rules.yml")]
    configuration["scrape_configs"][0]["scrape_interval"] = "1s"
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [f"{host}:{port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    prometheus = start(
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        # It listens before it has loaded its rules, and says 503 till then.
        ready="/-/ready",
    )

    def ask(expression: str) -> list[float]:
        reply = prometheus.get(f"/api/v1/query?query={quote(expression)}")
        return [float(found["value"][1]) for found in reply.json["data"]["result"]]

    def until(expression: str, value: float) -> None:
        deadline = time.monotonic() + PATIENCE
        while ask(expression) != [value]:
            assert time.monotonic() < deadline, f"{expression}: {ask(expression)}"
            time.sleep(0.2)

    until('up{job="queued"}', 1)
    run_jobs(started, 7)
    until('sum(queued_jobs_processed_total{outcome="succeeded"})', 7)
    until("max(queued_queue_latency_target_seconds)", 60)
    until("histogram_quantile(0.5, sum by (le) (queued_job_duration_seconds_bucket)) < bool 1", 1)
    groups: list[dict[str, Any]] = prometheus.get("/api/v1/rules").json["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 25
    until('count(ALERTS{alertstate="firing",severity="page"}) or vector(0)', 0)
    assert {rule.get("lastError", "") for rule in prometheus_rules(prometheus)} == {""}
    assert {rule["health"] for rule in prometheus_rules(prometheus)} == {"ok"}
    samples = ask('scrape_samples_scraped{job="queued"}')
    assert samples
    assert 50 < samples[0] < 1000


def prometheus_rules(prometheus: Scraper) -> list[dict[str, Any]]:
    """The rules once each has been evaluated."""
    deadline = time.monotonic() + PATIENCE
    while True:
        groups = prometheus.get("/api/v1/rules").json["data"]["groups"]
        rules: list[dict[str, Any]] = [rule for group in groups for rule in group["rules"]]
        if all(rule["health"] != "unknown" for rule in rules):
            return rules
        assert time.monotonic() < deadline, json.dumps(rules)
        time.sleep(0.2)


def test_the_node_exporter_reads_the_textfile(
    daemon: DaemonFactory, sqlite_url: str, start: Start, tmp_path: Path
) -> None:
    directory = tmp_path / "node-exporter"
    directory.mkdir()
    started = daemon(
        sqlite_url, app=APP, settings={"metrics": {"textfile": str(directory / "queued.prom"), "interval": 1}}
    )
    node = start(
        "prometheus-node-exporter",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={directory}",
    )
    run_jobs(started, 3)
    deadline = time.monotonic() + PATIENCE
    while (reply := node.metrics()).value("queued_jobs_processed_total", outcome="succeeded") != 3:
        assert time.monotonic() < deadline, reply.body
        time.sleep(0.2)
    assert reply.value("node_textfile_scrape_error") == 0
    assert reply.value("node_textfile_mtime_seconds") > time.time() - 60
    assert reply.value("queued_job_duration_seconds_count") == 3
    assert started.stop() == 0
    after = node.metrics()
    assert "queued_build_info" not in after.samples
    assert after.value("node_textfile_scrape_error") == 0
