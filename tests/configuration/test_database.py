"""Where the database is, for the daemon and for applications, and that no password is ever shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from configuration.files import DATABASE, Files
from queued.configuration import database_from_file, masked, render
from queued.domain.errors import ConfigurationError
from queued.domain.settings import DatabaseSettings


def test_three_slashes_are_relative_to_the_files_directory_and_four_are_absolute(files: Files) -> None:
    url = files.load("database: sqlite:///data/queue.sqlite3\n").settings.database.url
    assert url == f"sqlite:///{files.directory}/data/queue.sqlite3"
    assert url.startswith("sqlite:////")
    assert files.load(DATABASE).settings.database.url == "sqlite:////var/lib/queued/queue.sqlite3"


def test_a_relative_path_from_the_variable_is_relative_to_the_working_directory(files: Files) -> None:
    (files.directory / "etc").mkdir()
    environ = {"QUEUED_DATABASE_URL": "sqlite:///queue.sqlite3"}
    files.path = files.directory / "etc" / "queue.yml"
    assert files.load(DATABASE, environ).settings.database.url == f"sqlite:///{files.directory}/queue.sqlite3"


def test_the_variable_wins_over_the_file_and_an_empty_one_is_unset(files: Files) -> None:
    text = "database: {url: 'postgresql://a/b', schema: jobs}\n"
    database = files.load(text, {"QUEUED_DATABASE_URL": "postgresql://c/d"}).settings.database
    assert (database.url, database.schema) == ("postgresql://c/d", "jobs")
    assert files.load(text, {"QUEUED_DATABASE_URL": ""}).settings.database.url == "postgresql://a/b"


def test_a_url_of_the_file_needs_no_variables_when_the_variable_wins(files: Files) -> None:
    for text in ("database: ${UNSET}\n", "database: {url: '${UNSET}'}\n"):
        assert files.load(text, {"QUEUED_DATABASE_URL": "postgresql://c/d"}).settings.database.url == "postgresql://c/d"


def test_a_listen_url_of_the_file_is_not_used_for_another_database(files: Files) -> None:
    text = "database: {url: 'postgresql://pool/b', listen_url: 'postgresql://a/b'}\n"
    assert files.load(text).settings.database.listen_url == "postgresql://a/b"
    loaded = files.load(text, {"QUEUED_DATABASE_URL": "postgresql://c/d"})
    assert loaded.settings.database.listen_url is None
    assert any("listen_url: is not used" in warning for warning in loaded.warnings)


def test_every_setting_of_the_database_arrives(files: Files) -> None:
    settings = files.load(
        """\
        database:
          url: postgresql://me:secret@one,two:5433/db?sslmode=require&target_session_attrs=read-write
          schema: jobs
          listen: false
          listen_url: postgres://me@three/db
          wake: off
          busy_timeout: 100
          mmap_size: 0
          cache_size: -2000
          synchronous: NORMAL
          connect_timeout: 2.5
        """
    ).settings
    assert settings.database == DatabaseSettings(
        url="postgresql://me:secret@one,two:5433/db?sslmode=require&target_session_attrs=read-write",
        schema="jobs",
        listen=False,
        listen_url="postgres://me@three/db",
        wake=False,
        busy_timeout=100,
        mmap_size=0,
        cache_size=-2000,
        synchronous="normal",
        connect_timeout=2.5,
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://me:secret@host/db", "the scheme mysql:// is not understood; write sqlite:///PATH or postgresql://"),
        (
            "postgresql+psycopg://me:secret@host/db",
            "the scheme postgresql+psycopg:// is not understood; write postgresql://",
        ),
        ("sqlite3:///x", "the scheme sqlite3:// is not understood; write sqlite://"),
        ("host=x password=secret", "is not a database URL; write sqlite:///PATH or postgresql://USER@HOST/DATABASE"),
        ("me:secret@host/db", "is not a database URL"),
        ("/var/lib/secret", "is not a database URL"),
        ("postgresql://me:secret @host/db", "holds blanks or line ends"),
        ("sqlite://secret/db", "sqlite:// needs a third slash"),
        ("sqlite:///", "names no file, and a database in memory is seen by one process only"),
        ("sqlite://", "sqlite:// needs a third slash"),
        ("sqlite:///:memory:", "names no file, and a database in memory"),
        ("sqlite:///db?mode=secret", "a SQLite URL has no parameters"),
        ("sqlite:///~/db", "~ is not expanded; write the whole path, or ${HOME}"),
        ("sqlite:////data/", "names a directory; write the path of a file"),
        ("sqlite:///a%00b", "holds a NUL character"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_it(files: Files, url: str, problem: str) -> None:
    quoted = url.replace("$", "$$")
    for found in (
        files.problem(f"database: '{quoted}'\n"),
        files.problem(f"database: {{url: '{quoted}'}}\n"),
        files.problem(DATABASE, {"QUEUED_DATABASE_URL": url}),
    ):
        assert problem in found
        assert "secret" not in found
    assert files.problem(DATABASE, {"QUEUED_DATABASE_URL": url}).startswith("QUEUED_DATABASE_URL: ")


def test_an_address_written_where_a_key_belongs_is_not_shown_either(files: Files) -> None:
    for text in (
        "database: {postgresql://me:secret@host/db}\n",
        "postgresql://me:secret@host/db: 1\nworkers: []\n",
        "postgresql://me:secret@host/db:\n",
        "database: sqlite:////a/b\nworkers: [{queues: 'postgresql://me:*secret@host'}]\n",
    ):
        assert not any("secret" in problem for problem in files.problems(text))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("schema: Jobs", "database.schema: 'Jobs' is not a name; write up to 63 of a-z, 0-9 and _, no digit first"),
        ("schema: 'a;b'", "database.schema: 'a;b' is not a name"),
        ("busy_timeout: -1", "database.busy_timeout: -1 is too small; write a whole number from 0"),
        ("synchronous: off", "database.synchronous: 'off' is not one of normal, full, extra"),
        ("connect_timeout: 0", "database.connect_timeout: 0 is too small; write seconds from 1"),
        ("listen: 3", "database.listen: '3' is neither true nor false; write one of them"),
        ("listen_url: sqlite:////x/y", "database.listen_url: is for PostgreSQL; remove it"),
        ("pool: 5", "database.pool: is not a setting; here may stand: url, schema, listen"),
    ],
)
def test_a_wrong_setting_of_the_database_is_refused(files: Files, line: str, problem: str) -> None:
    assert files.problem(f"database:\n  url: postgresql://a/b\n  {line}\n").startswith(f"queue.yml:3: {problem}")


@pytest.mark.parametrize(
    "text", ["workers: [{}]\n", "database:\nworkers: [{}]\n", "database: {schema: x}\nworkers: [{}]"]
)
def test_no_database_at_all_says_the_two_ways_to_give_one(files: Files, text: str) -> None:
    assert "no database is given; write database: sqlite:///PATH or postgresql://…, or set QUEUED_DATABASE_URL" in (
        files.problem(text)
    )


def test_a_path_that_lacks_a_slash_by_mistake_is_a_warning(files: Files) -> None:
    loaded = files.load("database: sqlite:///var/lib/queued/queue.sqlite3\ndispatchers: [{}]\n")
    (warning,) = loaded.warnings
    assert warning.endswith(
        "sqlite:///var/lib/queued/queue.sqlite3 is a relative path; "
        "if /var/lib/queued/queue.sqlite3 is meant, write sqlite:////var/lib/queued/queue.sqlite3"
    )


def test_odd_letters_of_a_path_survive(files: Files) -> None:
    url = files.load("database: 'sqlite:////data/a b%25ü.db'\n").settings.database.url
    assert url == "sqlite:////data/a%20b%25%C3%BC.db"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("postgresql://me:sec@ret/se:cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db?password=secret&x=y", "postgresql://me@host/db?password=***&x=y"),
        ("postgresql://host/db?user=me&sslpassword=secret", "postgresql://host/db?user=me&sslpassword=***"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("sqlite:////var/lib/queue.sqlite3", "sqlite:////var/lib/queue.sqlite3"),
    ],
)
def test_an_address_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_effective_settings_are_shown_without_passwords_and_secrets(files: Files, tmp_path: Path) -> None:
    settings = files.load(
        """\
        database: {url: 'postgresql://me:secret@host/db', listen_url: 'postgresql://me:secret@host/db'}
        app: {import: shop.jobs, environment: {KEY: secret}}
        workers: [{}]
        """,
        {"PATH": str(Path(sys.executable).parent)},
    ).settings
    assert "secret" not in render(settings)
    assert 'KEY: "***"' in render(settings)
    assert "secret" not in repr(settings)


def test_an_application_reads_the_database_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "queue.yml"
    path.write_text("production:\n  database: sqlite:///db\n  wrokers: 7\n  app: {path: nowhere}\n  mode: ${UNSET}\n")
    assert database_from_file(str(path), environ={}).url == f"sqlite:///{tmp_path}/db"
    with pytest.raises(ConfigurationError, match='there is no section "test"'):
        database_from_file(str(path), "test", {})
    with pytest.raises(ConfigurationError, match='there is no section "staging"'):
        database_from_file(str(path), environ={"QUEUED_ENV": "staging"})
    assert database_from_file(str(path), environ={"QUEUED_DATABASE_URL": "postgresql://a/b"}).url == "postgresql://a/b"


def test_an_application_is_told_every_fault_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "queue.yml"
    path.write_text("database:\n  url: mysql://x\n  wakee: 1\n")
    with pytest.raises(ConfigurationError) as caught:
        database_from_file(str(path), environ={})
    assert [problem.split(":")[1] for problem in caught.value.problems] == ["2", "3"]


def test_pyyaml_is_needed_only_when_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "queue.yml"
    path.write_text(DATABASE)
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "from queued.configuration import database_from_file, load\n"
        "from queued.domain.errors import ConfigurationError\n"
        "for read in (database_from_file, load):\n"
        "    try: read(sys.argv[1], environ={})\n"
        "    except ConfigurationError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    application, daemon = run.stdout.splitlines()
    assert "needs PyYAML, which this Python lacks; pip install pyyaml, or set QUEUED_DATABASE_URL" in application
    assert daemon.endswith("needs PyYAML, which this Python lacks; pip install 'queued-jobs[daemon]'")
