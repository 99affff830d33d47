"""queuectl doctor: each check is shown the bad situation, made for real, and says what it saw and what to do."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.conftest import Hand, Program, job
from queued.domain.checks import Verdict, configuration, database
from queued.domain.limits import Limit
from queued.storage import doctor as facts
from queued.storage import heartbeats, processes
from queued.storage.store import Store

Check = Callable[..., dict[str, Any]]


@pytest.fixture
def check(ctl: Program) -> Check:
    """The verdict of one check."""

    def one(name: str, *words: object) -> dict[str, Any]:
        told = ctl("doctor", "--json", *words).json
        (found,) = [verdict for verdict in told["checks"] if verdict["check"] == name]
        assert told["healthy"] == all(verdict["outcome"] != "problem" for verdict in told["checks"])
        return dict(found)

    return one


def change(store: Store, statement: str) -> None:
    """Run a statement on the database as nobody should; {t} stands before a table, {ago} is an hour ago."""
    ago = {
        "sqlite": "(CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER) - 3600000000)",
        "postgresql": "(clock_timestamp() - interval '1 hour')",
    }[store.dialect]
    connection: Any = store.backend.connection()
    connection.execute(statement.format(t="queued_" if store.dialect == "sqlite" else "queued.", ago=ago))


def supervisor(store: Store, **metadata: object) -> str:
    with store.transaction() as session:
        processes.register(
            session, name="supervisor-1", kind="Supervisor(fork)", supervisor=None, pid=1, hostname="here",
            identity={}, metadata=metadata,
        )  # fmt: skip
    return "supervisor-1"


def test_all_is_in_order_when_it_is(ctl: Program, store: Store, check: Check) -> None:
    Hand(store, "worker-1", supervisor=supervisor(store))
    told = ctl("doctor")
    assert told.status == 0
    assert "0 problems, 0 warnings" in told.out
    assert ctl("doctor", "--quiet").out.startswith("0 problems")
    names = [verdict["check"] for verdict in ctl("doctor", "--json").json["checks"]]
    assert len(set(names)) == len(names)


def test_a_problem_is_shown_with_what_to_do_and_exit_code_3(ctl: Program, store: Store) -> None:
    store.enqueue([job()])
    told = ctl("doctor")
    assert told.status == 3
    assert "✗ processes.crew" in told.out
    assert "→ start the daemon: queued start" in told.out
    quiet = ctl("doctor", "--quiet").out
    assert "processes.crew" in quiet
    assert "database.reachable" not in quiet


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.sqlite3", "postgresql://127.0.0.1:1/none"])
def test_a_database_that_is_not_there_is_a_problem_and_no_crash(program: Program, url: str) -> None:
    told = program("queuectl", "doctor", "--json", "--database", url)
    assert told.status == 3
    (reached,) = [verdict for verdict in told.json["checks"] if verdict["check"] == "database.reachable"]
    assert reached["outcome"] == "problem"
    assert reached["advice"]


def test_no_address_at_all_is_told(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = program("queuectl", "doctor", "--json")
    assert told.status == 3
    assert {verdict["check"] for verdict in told.json["checks"]} == {"database.reachable", "host.configuration"}


def test_a_schema_that_lacks_a_migration_is_a_problem(store: Store, check: Check) -> None:
    change(store, "DELETE FROM {t}migrations WHERE version = 9")
    found = check("database.schema")
    assert found["outcome"] == "problem"
    assert found["advice"].endswith(" db migrate")
    assert "0009_audit" in found["found"]


def test_durability_that_was_given_up_is_a_warning(store: Store, check: Check, tmp_path: Path) -> None:
    if store.dialect == "sqlite":
        file = tmp_path / "queue.yml"
        file.write_text(
            f"production:\n  database: {{url: '{store.settings.url}', synchronous: normal}}\n  workers: []\n"
        )
        found = check("database.durability", "--config", str(file))
    else:
        name = store.settings.url.rpartition("/")[2]
        change(store, f"ALTER DATABASE {name} SET synchronous_commit = off")
        found = check("database.durability")
    assert found["outcome"] == "warning"
    assert "synchronous" in found["looked_at"]


def test_a_log_that_a_reader_keeps_long_is_a_warning(
    sqlite_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("queued", "migrate", "--config", "/dev/null")
    monkeypatch.setenv("QUEUED_DATABASE_URL", sqlite_url)
    assert program("queued", "migrate").status == 0
    monkeypatch.setattr(database, "LARGE_LOG", 100_000)
    source = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN'); "
        "c.execute('SELECT count(*) FROM queued_jobs').fetchone(); print('held', flush=True); sys.stdin.read()"
    )
    path = sqlite_url.removeprefix("sqlite:///")
    reader = subprocess.Popen([sys.executable, "-c", source, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"held\n"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("CREATE TABLE filling (data)")
    for _ in range(50):
        writer.execute("INSERT INTO filling VALUES (zeroblob(10000))")
    checks = program("queuectl", "doctor", "--json").json["checks"]
    reader.communicate(timeout=30)
    writer.close()
    (found,) = [verdict for verdict in checks if verdict["check"] == "database.journal"]
    assert found["outcome"] == "warning"
    assert f"held by pid {reader.pid}" in found["found"]
    assert "read transaction" in found["advice"]


def test_a_writer_that_holds_the_lock_is_named(
    sqlite_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUED_DATABASE_URL", sqlite_url)
    assert program("queued", "migrate").status == 0
    monkeypatch.setattr(facts, "WRITER_TIMEOUT", 200)
    source = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    path = sqlite_url.removeprefix("sqlite:///")
    holder = subprocess.Popen([sys.executable, "-c", source, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    checks = program("queuectl", "doctor", "--json").json["checks"]
    holder.communicate(timeout=30)
    (found,) = [verdict for verdict in checks if verdict["check"] == "database.writer"]
    assert found["outcome"] == "problem"
    assert f"pid {holder.pid}" in found["found"]


@pytest.fixture
def on_postgresql(postgresql_url: str, program: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A connection to a migrated PostgreSQL database, and the environment names it."""
    monkeypatch.setenv("QUEUED_DATABASE_URL", postgresql_url)
    assert program("queued", "migrate").status == 0
    with psycopg.connect(postgresql_url, autocommit=True, application_name="a report") as connection:
        yield connection


