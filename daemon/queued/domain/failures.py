"""Failed jobs told apart by what failed: one group for each cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queued.domain.backtraces import fingerprint, place


def title(error_class: str, message: str) -> str:
    """An error in one sentence: its class, and its message where that says more."""
    return error_class if message in {"", error_class} else f"{error_class}: {message}"


@dataclass(slots=True)
class Group:
    """Failures with one fingerprint. The message and the job are those of the newest."""

    fingerprint: str
    class_name: str
    error_class: str
    place: str
    count: int
    first_at: datetime
    last_at: datetime
    message: str
    job_id: int


class Groups:
    """Failures put into groups, one after the other. Equal backtraces are read once: most failures of a cause have the same."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._known: dict[tuple[str, str, str], tuple[str, str]] = {}
        self.count = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in failed jobs, each with `class_name`, `error_class`, `message`, `backtrace`, `state_at` and `id`."""
        for row in rows:
            self.count += 1
            told = (row["class_name"], row["error_class"], row["backtrace"] or "")
            if told not in self._known:
                lines = told[2].splitlines()
                self._known[told] = fingerprint(told[0], told[1], lines), place(lines)
            name, where = self._known[told]
            at = row["state_at"]
            group = self._groups.get(name)
            if group is None:
                self._groups[name] = Group(name, told[0], told[1], where, 1, at, at, row["message"], row["id"])
                continue
            group.count += 1
            group.first_at = min(group.first_at, at)
            if at > group.last_at:
                group.last_at, group.message, group.job_id = at, row["message"], row["id"]

    def listed(self) -> list[Group]:
        """The groups, the largest first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.fingerprint))
