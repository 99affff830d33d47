"""The programs as the shell starts them: exit codes, one clear sentence for each refusal, never a traceback."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.conftest import Program, Result, job
from queued.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "queued", *map(str, words)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUED_")}
    return {**kept, "PYTHONPATH": str(ROOT / "daemon"), **(extra or {})}


def run(*words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Result:
    done = subprocess.run(
        command(*words), capture_output=True, text=True, cwd=cwd, env=environment(env), timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a configuration that can be used, for the environment `test`."""
    (tmp_path / "queue.yml").write_text(
        "test:\n  database: sqlite:///queue.sqlite3\n  dispatchers:\n    - batch_size: 7\n  workers: []\n"
    )
    return tmp_path


def test_version_is_said_by_both_programs(program: Program) -> None:
    for name in ("queued", "queuectl"):
        told = program(name, "--version")
        assert told.status == 0
        assert told.out.startswith(f"{name} ")


@pytest.mark.parametrize("words", [[], ["jobs"], ["nonsense"], ["jobs", "list", "--stat", "failed"], ["status", "x"]])
def test_a_wrong_command_line_is_exit_code_2_and_points_to_help(program: Program, words: list[str]) -> None:
    told = program("queuectl", *words)
    assert told.status == 2
    assert "--help" in told.err


@pytest.mark.parametrize(
    ("words", "meant"), [(["job", "list"], "jobs"), (["jobs", "lst"], "list"), (["jobs", "list", "-o", "jsn"], "json")]
)
def test_a_word_that_is_nearly_right_is_told_what_was_meant(program: Program, words: list[str], meant: str) -> None:
    told = program("queuectl", *words)
    assert told.status == 2
    assert f"; did you mean {meant}?; see queuectl" in told.err


def test_a_command_of_queuectl_that_queued_is_given_points_to_queuectl(program: Program) -> None:
    told = program("queued", "status")
    assert (told.status, told.out) == (2, "")
    assert "'status' is no command of the daemon: start, check, migrate" in told.err
    assert "queuectl --help" in told.err


