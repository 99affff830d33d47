"""The files in etc/ are right as they are shipped, and so is what they offer in comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from configuration.files import DATABASE, Files
from queued.configuration import load
from queued.configuration.document import Document
from queued.domain.recurring import CHORES
from queued.domain.settings import DispatcherSettings, WorkerSettings

ETC = Path(__file__).parents[2] / "etc"
SHIPPED = sorted(path.name for path in ETC.glob("*.yml"))


def uncommented(text: str) -> str:
    """The file with every commented example switched on; sentences stay comments."""
    return re.sub(r"^( *)# ((?: *)(?:- )?[a-z_A-Z]+:(?: .*)?)$", r"\1\2", text, flags=re.M)


def test_both_files_are_shipped() -> None:
    assert SHIPPED == ["queue.yml", "recurring.yml"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_is_without_a_fault(name: str) -> None:
    assert Document(str(ETC / name)).notes.problems == []


@pytest.mark.parametrize("environment", ["production", "development", "test"])
def test_the_shipped_configuration_works_in_every_environment(environment: str) -> None:
    loaded = load(str(ETC / "queue.yml"), environment=environment, environ={})
    assert loaded.settings.workers == (WorkerSettings(),)
    assert loaded.settings.dispatchers == (DispatcherSettings(),)
    assert [warning for warning in loaded.warnings if "app: is not given" not in warning] == []


def test_the_shipped_configuration_keeps_its_jobs_in_var_lib() -> None:
    settings = load(str(ETC / "queue.yml"), environ={"JOB_CONCURRENCY": "2"}).settings
    assert settings.database.url == "sqlite:////var/lib/queued/queue.sqlite3"
    assert settings.workers[0].processes == 2
    assert settings.recurring_path == str(ETC / "recurring.yml")


def test_the_examples_of_the_shipped_configuration_are_right(files: Files) -> None:
    shared, production, rest = (ETC / "queue.yml").read_text().partition("\nproduction:\n")
    text = shared + production + uncommented(rest).replace("  database: postgresql://queued@db.example/queued\n", "")
    assert "\n  app:\n    path: /srv/shop\n" in text
    settings = files.load(text, role="clock").settings
    assert settings.dispatchers == (DispatcherSettings(),)
    assert settings.app is not None
    assert settings.app.imports == ("shop.jobs",)


OWN = ["clear_finished_jobs", "heartbeat"]
OF_PRODUCTION = [*OWN, "backup_database", "verify_backup"]


@pytest.mark.parametrize(("environment", "keys"), [("production", OF_PRODUCTION), ("development", OWN), ("test", [])])
def test_the_shipped_tasks_are_those_of_the_daemon_itself(environment: str, keys: list[str]) -> None:
    loaded = load(str(ETC / "queue.yml"), environment=environment, environ={})
    assert sorted(task.key for task in loaded.settings.recurring) == sorted(keys)
    assert {task.class_name for task in loaded.settings.recurring} <= CHORES


def test_the_examples_of_the_recurring_file_are_right(files: Files) -> None:
    (files.directory / "recurring.yml").write_text(uncommented((ETC / "recurring.yml").read_text()))
    tasks = {task.key: task for task in files.load(DATABASE).settings.recurring}
    assert set(tasks) == {*OF_PRODUCTION, "nightly_report", "disk_space", "forget_visitors"}
    assert tasks["nightly_report"].arguments == '{"args":["daily"],"kwargs":{"format":"pdf"}}'
