"""Who runs this program."""

from __future__ import annotations

import os
import socket
import sys

from queued.domain.audit import Actor, actor


def operator() -> Actor:
    """The person at this terminal, for the record of what is done."""
    import pwd

    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)  # a container may have no name for it
    terminal = None
    if sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty():
        try:
            terminal = os.ttyname(sys.stdin.fileno())
        except OSError:
            terminal = None
    return actor(os.environ, user, uid, socket.gethostname(), terminal)