@pytest.mark.parametrize("verb", ["start", "check"])
def test_an_installation_without_the_daemon_s_packages_says_what_to_install(
    directory: Path, tmp_path: Path, verb: str
) -> None:
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    lacking = "raise ModuleNotFoundError(\"No module named 'sdnotify'\", name='sdnotify')\n"
    (hiding / "sdnotify.py").write_text(lacking)
    path = os.pathsep.join((str(hiding), str(ROOT / "daemon")))
    told = run(verb, "--env", "test", cwd=directory, env={"PYTHONPATH": path})
    assert (told.status, told.out) == (78, "")
    assert told.err.endswith("a package of the daemon is missing (sdnotify): pip install 'queued-jobs[daemon]'\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_full_is_told_in_a_sentence(directory: Path) -> None:
    run("migrate", "--env", "test", cwd=directory)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("status", "--env", "test"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env=environment(),
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "queuectl: standard output cannot be written: No space left on device\n"


def test_module_gives_each_command_to_its_program(directory: Path) -> None:
    assert "configuration is valid" in run("check", "--env", "test", cwd=directory).out
    assert "usage: queuectl status" in run("status", "--help").out
    assert "usage: queued" in run("--help").out


def test_check_says_that_a_configuration_is_valid_and_shows_it(directory: Path) -> None:
    plain = run("check", "--env", "test", cwd=directory)
    assert (plain.status, plain.out) == (0, "configuration is valid\n")
    shown = run("check", "--show", "--mode", "fork", env={"QUEUED_ENV": "test"}, cwd=directory)
    assert "batch_size: 7" in shown.out
    assert 'mode: "fork"' in shown.out


def test_check_reports_every_problem_at_once_and_exits_with_78(directory: Path) -> None:
    (directory / "queue.yml").write_text("test:\n  database: mysql://x\n  workerz: []\n  shutdown_timeout: soon\n")
    told = run("check", "--env", "test", cwd=directory)
    assert told.status == 78
    assert told.out == ""
    assert len(told.err.splitlines()) == 3
    assert {"2", "3", "4"} <= {line.split(":")[2] for line in told.err.splitlines()}


def test_a_missing_section_or_file_is_exit_code_78(directory: Path) -> None:
    assert "staging" in run("check", "--env", "staging", cwd=directory).err
    missing = run("check", "--config", "none.yml", cwd=directory)
    assert missing.status == 78
    assert "none.yml" in missing.err


def test_check_refuses_what_start_would_refuse(directory: Path) -> None:
    for text, told in (
        ("  database: sqlite:///queue.sqlite3\n  scheduler: {dynamic_tasks_enabled: false}\n", "asks for no actor"),
        ("  database: postgresql://host/db?sslmoode=require\n", "its parameter sslmoode is unknown"),
        ("  database: postgresql://host:notaport/db\n", "the port in the database URL is not a number"),
        ("  database: postgresql://me:sec%ret@host/db\n", "write %xx for special characters"),
        ("  database: postgresql://me:sec/x?ret=7@host/db\n", "libpq cannot read it"),
    ):
        (directory / "queue.yml").write_text(f"test:\n{text}")
        refused = run("check", "--env", "test", cwd=directory)
        assert (refused.status, refused.out) == (78, ""), text
        assert told in refused.err
        assert "sec" not in refused.err
        assert "ret=" not in refused.err


def test_migrate_refuses_a_port_that_is_none_as_a_fault_of_the_configuration(directory: Path) -> None:
    told = run("migrate", "--env", "test", cwd=directory, env={"QUEUED_DATABASE_URL": "postgresql://host:99999/db"})
    assert told.status == 78
    assert "the port in the database URL is not a number from 1 to 65535" in told.err


def test_migrate_tells_what_it_applied_and_is_idempotent(directory: Path) -> None:
    first = run("migrate", "--env", "test", cwd=directory)
    assert first.status == 0
    assert first.out.startswith("applied 0001_")
    second = run("migrate", "--env", "test", cwd=directory)
    assert (second.status, second.out.endswith("is up to date\n")) == (0, True)


def test_migrate_repairs_an_existing_but_empty_file(directory: Path) -> None:
    (directory / "queue.sqlite3").touch()
    before = run("status", "--env", "test", cwd=directory)
    assert before.status == 78
    assert "queued migrate" in before.err
    assert run("migrate", "--env", "test", cwd=directory).status == 0
    assert run("status", "--env", "test", cwd=directory).status == 3


def test_a_newer_schema_is_refused_with_78(directory: Path) -> None:
    run("migrate", "--env", "test", cwd=directory)
    connection = sqlite3.connect(directory / "queue.sqlite3")
    connection.execute(
        "INSERT INTO queued_migrations (version, name, breaking, applied_at) VALUES (9000, '9000_future', 1, 0)"
    )
    connection.commit()
    connection.close()
    for words in (["migrate"], ["status"], ["jobs", "list"]):
        told = run(*words, "--env", "test", cwd=directory)
        assert told.status == 78
        assert "newer release" in told.err


def test_queuectl_does_not_make_a_missing_file(tmp_path: Path) -> None:
    told = run("status", "--database", "sqlite:///none.sqlite3", cwd=tmp_path)
    assert told.status == 78
    assert f"there is no database at {tmp_path / 'none.sqlite3'}" in told.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_database_the_way_to_name_one_is_said(tmp_path: Path) -> None:
    told = run("status", cwd=tmp_path)
    assert told.status == 78
    assert "QUEUED_CONFIG" in told.err


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://x"])
def test_a_url_that_means_nothing_is_78(tmp_path: Path, url: str) -> None:
    told = run("status", "--database", url, cwd=tmp_path)
    assert told.status == 78
    assert told.err.startswith("queuectl: --database: ")


def test_a_database_that_is_down_is_69(tmp_path: Path) -> None:
    told = run("status", "--database", "postgresql://nobody:hush@127.0.0.1:1/none", cwd=tmp_path)
    assert told.status == 69
    assert "hush" not in told.err
    assert len(told.err.splitlines()) == 1


def test_a_wrong_password_and_a_missing_database_are_78(postgresql_url: str) -> None:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(postgresql_url)
    server = f"127.0.0.1:{parts['port']}"
    wrong = run("status", "--database", f"postgresql://guarded:wrong@{server}/{parts['dbname']}")
    assert wrong.status == 78
    assert "wrong@" not in wrong.err
    missing = run("status", "--database", f"postgresql://queued@{server}/nowhere")
    assert missing.status == 78
    assert "nowhere" in missing.err


def test_the_database_is_found_by_option_variable_and_file(directory: Path, program: Program) -> None:
    run("migrate", "--env", "test", cwd=directory)
    url = f"sqlite:///{directory}/queue.sqlite3"
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    config = {"QUEUED_CONFIG": str(directory / "queue.yml"), "QUEUED_ENV": "test"}
    assert run("processes", "--database", url, cwd=elsewhere).status == 0
    assert run("processes", cwd=elsewhere, env={"QUEUED_DATABASE_URL": url}).status == 0
    assert run("processes", cwd=elsewhere, env=config).status == 0
    assert run("processes", "--config", directory / "queue.yml", "--env", "test", cwd=elsewhere).status == 0
    named = {**config, "QUEUED_DATABASE_URL": "sqlite:///none.sqlite3"}
    assert run("processes", cwd=elsewhere, env=named).status == 78
    assert run("processes", "--database", url, cwd=elsewhere, env=named).status == 0
    assert program("queuectl", "--database", url, "processes").status == 0


def test_a_faulty_daemon_configuration_does_not_stop_queuectl(directory: Path) -> None:
    run("migrate", "--env", "test", cwd=directory)
    with (directory / "queue.yml").open("a") as file:
        file.write("  shutdown_timeout: soon\n")
    assert run("check", "--env", "test", cwd=directory).status == 78
    assert run("status", "--env", "test", "--config", "queue.yml", cwd=directory).status == 3


def test_output_survives_a_closed_pipe(store: Store, database_url: str) -> None:
    store.enqueue([job(f"app.{'long' * 40}") for _ in range(1000)])
    writer = subprocess.Popen(
        command("jobs", "list", "--limit", "1000", "--database", database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert writer.stdout is not None
    writer.stdout.read(10)
    writer.stdout.close()
    assert writer.stderr is not None
    told = writer.stderr.read()
    assert writer.wait(60) == 0
    assert b"Traceback" not in told
    assert b"Broken" not in told
    writer.stderr.close()


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    run("migrate", cwd=tmp_path, env={"QUEUED_DATABASE_URL": "sqlite:///q.sqlite3"})
    holder = sqlite3.connect(tmp_path / "q.sqlite3", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = subprocess.Popen(
        command("queues", "pause", "mail", "--database", "sqlite:///q.sqlite3"),
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    )
    # It must have reached the database: SIGINT during the interpreter's own start is not the program's to answer.
    wait_for_open_file(waiting.pid, tmp_path / "q.sqlite3")
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=60)
    holder.close()
    assert b"Traceback" not in told
    assert waiting.returncode == 130


def wait_for_open_file(pid: int, path: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if os.path.realpath(descriptor) == str(path.resolve()):
                return
        time.sleep(0.01)
    raise AssertionError(f"{path} was not opened")


def test_an_internal_error_is_one_sentence_and_70(
    program: Program, monkeypatch: pytest.MonkeyPatch, store: Store, database_url: str
) -> None:
    from queued.storage import insights

    def fail(*_: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(insights, "overview", fail)
    told = program("queuectl", "status", "--database", database_url)
    assert told.status == 70
    assert told.err.startswith("queuectl: internal error, RuntimeError: no such luck; set QUEUED_DEBUG=1")
    monkeypatch.setenv("QUEUED_DEBUG", "1")
    with pytest.raises(RuntimeError):
        program("queuectl", "status", "--database", database_url)


def test_an_output_without_unicode_is_no_obstacle(store: Store, database_url: str) -> None:
    store.enqueue([job("app.größe")])
    told = run("jobs", "list", "--database", database_url, env={"PYTHONIOENCODING": "ascii"})
    assert told.status == 0
    assert "app.gr" in told.out


def test_a_plain_command_imports_only_what_it_needs(tmp_path: Path) -> None:
    script = (
        "import sys; from queued.cli.main import queuectl\n"
        "try: queuectl(['jobs', 'list', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=True
    )
    loaded = set(done.stderr.split())
    unwanted = {"croniter", "prometheus_client", "psycopg", "yaml", "sqlite3", "asyncio", "queued.storage.store"}
    assert not loaded & unwanted
    assert not {name for name in loaded if name.startswith("queued.processes")}


def test_start_refuses_what_a_person_must_correct_with_78(directory: Path) -> None:
    assert run("start", "--env", "staging", cwd=directory).status == 78
    assert run("start", "--env", "test", cwd=directory, env={"QUEUED_DATABASE_URL": "mysql://x"}).status == 78
    unusable = run("start", "--env", "test", cwd=directory, env={"QUEUED_DATABASE_URL": "sqlite:////nowhere/q.sqlite3"})
    assert unusable.status == 78
    assert "/nowhere" in unusable.err


def test_start_runs_until_term_and_ends_with_0(directory: Path) -> None:
    variables = environment({"QUEUED_ENV": "test", "XDG_RUNTIME_DIR": str(directory)})
    daemon = subprocess.Popen(
        command("start", "--log-level", "info"), cwd=directory, env=variables, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        kinds: set[str] = set()
        while kinds != {"supervisor", "dispatcher", "scheduler"} and time.monotonic() < deadline:
            assert daemon.poll() is None
            told = run("processes", "--json", "--env", "test", cwd=directory)
            kinds = {entry["kind"] for entry in told.json["processes"]} if told.status == 0 else set()
        assert kinds == {"supervisor", "dispatcher", "scheduler"}
        daemon.terminate()
        _, log = daemon.communicate(timeout=60)
    finally:
        daemon.kill()
        daemon.wait()
    assert daemon.returncode == 0
    assert "Started Supervisor(async)" in log
