"""recurring.yml: what may stand in it, and what is said of what may not."""

from __future__ import annotations

import json
import textwrap

import pytest

from configuration.files import DATABASE, Files
from queued.domain.settings import RecurringTaskSettings, SchedulerSettings


class Recurring:
    """A recurring.yml beside a queue.yml."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def write(self, text: str) -> None:
        (self.files.directory / "recurring.yml").write_text(textwrap.dedent(text))

    def tasks(self, text: str, queue: str = DATABASE, **options: object) -> dict[str, RecurringTaskSettings]:
        self.write(text)
        loaded = self.files.load(queue, {"QUEUE": "from_variable"}, **options)  # type: ignore[arg-type]
        return {task.key: task for task in loaded.settings.recurring}

    def problems(self, text: str, queue: str = DATABASE) -> list[str]:
        self.write(text)
        return self.files.problems(queue)


@pytest.fixture
def recurring(files: Files) -> Recurring:
    return Recurring(files)


def test_a_task_with_everything(recurring: Recurring) -> None:
    tasks = recurring.tasks(
        """\
        production:
          report:
            class: shop.jobs.report
            args: [daily, 3, {format: pdf}]
            schedule: every weekday at five pm
            timezone: Europe/Rome
            queue: ${QUEUE}
            priority: -5
            timeout: 2 minutes
            missed: once
            overlap: skip
            jitter: 30 seconds
            description: What the boss reads
            enabled: no
        """
    )
    assert tasks == {
        "report": RecurringTaskSettings(
            key="report",
            schedule="every weekday at five pm",
            class_name="shop.jobs.report",
            arguments='{"args":["daily",3],"kwargs":{"format":"pdf"}}',
            queue="from_variable",
            priority=-5,
            timeout=120.0,
            timezone="Europe/Rome",
            description="What the boss reads",
            missed="once",
            overlap="skip",
            jitter=30.0,
            enabled=False,
        )
    }


@pytest.mark.parametrize(
    ("written", "args", "kwargs"),
    [
        ("42", [42], {}),
        ("text", ["text"], {}),
        ('"42"', ["42"], {}),
        ("[1, 2.5, yes, null, 2026-01-01]", [1, 2.5, True, None, "2026-01-01"], {}),
        ("{a: 1, b: [x]}", [], {"a": 1, "b": ["x"]}),
        ("[1, {a: 1}]", [1], {"a": 1}),
        ("[{a: 1}, {}]", [{"a": 1}], {}),
        ("[[1, 2], {}]", [[1, 2]], {}),
        ("[]", [], {}),
    ],
)
def test_arguments_in_every_form(recurring: Recurring, written: str, args: list[object], kwargs: object) -> None:
    (task,) = recurring.tasks(f"production:\n  t: {{class: a.b, schedule: '@daily', args: {written}}}\n").values()
    assert json.loads(task.arguments) == {"args": args, "kwargs": kwargs}


def test_commands_and_programs(recurring: Recurring) -> None:
    tasks = recurring.tasks(
        """\
        production:
          python:
            command: |
              import shop
              shop.clean()
            schedule: every hour
          line: {shell: "df -h | logger", schedule: every hour}
          list: {shell: [df, -h], schedule: every hour}
        """
    )
    called = {key: (task.class_name, json.loads(task.arguments)["args"]) for key, task in tasks.items()}
    assert called == {
        "python": ("queued.command", ["import shop\nshop.clean()\n"]),
        "line": ("queued.shell", ["df -h | logger"]),
        "list": ("queued.shell", [["df", "-h"]]),
    }


def test_all_faults_of_both_files_at_once_each_with_its_place(recurring: Recurring) -> None:
    problems = recurring.problems(
        """\
        production:
          a: {class: x}
          b: {schedule: every hour}
          c: {class: x, command: y, schedule: every hour}
          d: {class: x, schedule: every other day}
          e: {class: x, schedule: every hour, timezone: Europe/Rom, missed: twice, shedule: 1}
          f: {shell: df, schedule: every hour, args: [1]}
          g: text
          h: {class: x, schedule: every hour, jitter: 2 hours, args: {$queued: 1}}
        """,
        DATABASE + "shutdown_timeout: soon\n",
    )
    assert problems[0].startswith("queue.yml:2: shutdown_timeout: ")
    found = [problem.partition(": ")[0] + " " + problem.split(": ")[1] for problem in problems[1:]]
    assert found == [
        "recurring.yml:2 production.a".replace("production.", ""),
        "recurring.yml:3 b",
        "recurring.yml:4 c",
        "recurring.yml:5 d.schedule",
        "recurring.yml:6 e.timezone",
        "recurring.yml:6 e.missed",
        "recurring.yml:6 e.shedule",
        "recurring.yml:7 f.args",
        "recurring.yml:8 g",
        "recurring.yml:9 h.jitter",
        "recurring.yml:9 h.args",
    ]
    assert "did you mean Europe/Rome" in problems[5] or "write Europe/Rome" in problems[5]
    assert problems[7].endswith("is not a setting; did you mean schedule?")


def test_a_file_that_is_not_yaml_is_told_with_the_faults_of_the_other(recurring: Recurring) -> None:
    problems = recurring.problems("production:\n\ta: 1\n", DATABASE + "mode: both\n")
    assert [problem.partition(": ")[0] for problem in problems] == ["queue.yml:2", "recurring.yml:2"]


def test_a_file_without_sections_is_for_every_environment(recurring: Recurring) -> None:
    text = "t: {class: a.b, schedule: every hour}\n"
    for environment in ("production", "test"):
        assert list(recurring.tasks(text, f"{environment}:\n  {DATABASE}", environment=environment)) == ["t"]


def test_an_environment_without_a_section_has_no_tasks_and_that_is_said(files: Files, recurring: Recurring) -> None:
    recurring.write("staging:\n  t: {class: a.b, schedule: every hour}\n")
    loaded = files.load(DATABASE)
    assert loaded.settings.recurring == ()
    assert any('no section "production"' in warning and "staging" in warning for warning in loaded.warnings)
    for empty in ("", "production:\n", "# nothing\n"):
        recurring.write(empty)
        loaded = files.load(DATABASE)
        assert (loaded.settings.recurring, [w for w in loaded.warnings if "recurring" in w]) == ((), [])


def test_the_scheduler_s_zone_is_the_zone_of_schedules_that_name_none(recurring: Recurring) -> None:
    text = "production:\n  t: {class: a.b, schedule: every hour}\n"
    (task,) = recurring.tasks(text, DATABASE + "scheduler: {timezone: Asia/Tokyo}\n").values()
    assert task.timezone == "Asia/Tokyo"
    assert "Asia/Tokio" in recurring.files.problem(DATABASE + "scheduler: {timezone: Asia/Tokio}\n")


def test_tasks_under_a_dispatcher_join_those_of_the_file_and_none_is_given_twice(recurring: Recurring) -> None:
    queue = DATABASE + "dispatchers: [{recurring_tasks: {one: {class: a.b, schedule: every hour}}}]\n"
    assert list(recurring.tasks("production: {two: {class: a.b, schedule: every hour}}\n", queue)) == ["one", "two"]
    (problem,) = recurring.problems("production: {one: {class: a.b, schedule: every hour}}\n", queue)
    assert problem.startswith("recurring.yml: one: is given in queue.yml too")
    place = DATABASE + "dispatchers: [{recurring_tasks: {one: {class: a.b}}}]\n"
    assert recurring.problems("", place)[0].startswith(
        "queue.yml:2: dispatchers[0].recurring_tasks.one: has no schedule"
    )


def test_a_role_runs_the_file_s_tasks_only_if_it_has_a_scheduler(recurring: Recurring) -> None:
    text = "production: {t: {class: a.b, schedule: every hour}}\n"
    roles = DATABASE + "roles: {work: {workers: [{}]}, clock: {scheduler: {}}}\n"
    assert recurring.tasks(text, roles, role="work") == {}
    assert list(recurring.tasks(text, roles, role="clock")) == ["t"]
    assert recurring.files.load(roles, role="work").settings.scheduler is None
    assert recurring.files.load(roles, role="clock").settings.scheduler == SchedulerSettings()


def test_with_recurring_tasks_skipped_the_file_is_not_even_read(files: Files, recurring: Recurring) -> None:
    recurring.write("production: {t: nonsense}\n")
    settings = files.load(DATABASE, skip_recurring=True).settings
    assert (settings.recurring, settings.skip_recurring) == ((), True)
