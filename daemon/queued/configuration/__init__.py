"""Configuration: files, variables of the environment and options become one frozen `Settings`.

`load` is for the daemon and reports every fault of a file at once; `database_from_file` is for applications that only
enqueue, `monitoring_from_file` for who only looks; `render` shows what is in force. PyYAML is imported only when a file
is really read.
"""

from __future__ import annotations

from queued.configuration.addresses import masked
from queued.configuration.loading import Loaded, Monitoring, database_from_file, find, load, monitoring_from_file
from queued.configuration.rendering import render

__all__ = ["Loaded", "Monitoring", "database_from_file", "find", "load", "masked", "monitoring_from_file", "render"]
