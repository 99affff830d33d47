"""What tests of configuration ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from configuration.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def application(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an application's directory; with an interpreter in it where one is named."""

    def make(python: str = "") -> Path:
        path = tmp_path / "shop"
        path.mkdir(exist_ok=True)
        if python:
            (path / python).parent.mkdir(parents=True, exist_ok=True)
            (path / python).write_text("#!/bin/sh\n")
            (path / python).chmod(0o755)
        return path

    return make
