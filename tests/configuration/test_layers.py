"""Command line over environment over file over default, for every setting that has more than one of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from configuration.files import DATABASE, Files
from queued.configuration import load
from queued.domain.errors import ConfigurationError
from queued.domain.settings import DispatcherSettings, SchedulerSettings, Settings, WorkerSettings

POSTGRESQL = "database: postgresql://me@host/db\n"

ROLES = (
    DATABASE
    + """\
workers:
  - threads: 9
roles:
  mail:
    workers:
      - queues: "mail*"
  clock:
    dispatchers: [{batch_size: 7}]
    scheduler: {}
  nothing: {}
"""
)


def test_the_mode_is_async_on_sqlite_and_fork_on_postgresql(files: Files) -> None:
    assert files.load(DATABASE).settings.mode == "async"
    assert files.load(POSTGRESQL).settings.mode == "fork"


def test_the_mode_comes_from_the_option_then_the_variable_then_the_file(files: Files) -> None:
    text = POSTGRESQL + "mode: async\n"
    assert files.load(text).settings.mode == "async"
    assert files.load(text, {"QUEUED_SUPERVISOR_MODE": "fork"}).settings.mode == "fork"
    assert files.load(text, {"QUEUED_SUPERVISOR_MODE": "fork"}, mode="async").settings.mode == "async"


def test_a_mode_that_is_none_is_an_error_wherever_it_comes_from(files: Files) -> None:
    assert files.problem(DATABASE, mode="threads") == "--mode: 'threads' is no mode; write fork or async"
    problem = files.problem(DATABASE, {"QUEUED_SUPERVISOR_MODE": "Fork it"})
    assert problem == "QUEUED_SUPERVISOR_MODE: 'Fork it' is no mode; write fork or async"


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE", " On "])
def test_skipping_recurring_tasks_is_switched_on_by_a_true_word(files: Files, word: str) -> None:
    assert files.load(DATABASE, {"QUEUED_SKIP_RECURRING": word}).settings.skip_recurring is True


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "", "False"])
def test_skipping_recurring_tasks_is_switched_off_by_a_false_word(files: Files, word: str) -> None:
    assert files.load(DATABASE, {"QUEUED_SKIP_RECURRING": word}).settings.skip_recurring is False


def test_any_other_word_for_skipping_recurring_tasks_is_an_error(files: Files) -> None:
    problem = files.problem(DATABASE, {"QUEUED_SKIP_RECURRING": "maybe"})
    assert problem == "QUEUED_SKIP_RECURRING: 'maybe' is neither true nor false; write one of them"


def test_the_option_for_skipping_wins_over_the_variable_even_when_it_says_no(files: Files) -> None:
    environ = {"QUEUED_SKIP_RECURRING": "true"}
    assert files.load(DATABASE, environ, skip_recurring=False).settings.skip_recurring is False
    assert (
        files.load(DATABASE, {"QUEUED_SKIP_RECURRING": "nonsense"}, skip_recurring=True).settings.skip_recurring is True
    )


def test_the_file_of_recurring_tasks_is_the_options_the_variables_or_the_one_beside(files: Files) -> None:
    assert files.load(DATABASE).settings.recurring_path is None
    for name in ("recurring.yml", "a.yml", "b.yml"):
        (files.directory / name).write_text("")
    assert files.load(DATABASE).settings.recurring_path == str(files.directory / "recurring.yml")
    environ = {"QUEUED_RECURRING_SCHEDULE": "a.yml"}
    assert files.load(DATABASE, environ).settings.recurring_path == str(files.directory / "a.yml")
    loaded = files.load(DATABASE, environ, recurring="b.yml")
    assert loaded.settings.recurring_path == str(files.directory / "b.yml")


def test_a_named_file_of_recurring_tasks_that_is_not_there_is_an_error_unless_it_is_skipped(files: Files) -> None:
    assert files.problem(DATABASE, recurring="no.yml").startswith("--recurring: there is no file no.yml; ")
    assert files.load(DATABASE, recurring="no.yml", skip_recurring=True).settings.skip_recurring


def test_queued_config_names_the_file_and_the_option_wins_over_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yml").write_text(f"database: sqlite:////{name}/db\n")
    environ = {"QUEUED_CONFIG": "one.yml"}
    assert load(environ=environ, cwd=str(tmp_path)).settings.source == str(tmp_path / "one.yml")
    assert load("two.yml", environ=environ, cwd=str(tmp_path)).settings.source == str(tmp_path / "two.yml")


def test_without_a_name_the_usual_files_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "queue.yml").write_text(DATABASE)
    assert load(environ={}, cwd=str(tmp_path)).settings.source == str(tmp_path / "config" / "queue.yml")
    (tmp_path / "queue.yml").write_text(DATABASE)
    assert load(environ={}, cwd=str(tmp_path)).settings.source == str(tmp_path / "queue.yml")


@pytest.mark.skipif(os.path.exists("/etc/queued/queue.yml"), reason="this host has a configuration")
def test_no_file_at_all_is_an_error_that_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name one with --config or QUEUED_CONFIG"):
        load(environ={"QUEUED_CONFIG": ""}, cwd=str(tmp_path))


def test_everything_left_out_has_the_default_of_the_values(files: Files) -> None:
    settings = files.load(DATABASE, {"RUNTIME_DIRECTORY": "/run/queued"}).settings
    assert settings == Settings(
        environment="production",
        mode="async",
        database=settings.database,
        workers=(WorkerSettings(),),
        dispatchers=(DispatcherSettings(),),
        scheduler=SchedulerSettings(),
        source=str(files.path),
    )


def test_every_plain_setting_of_the_file_arrives(files: Files) -> None:
    settings = files.load(
        DATABASE
        + """\
