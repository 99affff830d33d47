"""A job's arguments as a person reads them, without the application's classes."""

from __future__ import annotations

import json
from typing import Any

#: The key that marks a stored value of a type JSON has no word for: `{"$queued": TAG, "value": STORED}`.
MARKER = "$queued"


def call(class_name: str, arguments: str) -> str:
    """The call that the job makes, as Python would write it: `app.resize(17, size="large")`."""
    try:
        stored = json.loads(arguments)
        positional = [shown(value) for value in stored.get("args", ())]
        named = [f"{name}={shown(value)}" for name, value in stored.get("kwargs", {}).items()]
    except (ValueError, AttributeError, TypeError):
        return f"{class_name}(…) with arguments that cannot be read: {arguments}"
    return f"{class_name}({', '.join([*positional, *named])})"


def shown(value: Any) -> str:
    """One stored value, as close to its Python form as can be told without the application."""
    if isinstance(value, dict):
        if MARKER in value:
            return _marked(str(value[MARKER]), value.get("value"))
        return "{" + ", ".join(f"{name!r}: {shown(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return repr(value)


def _marked(tag: str, value: Any) -> str:
    if tag == "tuple" and isinstance(value, list):
        inner = ", ".join(map(shown, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if tag in {"set", "frozenset"} and isinstance(value, list):
        inner = "{" + ", ".join(map(shown, value)) + "}" if value else ""
        return inner if tag == "set" and value else f"{tag}({inner})"
    if tag in {"datetime", "time"} and isinstance(value, list) and value:
        zone = value[1] if len(value) > 1 else None
        return f"{tag}({value[0]}{f' {zone}' if zone else ''})"
    if tag == "timedelta" and isinstance(value, list) and len(value) == 3:
        from datetime import timedelta

        return f"timedelta({timedelta(*value)})"
    if tag == "dataclass" and isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
        return f"{value[0]}({', '.join(f'{name}={shown(item)}' for name, item in value[1].items())})"
    if tag == "enum" and isinstance(value, list) and len(value) == 3:
        return f"{value[0]}.{value[2]}" if value[1] == "name" else f"{value[0]}({value[2]!r})"
    return f"{tag}({value if isinstance(value, str) else shown(value)})"
