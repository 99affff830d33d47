"""One service of several on a host: a role of the common file, or a file of its own."""

from __future__ import annotations

import pytest

from configuration.files import DATABASE, Files
from queued.domain.settings import SchedulerSettings, WorkerSettings

COMMON = (
    DATABASE
    + """\
workers: [{threads: 9}]
dispatchers: [{}]
roles:
  mail:
    workers: [{queues: "mail*"}]
  web:
    workers: []
"""
)


def test_an_instance_is_the_role_of_its_name(files: Files) -> None:
    settings = files.load(COMMON, instance="mail").settings
    assert (settings.role, settings.workers) == ("mail", (WorkerSettings(("mail*",)),))
    assert files.load(COMMON, role="mail").settings == settings
    assert files.load(COMMON).settings.role is None


def test_a_file_of_its_own_stands_in_the_place_of_the_common_one(files: Files) -> None:
    own = files.directory / "mail.yml"
    own.write_text(DATABASE + "workers: [{threads: 1}]\n")
    settings = files.load(COMMON, instance="mail").settings
    assert (settings.role, settings.source, settings.workers) == ("mail", str(own), (WorkerSettings(threads=1),))
    # As in a role, a scheduler runs where one is written: each of several instances on a host need not have one.
    assert settings.scheduler is None
    own.write_text(DATABASE + "workers: [{threads: 1}]\nscheduler: {}\n")
    assert files.load(COMMON, instance="mail").settings.scheduler == SchedulerSettings()


def test_a_file_of_its_own_needs_no_common_one(files: Files) -> None:
    (files.directory / "mail.yml").write_text(DATABASE + "workers: [{threads: 1}]\n")
    from queued.configuration import load

    loaded = load(str(files.directory / "queue.yml"), environ={}, instance="mail")
    assert loaded.settings.workers == (WorkerSettings(threads=1),)


def test_an_instance_that_is_nothing_is_an_error_that_lists_the_roles(files: Files) -> None:
    told = files.problem(COMMON, instance="clock")
    assert told == '--instance: there is neither a file clock.yml nor a role "clock"; there are: mail, web'


@pytest.mark.parametrize("name", ["", "../etc/passwd", "a/b"])
def test_an_instance_is_a_name_and_no_path(files: Files, name: str) -> None:
    assert files.problem(COMMON, instance=name).startswith("--instance: ")


def test_a_role_that_says_so_has_nobody_who_works(files: Files) -> None:
    settings = files.load(COMMON, role="web").settings
    assert (settings.workers, settings.dispatchers, settings.scheduler) == ((), (), None)
    (files.directory / "web.yml").write_text(DATABASE + "workers: []\n")
    assert files.load(COMMON, instance="web").settings.scheduler is None
    # Without a name it is more likely a mistake.
    assert "No processes configured" in files.problem(DATABASE + "workers: []\n")


def test_a_role_where_nobody_works_has_no_recurring_tasks(files: Files) -> None:
    (files.directory / "recurring.yml").write_text("report: {shell: make report, schedule: every hour}\n")
    assert files.load(COMMON, role="web").settings.recurring == ()
    assert len(files.load(COMMON).settings.recurring) == 1


# credentials


def test_the_database_is_the_variables_else_the_credentials_else_the_files(files: Files) -> None:
    secret = files.directory / "database-url"
    secret.write_text("postgresql://queued:secret@db/queued\n")
    environ = {"CREDENTIALS_DIRECTORY": str(files.directory)}
    assert files.load(COMMON, environ).settings.database.url == "postgresql://queued:secret@db/queued"
    both = {**environ, "QUEUED_DATABASE_URL": "postgresql://other/queued"}
    assert files.load(COMMON, both).settings.database.url == "postgresql://other/queued"
    secret.unlink()
    assert files.load(COMMON, environ).settings.database.url == "sqlite:////var/lib/queued/queue.sqlite3"
    secret.write_text("\n")
    assert files.load(COMMON, environ).settings.database.url == "sqlite:////var/lib/queued/queue.sqlite3"


def test_a_credential_that_is_no_address_is_refused_without_being_shown(files: Files) -> None:
    (files.directory / "database-url").write_text("mysql://queued:secret@db/queued\n")
    problem = files.problem(COMMON, {"CREDENTIALS_DIRECTORY": str(files.directory)})
    assert problem.startswith("credential database-url: the scheme mysql:// is not understood")
    assert "secret" not in problem
    (files.directory / "database-url").write_bytes(b"\xff\xfe")
    assert "is not text" in files.problem(COMMON, {"CREDENTIALS_DIRECTORY": str(files.directory)})


def test_a_credential_that_cannot_be_read_is_an_error(files: Files) -> None:
    (files.directory / "database-url").mkdir()
    problem = files.problem(COMMON, {"CREDENTIALS_DIRECTORY": str(files.directory)})
    assert problem == ("credential database-url: cannot be read (Is a directory); correct LoadCredential= of the unit")


def test_an_applications_own_credential_is_none_of_ours(files: Files) -> None:
    from queued.configuration import database_from_file

    (files.directory / "database-url").write_text("postgresql://shop@db/shop\n")
    files.load(COMMON)
    environ = {"CREDENTIALS_DIRECTORY": str(files.directory)}
    assert database_from_file(str(files.path), environ=environ).url == "sqlite:////var/lib/queued/queue.sqlite3"
    assert database_from_file(str(files.path), environ=environ, credentials=True).url == "postgresql://shop@db/shop"
