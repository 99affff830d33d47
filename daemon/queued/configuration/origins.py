"""Where each setting in force comes from: an option, a variable of the environment, a line of the file, or its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from queued.configuration.addresses import masked
from queued.configuration.loading import Loaded
from queued.configuration.sections import DEFAULT_ENVIRONMENT
from queued.domain.settings import SETTINGS

#: What stands in no file, or is told apart from it.
_APART = frozenset({"environment", "source", "skip_recurring", "recurring_path", "recurring"})
#: Settings that a variable may give: the first win over the file, the others give way to it.
_OVER = {"database.url": "QUEUED_DATABASE_URL", "mode": "QUEUED_SUPERVISOR_MODE"}
_UNDER = {"runtime_directory": ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")}


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting: its path, its value with secrets hidden, and where it comes from."""

    path: str
    value: Any
    source: str


def origins(loaded: Loaded, environ: Mapping[str, str]) -> list[Origin]:
    """Every setting in force, in the order of the manual."""
    settings = loaded.settings
    named = "option --env"
    if settings.environment == (environ.get("QUEUED_ENV") or DEFAULT_ENVIRONMENT):
        named = "variable QUEUED_ENV" if environ.get("QUEUED_ENV") else "default"
    found = [Origin("environment", settings.environment, named)]
    order = {setting.path: number for number, setting in enumerate(SETTINGS)}
    values = sorted(_values(settings), key=lambda pair: order.get(_pattern(pair[0]), len(order)))
    return [*found, *(Origin(path, value, _source(path, loaded, environ)) for path, value in values)]


def _values(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(settings):
        name, value = field.name, getattr(settings, field.name)
        if not prefix and name in _APART:
            continue
        path = f"{prefix}{'import' if path_is_imports(prefix, name) else name}"
        if is_dataclass(value):
            yield from _values(value, f"{path}.")
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for number, item in enumerate(value):
                yield from _values(item, f"{path}[{number}].")
        elif path in ("database.url", "database.listen_url"):
            yield path, None if value is None else masked(value)
        elif isinstance(value, Mapping):
            yield path, dict.fromkeys(value, "***")
        else:
            yield path, list(value) if isinstance(value, tuple) else value


def path_is_imports(prefix: str, name: str) -> bool:
    """`import` is a word of Python's, so the value is named otherwise than the setting."""
    return prefix == "app." and name == "imports"


def _pattern(path: str) -> str:
    return "".join("[]" if part.isdigit() else part for part in path.replace("[", "\0").replace("]", "\0").split("\0"))


def _source(path: str, loaded: Loaded, environ: Mapping[str, str]) -> str:
    over = _OVER.get(path)
    if over is not None and environ.get(over):
        return f"variable {over}"
    line = loaded.lines.get(path)
    if line is None and path == "database.url":
        line = loaded.lines.get("database")
    if line is not None:
        return f"{loaded.settings.source}:{line}"
    for name in _UNDER.get(path, ()):
        if environ.get(name):
            return f"variable {name}"
    return "default"