workers:
  - {queues: [urgent, "mail*", "-mail_slow"], threads: 5, processes: 2, polling_interval: 0.5, name: mailer}
  - {tasks: 40}
dispatchers:
  - {polling_interval: 2, batch_size: 9}
scheduler: {polling_interval: 1 minute, dynamic_tasks_enabled: yes}
shutdown_timeout: 1 minute
interrupt_grace: 0
crash_limit: 4
heartbeat_interval: 2
alive_threshold: 4.5
start_retries: 0
retention:
  {finished: never, discarded: 12 hours, cancelled: 3600, failed: 2 weeks, batch_size: 10, delete_finished: [clicks, "mail*"]}
runtime_directory: run
log_level: debug
"""
    ).settings
    assert settings.workers == (
        WorkerSettings(("urgent", "mail*", "-mail_slow"), 5, 0, 2, 0.5, "mailer"),
        WorkerSettings(threads=0, tasks=40),
    )
    assert settings.dispatchers == (DispatcherSettings(2.0, 9),)
    assert settings.scheduler == SchedulerSettings(60.0, True)
    assert (settings.shutdown_timeout, settings.interrupt_grace, settings.crash_limit) == (60.0, 0.0, 4)
    assert (settings.heartbeat_interval, settings.alive_threshold, settings.start_retries) == (2.0, 4.5, 0)
    retention = settings.retention
    assert (retention.finished, retention.discarded, retention.cancelled) == (None, 43200.0, 3600.0)
    assert (retention.failed, retention.batch_size) == (1209600.0, 10)
    assert retention.delete_finished == ("clicks", "mail*")
    assert files.load(DATABASE).settings.retention.delete_finished == ()
    assert files.load(DATABASE + "retention: {delete_finished: []}\n").settings.retention.delete_finished == ()
    assert settings.runtime_directory == str(files.directory / "run")
    assert settings.log_level == "debug"


def test_the_runtime_directory_follows_systemd_then_the_login_then_the_user(files: Files) -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert (
        files.load(DATABASE, {**environ, "RUNTIME_DIRECTORY": "/run/q:/run/r"}).settings.runtime_directory == "/run/q"
    )
    assert files.load(DATABASE, environ).settings.runtime_directory == "/run/user/7/queued"
    assert files.load(DATABASE).settings.runtime_directory == f"/tmp/queued-{os.getuid()}"


def test_a_role_stands_in_the_place_of_the_sections_actors(files: Files) -> None:
    assert files.load(ROLES).settings.workers == (WorkerSettings(threads=9),)
    mail = files.load(ROLES, role="mail").settings
    assert (mail.workers, mail.dispatchers, mail.scheduler) == ((WorkerSettings(("mail*",)),), (), None)
    clock = files.load(ROLES, role="clock").settings
    assert (clock.workers, clock.dispatchers) == ((), (DispatcherSettings(batch_size=7),))
    assert clock.scheduler == SchedulerSettings()


def test_an_unknown_role_is_an_error_that_lists_the_roles(files: Files) -> None:
    assert files.problem(ROLES, role="web") == '--role: there is no role "web"; there are: mail, clock, nothing'
    assert "the section names none; write it below roles:" in files.problem(DATABASE, role="web")


def test_a_role_without_actors_is_an_error_when_it_is_chosen(files: Files) -> None:
    assert "roles.nothing: No processes configured; write workers, dispatchers, scheduler or metrics" in files.problem(
        ROLES, role="nothing"
    )


def test_roles_without_other_actors_want_one_to_be_chosen(files: Files) -> None:
    text = DATABASE + "roles:\n  mail: {workers: [{}]}\n"
    assert files.problem(text) == "queue.yml:2: roles: none is chosen; write --role with one of: mail"


def test_a_fault_in_a_role_is_told_although_another_is_chosen(files: Files) -> None:
    text = ROLES.replace("batch_size: 7", "batch_size: none")
    assert "roles.clock.dispatchers[0].batch_size: 'none' is not a whole number" in files.problem(text, role="mail")
    text = ROLES.replace("batch_size: 7", "batch_syze: 7")
    assert "roles.clock.dispatchers[0].batch_syze: is not a setting; did you mean batch_size?" in files.problem(text)


def test_many_threads_are_a_warning_not_an_error(files: Files) -> None:
    loaded = files.load(DATABASE + "workers: [{threads: 200}]\n")
    assert loaded.settings.workers[0].threads == 200
    assert any("workers[0].threads: 200 threads share one interpreter" in warning for warning in loaded.warnings)


def test_a_text_of_queues_with_commas_is_a_list_with_a_warning(files: Files) -> None:
    loaded = files.load(DATABASE + "workers: [{queues: 'real_time,background'}]\n")
    assert loaded.settings.workers[0].queues == ("real_time", "background")
    assert any("is read as a list; write [real_time,background]" in warning for warning in loaded.warnings)


def test_workers_without_a_dispatcher_anywhere_in_the_file_are_a_warning(files: Files) -> None:
    lost = "delayed jobs and retries wait for ever unless another host dispatches"
    for text, warned in (
        ("workers: [{}]\n", True),
        ("workers: [{}]\ndispatchers: []\n", False),
        ("workers: [{}]\ndispatchers: [{}]\n", False),
        ("", False),
    ):
        assert any(lost in warning for warning in files.load(DATABASE + text).warnings) is warned, text
    assert not any(lost in warning for warning in files.load(ROLES, role="mail").warnings)


def test_workers_without_an_application_are_a_warning(files: Files) -> None:
    assert any("app: is not given" in warning for warning in files.load(DATABASE).warnings)
    assert files.load(DATABASE + "dispatchers: [{}]\n").warnings == ()
