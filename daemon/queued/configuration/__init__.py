"""Configuration: files, variables of the environment and options become one frozen `Settings`.

`load` is for the daemon and reports every fault of a file at once; `database_from_file` is for applications that only
enqueue, `monitoring_from_file` for who only looks; `render` shows what is in force. PyYAML is imported only when a file
is really read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queued.configuration.addresses import masked

if TYPE_CHECKING:
    from queued.configuration.loading import Loaded, Monitoring, database_from_file, find, load, monitoring_from_file
    from queued.configuration.rendering import render

__all__ = ["Loaded", "Monitoring", "database_from_file", "find", "load", "masked", "monitoring_from_file", "render"]


def __getattr__(name: str) -> Any:
    """The rest is loaded when it is asked for: whoever is given an address reads no file, and schedules are dear to import."""
    if name == "render":
        from queued.configuration import rendering

        return rendering.render
    if name in __all__:
        from queued.configuration import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
