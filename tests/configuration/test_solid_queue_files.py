"""Files as Solid Queue installs and documents them work as they are."""

from __future__ import annotations

import pytest

from configuration.files import Files
from queued.domain.settings import DispatcherSettings, RecurringTaskSettings, SchedulerSettings, WorkerSettings

INSTALLED = """\
default: &default
  dispatchers:
    - polling_interval: 1
      batch_size: 500
  workers:
    - queues: "*"
      threads: 3
      processes: <%= ENV.fetch("JOB_CONCURRENCY", 1) %>
      polling_interval: 0.1

development:
  <<: *default

test:
  <<: *default

production:
  <<: *default
"""

URL = {"QUEUED_DATABASE_URL": "sqlite:////var/lib/queued/queue.sqlite3"}


@pytest.mark.parametrize("environment", ["development", "test", "production", "default"])
def test_the_installed_file_works_as_it_is_in_every_environment(files: Files, environment: str) -> None:
    settings = files.load(INSTALLED, URL, environment=environment).settings
    assert settings.environment == environment
    assert settings.dispatchers == (DispatcherSettings(1.0, 500),)
    assert settings.workers == (WorkerSettings(("*",), threads=3, processes=1, polling_interval=0.1),)
    assert settings.scheduler == SchedulerSettings()


def test_job_concurrency_sets_the_processes_of_the_installed_file(files: Files) -> None:
    settings = files.load(INSTALLED, {**URL, "JOB_CONCURRENCY": "4"}).settings
    assert settings.workers[0].processes == 4


def test_a_wrong_job_concurrency_is_told_with_the_place_that_uses_it(files: Files) -> None:
    problem = files.problem(INSTALLED, {**URL, "JOB_CONCURRENCY": "many"})
    assert problem == "queue.yml:8: workers[0].processes: 'many' is not a whole number; write whole number from 1"


def test_options_of_solid_queue_without_a_meaning_here_are_accepted(files: Files) -> None:
    loaded = files.load(
        """\
        dispatchers:
          - polling_interval: 1
            concurrency_maintenance: true
            concurrency_maintenance_interval: 300
            batch_maintenance: false
        workers:
          - queues: [real_time, background]
            fibers: 50
        scheduler:
          dynamic_tasks_enabled: true
          polling_interval: 5
        """,
        URL,
    )
    assert loaded.settings.dispatchers == (DispatcherSettings(),)
    assert loaded.settings.workers == (WorkerSettings(("real_time", "background"), threads=0, tasks=50),)
    assert loaded.settings.scheduler is not None
    assert loaded.settings.scheduler.dynamic_tasks_enabled


def test_recurring_tasks_under_a_dispatcher_are_tasks_as_any(files: Files) -> None:
    loaded = files.load(
        """\
        dispatchers:
          - polling_interval: 1
            recurring_tasks:
              clean_up:
                class: CleanUp
                schedule: every hour
        """,
        URL,
    )
    assert loaded.settings.dispatchers == (DispatcherSettings(),)
    assert loaded.settings.recurring == (RecurringTaskSettings("clean_up", "every hour", "CleanUp"),)


def test_a_file_with_dispatchers_alone_starts_no_worker(files: Files) -> None:
    settings = files.load("dispatchers: [{}]", URL).settings
    assert settings.workers == ()
    assert settings.dispatchers == (DispatcherSettings(),)


def test_a_file_with_workers_alone_starts_no_dispatcher(files: Files) -> None:
    settings = files.load("workers: [{}]", URL).settings
    assert settings.workers == (WorkerSettings(),)
    assert settings.dispatchers == ()


def test_a_section_that_names_no_actor_gets_one_worker_and_one_dispatcher(files: Files) -> None:
    for text in ("production:", "production: {}", "production: {shutdown_timeout: 9}"):
        settings = files.load(text, URL).settings
        assert settings.workers == (WorkerSettings(),)
        assert settings.dispatchers == (DispatcherSettings(),)
        assert settings.scheduler == SchedulerSettings()


def test_two_empty_lists_are_no_processes(files: Files) -> None:
    problem = files.problem("workers: []\ndispatchers: []\n", URL)
    assert problem.startswith("queue.yml:1: No processes configured; write ")


def test_a_worker_of_several_processes_stays_one_entry(files: Files) -> None:
    assert files.load("workers: [{processes: 3}]", URL).settings.workers == (WorkerSettings(processes=3),)
