"""The manual says what the code does: every setting, with its type, default and help."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from queued.configuration.loading import USUAL_FILES
from queued.domain.settings import SETTINGS, Setting

MANUAL = Path(__file__).parents[2] / "man" / "queue.yml.5"


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


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_formatted_without_a_warning() -> None:
    run = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Kutf8", "-Tutf8", str(MANUAL)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stderr == ""
