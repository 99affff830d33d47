"""Signals in the fork server and in runners.

They end by their sockets, never by a signal that was meant for somebody else: a terminal's Ctrl-C and a service
manager's TERM reach every process of a group. The handlers are functions that do nothing and not SIG_IGN, because SIG_IGN
passes through `exec`: a program started by a job would be deaf to TERM.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

#: Heard and not obeyed.
DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def be_deaf() -> None:
    """Outlive the signals that ask a process to end; processes that a job forks get the usual behaviour back."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whatever the daemon blocked when it started us
    for number in DEAF_TO:
        signal.signal(number, _nothing)
        signal.siginterrupt(number, False)  # a slow call in C code of a job must not fail with EINTR


def forked_by_job() -> None:
    """In a process that a job forked: restore what `be_deaf` changed, unless the application has set its own."""
    for number in DEAF_TO:
        if signal.getsignal(number) is _nothing:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def kill_group(pid: int) -> None:
    """Kill a process that leads a session, and what it has started. The caller knows that `pid` has not been reaped."""
    for kill in (os.killpg, os.kill):  # the second for the moment between fork and setsid
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _nothing(number: int, frame: FrameType | None) -> None:
    """Do nothing."""
