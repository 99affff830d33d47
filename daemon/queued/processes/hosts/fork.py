"""Fork host: each actor is a child process. The parent has no threads and no open database while it forks."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from queued.domain.errors import QueuedError
from queued.processes import signals
from queued.processes.heartbeat import RegistrationLost
from queued.processes.hosts import Exit
from queued.processes.role import Liveness, Role
from queued.processes.wakeup import Wakeup
from queued.telemetry import emit

_BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}


class ForkHost:
    """Carries actors as children. `leave_behind` runs first in each child: it lets go of what belongs to the parent."""

    kind = "fork"

    def __init__(self, leave_behind: Callable[[], None]) -> None:
        self._leave_behind = leave_behind
        self._pids: dict[str, int] = {}
        self._frozen = False

    def start(self, role: Role) -> int:
        """Fork; the child never returns from here."""
        self._freeze()
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        parent = os.getpid()
        # A signal between the fork and the child's own handlers would be noted in the parent's list, in a copy of it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            pid = os.fork()
            if pid == 0:
                _live(role, Liveness(write, parent), read, self._leave_behind)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(write)
        self._pids[role.name] = pid
        return read

    def _freeze(self) -> None:
        """Keep what has been loaded from the garbage collectors of the children: a collection writes to all that it looks at.

        A worker that had run 20 000 jobs had 22 MiB of its own, and 12 of them with this. Once is enough, and nothing that an actor
        leaves here when it ends is kept for ever by it.
        """
        if not self._frozen:
            self._frozen = True
            gc.collect()
            gc.freeze()

    def stop(self, name: str) -> None:
        """SIGTERM."""
        self._signal(name, signal.SIGTERM)

    def kill(self, name: str) -> None:
        """SIGKILL; works on a stopped process too."""
        self._signal(name, signal.SIGKILL)

    def exits(self) -> list[Exit]:
        """Reap our own children and nobody else's: others in this process wait for theirs."""
        ended = []
        for name, pid in list(self._pids.items()):
            try:
                reaped, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                reaped, status = pid, 0  # somebody else reaped it; that it has ended is all that is left to know
            if reaped:
                del self._pids[name]
                ended.append(Exit(name, status == 0, in_words(status)))
        return ended

    def pid(self, name: str) -> int:
        """The child's pid."""
        return self._pids[name]

    def _signal(self, name: str, number: signal.Signals) -> None:
        # Until it is reaped by `exits` its pid cannot belong to anybody else.
        if name in self._pids:
            os.kill(self._pids[name], number)


def in_words(status: int) -> str:
    """A wait status for people: `exited with status 1`, `killed by SIGSEGV`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _live(role: Role, liveness: Liveness, read: int, leave_behind: Callable[[], None]) -> NoReturn:
    """The child's whole life. It ends here, whatever happens: the parent's stack above belongs to the parent."""
    status = 1
    try:
        os.close(read)
        leave_behind()
        wakeup = Wakeup()
        signals.in_child(wakeup)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        role.run(wakeup, liveness)
        status = 0
    except RegistrationLost:
        pass  # the role has said so
    except BaseException as error:
        emit("process_failed", process=role.name, kind=role.kind, error=error, expected=isinstance(error, QueuedError))
    finally:
        os._exit(status)
