"""What the application declares of its jobs, left by the supervisor in its directory for the actors that enqueue them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The file in the supervisor's directory, replaced in one step.
FILE = "jobs.json"


def declare(directory: Path, jobs: Mapping[str, Any]) -> None:
    """Leave what the application that is in force says: queue, priority and timeout of each job by name."""
    fresh = directory / f"{FILE}.new"
    try:
        fresh.write_text(json.dumps(jobs))
        fresh.replace(directory / FILE)
    except OSError:
        pass  # a full disk must not end the supervisor; the scheduler says which tasks it holds back for want of it


class Declared:
    """The declarations in force, read again when they change."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE)
        self._stamp: tuple[int, int] | None = None
        self._jobs: dict[str, Any] = {}

    @property
    def known(self) -> bool:
        """Whether an application has been loaded yet."""
        self._read()
        return self._stamp is not None

    def of(self, class_name: str) -> Mapping[str, Any] | None:
        """What is declared of a job; None when nothing is known of it."""
        self._read()
        found = self._jobs.get(class_name)
        return found if isinstance(found, dict) else None

    def _read(self) -> None:
        try:
            found = os.stat(self._path)
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._stamp:
                with open(self._path, encoding="utf-8") as file:
                    self._jobs = json.load(file)
                self._stamp = stamp
        except (OSError, ValueError):
            pass  # none yet, or one that is being replaced: what was known holds
