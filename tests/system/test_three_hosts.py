"""Web, worker and database hosts on a private network, set up as docs/three-hosts.md says, and how they are operated."""

from __future__ import annotations

import json

from fixtures.troubleshooting import quoted
from system.guide import follow
from system.shop import URL, Shop


def test_a_job_that_web_enqueues_runs_on_worker_as_the_application_s_user(shop: Shop) -> None:
    (number,) = shop.numbers(1)
    shop.worker.wait_for(lambda: "Hello, world!" in shop.worker.journal("-u", "queued@worker"), "the guide's greeting")
    shop.order([number])
    (end,) = shop.ledger.wait_for("end", job=number)
    assert end["host"] == "worker"
    assert end["user"] == "shop"
    assert end["python"] == "/srv/shop/.venv"


def test_web_runs_no_worker(shop: Shop) -> None:
    processes = shop.web.queuectl("processes")["processes"]
    assert {process["kind"] for process in processes if process["hostname"] == "web"} == {"supervisor", "exporter"}
    assert {"worker", "dispatcher", "scheduler"} <= {
        process["kind"] for process in processes if process["hostname"] == "worker"
    }
    journal = shop.web.journal("-u", "queued@web")
    assert "Started Supervisor" in journal
    assert "Started Worker" not in journal
    assert "Loaded the application" not in journal


def test_a_job_is_stored_in_the_application_s_own_transaction_or_not_at_all(shop: Shop) -> None:
    kept, undone = shop.numbers(2)
    shop.enqueue(
        f"""
import psycopg
with psycopg.connect({URL!r}) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS orders (number int)")
    connection.execute("INSERT INTO orders VALUES ({kept})")
    jobs = [shop.order.enqueue({kept}, connection=connection)]
with psycopg.connect({URL!r}) as connection:
    shop.order.enqueue({undone}, connection=connection)
    connection.rollback()
"""
    )
    shop.ledger.wait_for("end", job=kept)
    shop.all_done()
    assert shop.ledger.starts(undone) == []
    assert shop.sql(f"SELECT number FROM orders WHERE number IN ({kept}, {undone})") == str(kept)


def test_logins_come_encrypted_and_from_where_they_may(shop: Shop) -> None:
    clients = "usename IN ('queued', 'shop') AND client_addr IS NOT NULL"
    assert shop.sql(f"SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE {clients}") == "t"
    refused = shop.worker.run("queuectl", "status", "--database", URL, check=False)
    assert refused.returncode == 78
    assert "no pg_hba.conf entry" in refused.stderr
    bare = "postgresql://queued:secret-of-queued@10.0.0.3/shop?sslmode=disable"
    refused = shop.web.run("queuectl", "status", "--database", bare, check=False)
    assert refused.returncode == 78
    assert "no encryption" in refused.stderr


def test_the_journal_tells_the_story_of_one_job_its_own_prints_included(shop: Shop) -> None:
    first, _ = shop.enqueue("jobs = [shop.greet.enqueue('Ada'), shop.greet.enqueue('Bob')]")
    shop.all_done()
    fields = shop.worker.run("journalctl", "--quiet", "--output=json", f"QUEUED_JOB_ID={first}").stdout
    entries = [json.loads(line) for line in fields.splitlines()]
    assert any("Hello, Ada!" in entry["MESSAGE"] for entry in entries)
    assert {entry["QUEUED_CLASS"] for entry in entries} == {"shop.greet"}
    assert {entry["QUEUED_QUEUE"] for entry in entries} == {"default"}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"queued@worker"}
    assert "Hello, Bob!" not in fields


def test_a_reload_takes_a_good_configuration_and_a_broken_one_changes_nothing(shop: Shop) -> None:
    unit, main = "queued@worker", shop.worker.show("queued@worker", "MainPID")
    shipped = shop.worker.read("/etc/queued/queue.yml")
    try:
        shop.worker.write("/etc/queued/queue.yml", shipped.replace("threads: 3", "threads: thre"), 0o640)
        broken = shop.worker.run("systemctl", "reload", unit, check=False)
        assert broken.returncode != 0
        assert "threads" in shop.worker.journal("-u", unit, "-n", "20")
        assert shop.worker.systemctl("is-active", unit).strip() == "active"
        assert [worker["threads"] for worker in shop.workers()] == [3]

        shop.worker.write("/etc/queued/queue.yml", shipped.replace("threads: 3", "threads: 5"), 0o640)
        shop.worker.systemctl("reload", unit)
        shop.worker.wait_for(lambda: [worker["threads"] for worker in shop.workers()] == [5], "a worker with 5 threads")
    finally:
        shop.worker.write("/etc/queued/queue.yml", shipped, 0o640)
        shop.worker.systemctl("reload", unit)
    shop.worker.wait_for(lambda: [worker["threads"] for worker in shop.workers()] == [3], "a worker with 3 threads")
    assert shop.worker.show(unit, "MainPID") == main