def of_checks(program: Program, name: str) -> dict[str, Any]:
    (found,) = [one for one in program("queuectl", "doctor", "--json").json["checks"] if one["check"] == name]
    return dict(found)


def test_a_transaction_that_stays_open_is_named(
    on_postgresql: Any, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONG_TRANSACTION", 0.05)
    on_postgresql.execute("BEGIN")
    on_postgresql.execute("SELECT 1")
    pid = on_postgresql.info.backend_pid
    time.sleep(0.1)
    found = of_checks(program, "database.transactions")
    on_postgresql.execute("ROLLBACK")
    assert found["outcome"] == "warning"
    assert f"pid {pid} of queued (a report at 127.0.0.1), idle in transaction" in found["found"]
    assert f"pg_terminate_backend({pid})" in found["advice"]
    assert of_checks(program, "database.transactions")["found"] == "none"


def test_a_table_that_is_not_cleaned_up_is_a_problem(on_postgresql: Any, program: Program) -> None:
    on_postgresql.execute("ALTER TABLE queued.ready SET (autovacuum_enabled = false)")
    found = of_checks(program, "database.vacuum")
    assert (found["outcome"], found["found"]) == ("problem", "autovacuum is off for ready")


def test_many_dead_rows_are_a_warning(on_postgresql: Any, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "DEAD_ROWS", 100)
    on_postgresql.execute(
        "INSERT INTO queued.limits (key, capacity) SELECT n::text, 1 FROM generate_series(1, 500) AS n"
    )
    on_postgresql.execute("DELETE FROM queued.limits")
    deadline = time.monotonic() + 30
    while (found := of_checks(program, "database.vacuum"))["outcome"] == "ok":
        assert time.monotonic() < deadline, "the server counts within seconds"
        time.sleep(0.2)
    assert "limits has" in found["found"]
    assert "dead rows beside" in found["found"]


def test_more_threads_than_the_server_has_connections_are_a_warning(on_postgresql: Any, program: Program) -> None:
    on_postgresql.execute(
        "INSERT INTO queued.processes (name, kind, pid, hostname, identity, metadata) "
        "VALUES ('w', 'Worker', 1, 'h', '{}', '{\"threads\": 5000}')"
    )
    found = of_checks(program, "database.connections")
    assert found["outcome"] == "warning"
    assert "5000 threads" in found["looked_at"]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (database.reachable("here", "X 1", 0.5), "warning"),
        (database.clock(0.01), "ok"),
        (database.clock(-5.0), "warning"),
        (database.clock(90.0), "problem"),
        (database.durability({"fsync": "off", "full_page_writes": "on", "synchronous_commit": "on"}), "problem"),
        (database.durability({"synchronous": "full"}), "ok"),
        (database.journal("delete", 0), "problem"),
        (database.writer(3.0, []), "warning"),
        (database.vacuum(False, []), "problem"),
        (database.connections(99, 100, 5, 0), "problem"),
        (database.connections(90, 100, 5, 0), "warning"),
        (database.connections(10, 100, 5, 20), "ok"),
        (database.space("/x", 4, 100), "problem"),
        (database.space("/x", 10, 100), "warning"),
        (database.space("/x", 50, 100), "ok"),
        (configuration.threads(1000, 2), "warning"),
        (configuration.threads(20, 2), "ok"),
    ],
)
def test_what_no_test_can_make_happen_is_decided_by_the_facts(verdict: Verdict, outcome: str) -> None:
    assert verdict.outcome == outcome
    assert bool(verdict.advice) == (outcome != "ok")


