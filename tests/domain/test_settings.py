"""The table of settings agrees with the values that the parts are given."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from queued.domain import settings
from queued.domain.settings import BY_PATH, SETTINGS, TYPES, DatabaseSettings


def test_every_path_is_there_once_and_below_one_that_is_there() -> None:
    assert len(BY_PATH) == len(SETTINGS)
    for setting in SETTINGS:
        if setting.section:
            parent = BY_PATH[setting.section.removesuffix("[]")]
            assert parent.kind == ("sections" if setting.section.endswith("[]") else "section"), setting.path


def test_every_setting_says_its_type_its_default_and_its_purpose() -> None:
    for setting in SETTINGS:
        assert setting.kind in TYPES
        assert setting.type
        assert setting.shown_default
        assert setting.help.endswith("."), setting.path
        assert bool(setting.choices) == (setting.kind == "choice")


@pytest.mark.parametrize(
    ("section", "values", "others"),
    [
        (
            "",
            settings.Settings,
            {
                "environment",
                "role",
                "mode",
                "skip_recurring",
                "recurring_path",
                "recurring",
                "source",
                "runtime_directory",
            },
        ),
        ("database", DatabaseSettings, {"url"}),
        ("workers[]", settings.WorkerSettings, {"tasks", "queues"}),
        ("dispatchers[]", settings.DispatcherSettings, set()),
        ("scheduler", settings.SchedulerSettings, set()),
        ("retention", settings.RetentionSettings, set()),
    ],
)
def test_defaults_in_the_table_are_the_defaults_of_the_values(section: str, values: type, others: set[str]) -> None:
    table = {setting.name: setting for setting in SETTINGS if setting.section == section}
    for field in fields(values):  # type: ignore[arg-type]
        if field.name in others or field.name not in table:
            assert field.name in others, f"{field.name} is not in the table"
        elif table[field.name].kind not in ("section", "sections"):
            assert field.default is not MISSING
            assert field.default == table[field.name].default, field.name


def test_defaults_keep_to_their_own_limits() -> None:
    for setting in SETTINGS:
        if isinstance(setting.default, (int, float)) and not isinstance(setting.default, bool):
            assert setting.minimum is None or setting.default >= setting.minimum
            assert setting.maximum is None or setting.default <= setting.maximum
        if setting.choices and setting.default is not None:
            assert setting.default in setting.choices


def test_an_address_with_a_password_is_not_shown_by_repr() -> None:
    database = DatabaseSettings("postgresql://me:secret@host/db", listen_url="postgresql://me:secret@host/db")
    assert "secret" not in repr(database)


def test_the_words_of_a_choice_read_as_a_sentence() -> None:
    assert BY_PATH["mode"].type == "fork or async"
    assert BY_PATH["log_level"].type == "debug, info, warning or error"
    assert BY_PATH["workers[].threads"].type == "whole number from 1"
