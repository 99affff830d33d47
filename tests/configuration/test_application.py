"""The application: its directory, its interpreter, its modules, its environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from configuration.files import DATABASE, Files
from queued.domain.settings import AppSettings

Make = Callable[[str], Path]


def app(files: Files, text: str, **environ: str) -> AppSettings:
    settings = files.load(DATABASE + "workers: [{}]\n" + text, {"PATH": os.environ["PATH"], **environ}).settings
    assert settings.app is not None
    return settings.app


def test_the_path_is_relative_to_the_files_directory_whatever_the_working_directory(
    files: Files, application: Make
) -> None:
    shop = application("")
    assert app(files, "app: {path: shop, import: shop.jobs}\n").path == str(shop)
    assert app(files, f"app: {{path: {shop}, import: shop.jobs}}\n").path == str(shop)
    assert app(files, "app: {import: shop.jobs}\n").path == str(files.directory)


@pytest.mark.parametrize("python", [".venv/bin/python", "venv/bin/python"])
def test_the_interpreter_is_the_one_of_the_virtual_environment_under_the_path(
    files: Files, application: Make, python: str
) -> None:
    shop = application(python)
    assert app(files, "app: {path: shop, import: a}\n").python == str(shop / python)


def test_without_a_virtual_environment_it_is_python3_on_path(files: Files, application: Make, tmp_path: Path) -> None:
    application("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "python3").chmod(0o755)
    assert app(files, "app: {path: shop, import: a}\n", PATH=f"{tmp_path}/bin").python == f"{tmp_path}/bin/python3"
    problem = files.problem(DATABASE + "app: {path: shop, import: a}\n", {"PATH": str(tmp_path)})
    assert problem == (
        "queue.yml:2: app.python: there is no python3 on PATH; write the path of the application's interpreter"
    )


def test_a_named_interpreter_is_looked_for_on_path_and_a_path_from_the_application(
    files: Files, application: Make, tmp_path: Path
) -> None:
    shop = application("env/bin/python3.12")
    assert app(files, "app: {path: shop, import: a, python: env/bin/python3.12}\n").python == str(
        shop / "env/bin/python3.12"
    )
    found = app(files, "app: {path: shop, import: a, python: python3.12}\n", PATH=f"{shop}/env/bin").python
    assert found == str(shop / "env/bin/python3.12")


def test_an_interpreter_that_is_a_link_stays_one(files: Files, application: Make, tmp_path: Path) -> None:
    shop = application("real/python")
    (shop / ".venv/bin").mkdir(parents=True)
    (shop / ".venv/bin/python").symlink_to(shop / "real/python")
    assert app(files, "app: {path: shop, import: a}\n").python == str(shop / ".venv/bin/python")


def test_modules_are_one_name_or_a_list(files: Files) -> None:
    assert app(files, "app: {import: shop.jobs}\n").imports == ("shop.jobs",)
    assert app(files, "app: {import: [shop.jobs, shop.mail]}\n").imports == ("shop.jobs", "shop.mail")
    assert app(files, "app: {import: 'shop.jobs, shop.mail'}\n").imports == ("shop.jobs", "shop.mail")


def test_the_environment_of_the_application_is_text_whatever_it_looks_like(files: Files) -> None:
    text = "app: {import: a, environment: {PORT: 8080, DEBUG: off, EMPTY: '', V: 1.10, HOME: '${HOME}/x'}}\n"
    assert app(files, text, HOME="/home/me").environment == {
        "PORT": "8080",
        "DEBUG": "off",
        "EMPTY": "",
        "V": "1.10",
        "HOME": "/home/me/x",
    }


def test_a_host_without_workers_needs_no_application(files: Files) -> None:
    without = DATABASE + "dispatchers: [{}]\napp: {path: /nowhere, import: a, python: b}\n"
    loaded = files.load(without)
    assert (loaded.settings.app, loaded.warnings) == (None, ())
    (files.directory / "recurring.yml").write_text("report: {class: a.report, schedule: every day}\n")
    loaded = files.load(without)
    assert loaded.settings.app is None
    assert (
        "app: is not on this host (/nowhere, b), so its scheduler enqueues jobs without their limits"
        in loaded.warnings[0]
    )


def test_a_scheduler_without_workers_has_the_application_where_it_is(files: Files) -> None:
    loaded = files.load(DATABASE + "dispatchers: [{}]\napp: {path: /, import: a, python: /bin/sh}\n")
    assert loaded.settings.app == AppSettings("/", "/bin/sh", ("a",))
