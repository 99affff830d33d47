"""queuectl db and config: what looks after a database, and where each setting comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Hand, Program, job, states
from queued.storage.store import Store


def test_migrate_makes_the_schema_and_says_so_once(program: Program, database_url: str) -> None:
    told = program("queuectl", "db", "migrate", "--database", database_url, "--json").json
    assert told["applied"][0] == "0001_initial"
    again = program("queuectl", "db", "migrate", "--database", database_url)
    assert (again.status, again.out.endswith("is up to date\n")) == (0, True)


def test_a_copy_is_made_checked_and_refused_where_the_server_does_it(
    ctl: Program, store: Store, tmp_path: Path
) -> None:
    store.enqueue([job()])
    folder = tmp_path / "copies"
    made = ctl("db", "backup", "--directory", folder, "--json")
    if store.dialect == "postgresql":
        assert made.status == 5
        assert "pg_dump" in made.err
        assert ctl("db", "verify").status == 5
        return
    assert made.json["rows"] > 0
    assert Path(made.json["path"]).stat().st_size == made.json["bytes"]
    found = ctl("db", "verify", "--directory", folder, "--json")
    assert (found.status, found.json["path"]) == (0, made.json["path"])
    Path(made.json["path"]).write_bytes(b"spoiled")
    told = ctl("db", "verify", "--directory", folder)
    assert told.status == 1
    assert "cannot be restored" in told.err
    assert ctl("db", "verify", "--directory", tmp_path / "none").status == 1


def test_the_size_of_each_table_is_listed(ctl: Program, store: Store) -> None:
    store.enqueue([job() for _ in range(20)])
    told = ctl("db", "size", "--json").json
    names = {table["name"].removeprefix("queued_"): table for table in told["tables"]}
    assert {"jobs", "ready", "failed", "audit"} <= set(names)
    assert told["bytes"] > 0
    if store.dialect == "sqlite":
        assert names["jobs"]["rows"] == 20
        with store.reading() as session:
            counted = {row["name"] for row in session.all("doctor.rows", cap=1)}
        assert counted == {table["name"] for table in told["tables"]}, "a table is not counted"
    else:
        assert names["jobs"]["bytes"] > 0
    assert "in all" in ctl("db", "size").err


def test_prune_deletes_what_the_configuration_gives_up(
    ctl: Program, store: Store, worker: Hand, tmp_path: Path
) -> None:
    done, kept = store.enqueue([job(), job()])
    for claimed in worker.claim():
        worker.end(claimed, "done" if claimed.id == done else "failed")
    assert ctl("db", "prune").status == 78, "without a configuration nobody knows what to delete"
    file = tmp_path / "queue.yml"
    file.write_text(
        f"production:\n  database: {store.settings.url}\n  workers: []\n  dispatchers: [{{}}]\n  retention: {{finished: 0}}\n"
    )
    told = ctl("db", "prune", "--config", file, "--json")
    assert told.json == {"deleted": {"finished": 1}}
    assert states(ctl) == {kept: "failed"}
    assert ctl("db", "prune", "--config", file).out == "deleted nothing\n"
    (deed,) = ctl("audit", "--json").json["actions"]
    assert (deed["action"], deed["count"]) == ("db prune", 1)


CONFIGURATION = """\
production:
  database: {url: "postgresql://ana:secret@db/queued", schema: shop}
  workers:
    - queues: [mail, "reports*"]
      threads: 5
    - {}
  dispatchers: [{}]
  retention:
    failed: 2 weeks
"""


def test_config_tells_each_setting_and_where_it_comes_from(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "queue.yml"
    file.write_text(CONFIGURATION)
    told = {one["setting"]: one for one in program("queuectl", "config", "--config", file, "--json").json["settings"]}
    assert told["workers[0].threads"] == {"setting": "workers[0].threads", "value": 5, "source": f"{file}:5"}
    assert told["workers[1].threads"]["source"] == "default"
    assert told["retention.failed"] == {"setting": "retention.failed", "value": 1209600.0, "source": f"{file}:9"}
    assert told["database.schema"]["source"] == f"{file}:2"
    assert "secret" not in program("queuectl", "config", "--config", file).out
    monkeypatch.setenv("QUEUED_DATABASE_URL", "sqlite:////srv/q.sqlite3")
    monkeypatch.setenv("QUEUED_SUPERVISOR_MODE", "async")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/queued")
    told = {one["setting"]: one for one in program("queuectl", "config", "--config", file, "--json").json["settings"]}
    assert told["database.url"]["source"] == "variable QUEUED_DATABASE_URL"
    assert told["mode"] == {"setting": "mode", "value": "async", "source": "variable QUEUED_SUPERVISOR_MODE"}
    assert told["runtime_directory"]["source"] == "variable RUNTIME_DIRECTORY"
    changed = program("queuectl", "config", "--config", file, "--changed", "-o", "name").out.split()
    assert "workers[0].queues" in changed
    assert "log_level" not in changed


def test_a_broken_configuration_is_told_line_by_line(program: Program, tmp_path: Path) -> None:
    (tmp_path / "queue.yml").write_text("production:\n  databse: x\n")
    told = program("queuectl", "config", "--config", tmp_path / "queue.yml")
    assert told.status == 78
    assert "queue.yml:2" in told.err
