"""The manual says what the code does: every setting, with its type, default and help."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from queued.configuration.loading import USUAL_FILES
from queued.domain.recurring import CHORES
from queued.domain.schedule import parse
from queued.domain.settings import RECURRING, SETTINGS, Setting

MANUAL = Path(__file__).parents[2] / "man" / "queue.yml.5"
TASKS = MANUAL.with_name("recurring.yml.5")


def entry(setting: Setting) -> str:
    """The setting as the manual has it, in roff."""
    lines = [
        ".TP",
        f".B {roff(setting.path)}",
        f"\\fI{roff(setting.type)}\\fR; default: {roff(setting.shown_default)}.",
        ".br",
        roff(setting.help),
    ]
    above = [f"the option {roff(setting.option)}"] if setting.option else []
    above += [f"the variable {setting.variable}"] if setting.variable else []
    if above:
        lines.append(f"Overridden by {' and '.join(above)}.")
    return "\n".join(lines) + "\n"


def roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in ".'" else escaped


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)
def test_the_manual_has_every_setting_with_type_default_and_help(setting: Setting) -> None:
    assert entry(setting) in MANUAL.read_text(), f"man/queue.yml.5 lacks, or says otherwise:\n{entry(setting)}"


def test_the_manual_has_no_setting_that_is_not_there() -> None:
    section = MANUAL.read_text().partition(".SH SETTINGS")[2].partition(".SH ENVIRONMENT")[0]
    named = re.findall(r"^\.TP\n\.B (.*)$", section, re.M)
    assert [name.replace("\\-", "-") for name in named] == [setting.path for setting in SETTINGS]


def test_the_manual_names_the_files_that_are_looked_for() -> None:
    assert all(file in MANUAL.read_text() for file in USUAL_FILES)


def test_the_manual_of_tasks_has_every_setting_and_no_other() -> None:
    section = TASKS.read_text().partition(".SH SETTINGS")[2].partition(".SH SCHEDULES")[0]
    assert section[section.index(".TP") :] == "".join(entry(setting) for setting in RECURRING)


def test_the_manual_of_tasks_has_every_task_of_our_own() -> None:
    section = TASKS.read_text().partition("OF QUEUED'S OWN")[2].partition(".SH ")[0]
    assert set(re.findall(r"^\.B (queued\.[a-z_]+)$", section, re.M)) == CHORES


def test_every_schedule_in_the_manual_is_understood() -> None:
    examples = TASKS.read_text().partition(".nf\n")[2].partition(".fi")[0].splitlines()
    assert len(examples) > 5
    for example in examples:
        assert parse(example).next_after(datetime.now(timezone.utc))


@pytest.mark.parametrize("manual", [MANUAL, TASKS], ids=lambda path: path.name)
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_formatted_without_a_warning(manual: Path) -> None:
    run = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Kutf8", "-Tutf8", str(manual)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stderr == ""