def test_a_silent_process_is_a_problem(store: Store, check: Check) -> None:
    Hand(store, "worker-9", supervisor=supervisor(store))
    change(store, "UPDATE {t}processes SET last_heartbeat_at = {ago} WHERE name = 'worker-9'")
    found = check("processes.heartbeats")
    assert found["outcome"] == "problem"
    assert "worker-9 (pid 4711 on here, 36" in found["found"]


def test_work_for_which_there_is_no_process_is_a_problem(ctl: Program, store: Store, check: Check) -> None:
    assert check("processes.crew")["outcome"] == "warning"
    store.enqueue([job(), job(wait=600.0)])
    ctl("recurring", "schedule", "ping", "@daily", "--class", "app.ping")
    found = check("processes.crew")
    assert found["outcome"] == "problem"
    assert (
        found["found"]
        == "no worker for 1 ready job; no dispatcher for 1 scheduled job; no scheduler for 1 recurring task"
    )
    supervisor(store)
    assert "give it these in queue.yml" in check("processes.crew")["advice"]


def test_a_running_job_whose_process_nobody_knows_is_a_problem(store: Store, check: Check, worker: Hand) -> None:
    store.enqueue([job()])
    worker.claim()
    assert check("processes.orphans")["outcome"] == "ok"
    change(store, "DELETE FROM {t}processes")
    found = check("processes.orphans")
    assert found["outcome"] == "problem"
    assert found["found"] == "1 running job held by 1 process that nobody knows"


@pytest.mark.parametrize("state", ["FATAL", "BACKOFF"])
def test_an_application_that_does_not_load_is_a_problem(store: Store, check: Check, state: str) -> None:
    supervisor(store, application={"state": state, "error": {"class": "ImportError", "message": "no shop"}})
    found = check("processes.application")
    assert found["outcome"] == "problem"
    assert found["found"] == f"{state} on here: ImportError: no shop"