def test_worker_is_restarted_alone_and_loses_nothing(shop: Shop) -> None:
    web = shop.web.show("queued@web", "MainPID")
    numbers = shop.numbers(60)
    shop.order(numbers, seconds=0.2)
    shop.ledger.wait_for("end", job=numbers[0])
    shop.worker.systemctl("restart", "queued@worker")
    shop.all_done()
    shop.nothing_lost(numbers)
    # A stop lets short jobs end.
    assert {shop.ledger.jobs("start")[number] for number in numbers} == {1}
    assert shop.web.show("queued@web", "MainPID") == web


def test_job_concurrency_in_a_drop_in_makes_more_workers(shop: Shop) -> None:
    drop_in = "/etc/systemd/system/queued@worker.service.d/concurrency.conf"
    try:
        shop.worker.write(drop_in, "[Service]\nEnvironment=JOB_CONCURRENCY=3\n")
        shop.worker.systemctl("daemon-reload")
        shop.worker.systemctl("restart", "queued@worker")
        assert len(shop.workers()) == 3
        assert "3 workers" in shop.worker.show("queued@worker", "StatusText")
    finally:
        shop.worker.shell(f"rm -f {drop_in}")
        shop.worker.systemctl("daemon-reload")
        shop.worker.systemctl("restart", "queued@worker")
    assert len(shop.workers()) == 1


def test_the_database_s_url_may_come_as_a_credential(shop: Shop) -> None:
    written = shop.web.read("/etc/queued/queue.yml")
    url = "postgresql://queued:secret-of-queued@10.0.0.3/shop?sslmode=require"
    assert url in written
    try:
        shop.web.write("/etc/queued/queue.yml", written.replace(url, "postgresql://nobody@10.0.0.9/nothing"), 0o640)
        shop.web.write("/etc/credstore/queued.database-url", url + "\n", 0o600)
        shop.web.systemctl("restart", "queued@web")
        listed = [p for p in shop.worker.queuectl("processes")["processes"] if p["hostname"] == "web" and p["alive"]]
        supervisors = [process for process in listed if process["kind"] == "supervisor"]
        assert [str(process["pid"]) for process in supervisors] == [shop.web.show("queued@web", "MainPID")]
    finally:
        shop.web.shell("rm -f /etc/credstore/queued.database-url")
        shop.web.write("/etc/queued/queue.yml", written, 0o640)
        shop.web.systemctl("restart", "queued@web")


def test_a_worker_on_the_web_host_is_seen_in_the_list_of_processes(shop: Shop) -> None:
    def on_web() -> list[str]:
        return [p["kind"] for p in shop.worker.queuectl("processes")["processes"] if p["hostname"] == "web"]

    assert "worker" not in on_web()
    shop.web.systemctl("start", "queued@worker")
    try:
        assert "worker" in on_web()
    finally:
        shop.web.systemctl("stop", "queued@worker")
    assert "worker" not in on_web()


def test_daemons_wait_until_postgresql_has_connections_again(shop: Shop) -> None:
    (number,) = shop.numbers(1)

    def said() -> str:
        return shop.web.run("queuectl", "status", check=False).stderr

    # One for ordinary logins, and three for superusers.
    shop.sql("ALTER SYSTEM SET max_connections = 4")
    shop.sql("ALTER SYSTEM SET max_wal_senders = 0")
    shop.db.systemctl("restart", "postgresql@15-main")
    try:
        message, _ = quoted("Connections to PostgreSQL are used up")
        shop.web.wait_for(lambda: message in said(), f"queuectl to say {message!r}")
    finally:
        shop.sql("ALTER SYSTEM RESET ALL")
        shop.db.systemctl("restart", "postgresql@15-main")
    shop.web.wait_for(lambda: shop.web.run("queuectl", "status", check=False).returncode == 0, "a healthy queue", 60)
    shop.order([number])
    shop.ledger.wait_for("end", job=number)


def test_node_exporter_on_worker_serves_the_metrics_of_the_queue(shop: Shop) -> None:
    follow(shop.worker, "Metrics of worker")
    fetch = "import urllib.request; print(urllib.request.urlopen('http://10.0.0.2:9100/metrics', timeout=10).read().decode())"

    def served() -> set[str]:
        said = shop.web.run("/srv/shop/.venv/bin/python", "-c", fetch, check=False).stdout
        return {line for line in said.splitlines() if line.startswith("queued_")}

    wanted = 'queued_collector_success{collector="database"} 1'
    shop.worker.wait_for(lambda: wanted in served(), f"{wanted} from node-exporter")
    assert any(line.startswith("queued_build_info{") for line in served())
