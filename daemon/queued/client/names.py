"""The dotted path under which another process finds a function or class again."""

from __future__ import annotations

import importlib
import sys
from typing import Any


class UnreachableError(LookupError):
    """The object cannot be found again by a name; the message says why, without naming the object."""


def module_of(thing: Any) -> str:
    """The module that holds `thing`, by the name under which another process imports it.

    Under `python -m package.module` the module runs as `__main__` but has its real name in `__spec__`; a script given as a
    file has none and stays `__main__`.
    """
    module: str = thing.__module__
    if module == "__main__":
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        if spec is not None and spec.name:
            return str(spec.name)
    return module


def path_of(thing: Any) -> str:
    """`module.qualname` of a function or class, whether or not it can be found there."""
    return f"{module_of(thing)}.{thing.__qualname__}"


def why_unreachable(thing: Any) -> str | None:
    """Why another process cannot import `thing`, or None when it can."""
    if module_of(thing) == "__main__":
        return "is defined in __main__, the script that was started, which no other process can import"
    if "<" in thing.__qualname__:
        return "is defined inside a function, where no other process can reach it"
    return None


def reachable_path(thing: Any) -> str:
    """`module:qualname` of a class, checked to lead back to that very class. Raises `UnreachableError`."""
    reason = why_unreachable(thing)
    if reason is not None:
        raise UnreachableError(reason)
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not thing:
        raise UnreachableError(f"is not what {path_of(thing)} names")
    return f"{module_of(thing)}:{thing.__qualname__}"


def resolve(path: str) -> Any:
    """The object that `reachable_path` gave `path`. Raises `UnreachableError` when module or name is gone."""
    module, _, qualname = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise UnreachableError(f"{path} cannot be imported: {error}") from error
    for name in qualname.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise UnreachableError(f"module {module} has no {qualname}") from None
    return found