def test_work_where_the_role_is_web_is_told(store: Store, check: Check) -> None:
    name = supervisor(store, role="web")
    assert check("processes.roles")["outcome"] == "ok", "nobody works there"
    Hand(store, "worker-1", supervisor="another")
    found = check("processes.roles")
    assert (found["outcome"], found["found"]) == ("warning", "another daemon runs jobs on here, whose role is web")
    Hand(store, "worker-2", supervisor=name)
    found = check("processes.roles")
    assert found["outcome"] == "problem"
    assert "worker worker-2 on here" in found["found"]


def test_a_queue_that_nobody_serves_is_a_problem(store: Store, check: Check) -> None:
    Hand(store, "worker-1", queues=["mail"])
    store.enqueue([job(queue="reports"), job(queue="mail")])
    found = check("queues.served")
    assert found["outcome"] == "problem"
    assert found["found"] == "no living worker serves reports with 1 ready job"


def test_a_job_that_waits_long_is_a_warning(store: Store, check: Check, worker: Hand) -> None:
    store.enqueue([job()])
    change(store, "UPDATE {t}ready SET ready_at = {ago}")
    found = check("queues.latency")
    assert (found["outcome"], found["found"]) == ("warning", "default for 60 min (1 job)")


def test_a_forgotten_pause_is_a_warning(
    ctl: Program, store: Store, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    from queued.domain.checks import queues

    store.enqueue([job(queue="mail")])
    ctl("queues", "pause", "mail")
    assert check("queues.paused")["outcome"] == "ok"
    monkeypatch.setattr(queues, "LONG_PAUSE", 600.0)
    change(store, "UPDATE {t}queues SET paused_at = {ago}")
    found = check("queues.paused")
    assert found["outcome"] == "warning"
    assert " queues resume mail" in found["advice"]


def test_a_due_job_that_nobody_dispatches_is_a_problem(store: Store, check: Check) -> None:
    store.enqueue([job(wait=600.0)])
    assert check("queues.dispatched")["outcome"] == "ok"
    change(store, "UPDATE {t}scheduled SET run_at = {ago}")
    found = check("queues.dispatched")
    assert found["outcome"] == "problem"
    assert "due for 36" in found["found"]


def test_a_free_slot_that_a_job_waits_for_is_a_problem(store: Store, check: Check) -> None:
    store.enqueue([job(limits=(Limit("k", 1),)) for _ in range(2)])
    assert check("queues.limits")["outcome"] == "ok"
    change(store, "DELETE FROM {t}slots")
    found = check("queues.limits")
    assert found["outcome"] == "problem"
    assert found["found"].endswith(": k")


def test_jobs_that_failed_lately_are_a_warning(store: Store, check: Check, worker: Hand) -> None:
    (failed,) = store.enqueue([job()])
    worker.fail(failed)
    assert check("queues.failures")["outcome"] == "warning"
    change(store, "UPDATE {t}failed SET failed_at = {ago}")
    assert check("queues.failures")["found"] == "none in the last hour, 1 in all"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE {t}recurring_tasks SET due_at = {ago}", "late: ping by 60 min"),
        ("UPDATE {t}recurring_tasks SET problem = 'its zone is unknown'", "ping: its zone is unknown"),
        ("UPDATE {t}recurring_tasks SET source = 'file'", "no living scheduler has ping"),
    ],
)
def test_a_task_that_does_not_run_is_a_problem(
    ctl: Program, store: Store, check: Check, statement: str, said: str
) -> None:
    ctl("recurring", "schedule", "ping", "@daily", "--class", "app.ping")
    assert check("recurring.tasks")["outcome"] == "ok"
    change(store, statement)
    found = check("recurring.tasks")
    assert (found["outcome"], found["found"]) == ("problem", said)
    ctl("recurring", "pause", "ping")
    if "late" in said:
        assert check("recurring.tasks")["outcome"] == "ok", "somebody stopped it"


