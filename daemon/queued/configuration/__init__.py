"""Configuration: files, variables of the environment and options become one frozen `Settings`.

`load` is for the daemon and reports every fault of a file at once; `database_from_file` is for applications that only
enqueue; `render` shows what is in force. PyYAML is imported only when a file is really read.
"""

from __future__ import annotations

from queued.configuration.addresses import masked
from queued.configuration.loading import Loaded, database_from_file, find, load
from queued.configuration.rendering import render

__all__ = ["Loaded", "database_from_file", "find", "load", "masked", "render"]
