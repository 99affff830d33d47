"""The runner is a guest: it brings nothing and leaves nothing."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import queued.runner

FILES = sorted(Path(queued.runner.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_the_standard_library_alone_and_itself_by_relative_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.partition(".")[0] in sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            assert node.module.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_syntax_is_that_of_python_3_10(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 10))
