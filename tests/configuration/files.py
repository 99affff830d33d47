"""A configuration file of a test: written into a directory of its own, loaded with an environment of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from queued.configuration import Loaded, load
from queued.domain.errors import ConfigurationError

#: What a file says that needs no application, so that a test can speak of one thing.
DATABASE = "database: sqlite:////var/lib/queued/queue.sqlite3\n"


class Files:
    """One configuration file, and what loading it gives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "queue.yml"

    def load(self, text: str | bytes, environ: Mapping[str, str] | None = None, **options: Any) -> Loaded:
        self.path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return load(str(self.path), environ=environ or {}, cwd=str(self.directory), **options)

    def problems(self, text: str | bytes, environ: Mapping[str, str] | None = None, **options: Any) -> list[str]:
        """The problems, without the file's directory."""
        with pytest.raises(ConfigurationError) as caught:
            self.load(text, environ, **options)
        return [problem.replace(f"{self.directory}/", "") for problem in caught.value.problems]

    def problem(self, text: str | bytes, environ: Mapping[str, str] | None = None, **options: Any) -> str:
        """The one problem."""
        found = self.problems(text, environ, **options)
        assert len(found) == 1, found
        return found[0]