def test_a_heartbeat_that_does_not_come_is_a_problem(ctl: Program, store: Store, check: Check) -> None:
    ctl("recurring", "schedule", "beat", "@hourly", "--class", "queued.heartbeat")
    assert check("recurring.heartbeat")["outcome"] == "ok"
    change(store, "UPDATE {t}recurring_tasks SET last_run_at = {ago}")
    assert check("recurring.heartbeat")["outcome"] == "problem"
    with store.transaction() as session:
        heartbeats.beat(session, "production", "here", "alive")
    assert check("recurring.heartbeat")["outcome"] == "ok"


def test_the_configuration_of_this_host_is_looked_at(sqlite_url: str, program: Program, tmp_path: Path) -> None:
    file = tmp_path / "queue.yml"
    (tmp_path / "shop.py").write_text("import nowhere_to_be_found\n")
    section = f"database: {sqlite_url}\n  app: {{path: {tmp_path}, python: {sys.executable}, import: shop}}\n"
    file.write_text(f"production:\n  {section}  workers: [{{threads: 400}}]\n  dispatchers: [{{}}]\n")
    assert program("queued", "migrate", "--config", str(file)).status == 0

    def told() -> dict[str, dict[str, Any]]:
        checks = program("queuectl", "doctor", "--json", "--config", str(file)).json["checks"]
        return {verdict["check"]: verdict for verdict in checks}

    found = told()
    assert found["host.application"]["outcome"] == "problem"
    assert "No module named 'nowhere_to_be_found'" in found["host.application"]["found"]
    assert found["host.threads"]["outcome"] == "warning"
    (tmp_path / "shop.py").write_text("import queued\n\n@queued.job\ndef sell() -> None: ...\n")
    file.write_text(f"production:\n  {section}  workers: [{{threads: 3}}]\n  dispatchers: [{{}}]\n")
    found = told()
    assert {name: found[name]["outcome"] for name in found if name.startswith("host.") and name != "host.space"} == {
        "host.configuration": "ok",
        "host.application": "ok",
        "host.threads": "ok",
    }
    file.write_text(f"production:\n  {section}  wrkers: 3\n")
    assert told()["host.configuration"]["outcome"] == "problem"


def test_an_import_that_ends_the_program_or_never_ends_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from queued.cli import doctor
    from queued.domain.settings import AppSettings

    (tmp_path / "quits.py").write_text("import sys; sys.exit(9)\n")
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)\n")
    quits = doctor.loading(AppSettings(str(tmp_path), sys.executable, ("quits",)))
    assert quits.outcome == "problem"
    assert "sys.exit(9)" in quits.found
    monkeypatch.setattr(doctor, "PATIENCE", 1.0)
    hangs = doctor.loading(AppSettings(str(tmp_path), sys.executable, ("hangs",)))
    assert hangs.found == "it took longer than 1 s"
    missing = doctor.loading(AppSettings(str(tmp_path), "/nowhere/python", ("x",)))
    assert "/nowhere/python" in missing.found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_root_does_not_import_what_another_user_wrote(tmp_path: Path) -> None:
    from queued.cli import doctor
    from queued.domain.settings import AppSettings

    os.chown(tmp_path, 12345, 12345)
    told = doctor.loading(AppSettings(str(tmp_path), sys.executable, ("x",)))
    assert told.outcome == "skipped"
    assert "user 12345" in told.found


def test_the_output_for_programs_is_json_alone(ctl: Program, store: Store) -> None:
    told = json.loads(ctl("doctor", "--json").out)
    assert set(told) == {"healthy", "checks"}
    assert {tuple(verdict) for verdict in told["checks"]} == {("check", "outcome", "looked_at", "found", "advice")}
