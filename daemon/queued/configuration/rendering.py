"""Settings as a file would say them: every value that is in force, passwords hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from queued.configuration.addresses import masked
from queued.configuration.document import one_line
from queued.domain.settings import Settings

#: What stands elsewhere in a file, or in none.
APART = frozenset(
    {
        "environment",
        "role",
        "source",
        "skip_recurring",
        "recurring_path",
        "recurring",
        "database",
        "app",
        "workers",
        "dispatchers",
    }
)
SECTIONS = ("retention", "scheduler", "metrics")


def render(settings: Settings) -> str:
    """The settings as YAML that can be read again, but for passwords and the application's environment, shown as ***."""
    role = f", role {one_line(settings.role)}" if settings.role is not None else ""
    lines = [f"# environment {settings.environment}{role}, from {one_line(settings.source) or 'no file'}"]
    database = {field.name: getattr(settings.database, field.name) for field in fields(settings.database)}
    for key in ("url", "listen_url"):
        if database[key] is not None:
            database[key] = masked(database[key])
    lines += ["database:", *_mapping(_given(database), "  ")]
    if settings.app is not None:
        app = settings.app
        lines += ["app:", *_mapping({"path": app.path, "python": app.python, "import": app.imports}, "  ")]
        if app.environment:
            lines += ["  environment:", *_mapping(dict.fromkeys(app.environment, "***"), "    ")]
    lines += _list("workers", (_worker(_values(worker)) for worker in settings.workers))
    lines += _list("dispatchers", (_values(dispatcher) for dispatcher in settings.dispatchers))
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in SECTIONS and value is not None:
            values = _values(value)
            if field.name == "retention":
                values = {key: "never" if seconds is None else seconds for key, seconds in values.items()}
            targets = values.pop("latency_targets", {})
            lines += [f"{field.name}:", *_mapping(values, "  ")]
            if targets:
                lines += [
                    "  latency_targets:",
                    *_mapping({_text(key): limit for key, limit in targets.items()}, "    "),
                ]
        elif field.name not in APART and field.name not in SECTIONS:
            lines += _mapping({field.name: value}, "")
    return "\n".join(lines) + "\n"


def _values(settings: Any) -> dict[str, Any]:
    return _given({field.name: getattr(settings, field.name) for field in fields(settings)})


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in values.items()
        if value is not None or key in ("finished", "discarded", "cancelled", "failed")
    }


def _worker(values: dict[str, Any]) -> dict[str, Any]:
    """A file says one of threads and tasks."""
    return {key: value for key, value in values.items() if key != ("threads" if values["tasks"] else "tasks")}


def _list(name: str, items: Iterable[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for item in items:
        first, *rest = _mapping(item, "    ")
        lines += [f"  - {first.lstrip()}", *rest]
    return [f"{name}:", *lines] if lines else [f"{name}: []"]


def _mapping(values: Mapping[str, Any], indent: str) -> list[str]:
    return [f"{indent}{key}: {_value(value)}" for key, value in values.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}" if value >= 1e-4 else f"{value:.15f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return _text(str(value))


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("<%", "<\\x25")
    quoted = "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped)
    return f'"{quoted}"'
