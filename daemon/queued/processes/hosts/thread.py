"""Thread host: each actor is a thread of this process, with its own connection to the database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from queued.domain.errors import QueuedError
from queued.processes.heartbeat import RegistrationLost
from queued.processes.hosts import Exit
from queued.processes.role import Liveness, Role
from queued.processes.wakeup import Wakeup
from queued.telemetry import emit


@dataclass(slots=True)
class _Carried:
    role: Role
    write: int
    wakeup: Wakeup = field(default_factory=Wakeup)
    thread: threading.Thread | None = None
    clean: bool = False
    done: bool = False
    reason: str = "ended"


class ThreadHost:
    """Carries actors as threads. They are daemon threads: the end of the process does not wait for one that hangs.

    `ended` is called, from the thread, when one has ended: what SIGCHLD is for processes.
    """

    kind = "async"

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._carried: dict[str, _Carried] = {}

    def start(self, role: Role) -> int:
        """Start a thread named after the role."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        carried = _Carried(role, write)
        carried.thread = threading.Thread(target=self._live, args=(carried,), name=role.name, daemon=True)
        self._carried[role.name] = carried
        carried.thread.start()
        return read

    def stop(self, name: str) -> None:
        """Ask its loop to finish and end."""
        if name in self._carried:
            self._carried[name].wakeup.stop()

    def kill(self, name: str) -> None:
        """Ask its loop to end and drop what it has."""
        if name in self._carried:
            self._carried[name].wakeup.stop(immediate=True)

    def exits(self) -> list[Exit]:
        """Collect the threads that have ended."""
        ended = []
        for name, carried in list(self._carried.items()):
            if carried.done and carried.thread is not None:
                carried.thread.join()
                del self._carried[name]
                carried.wakeup.close()
                ended.append(Exit(name, carried.clean, carried.reason))
        return ended

    def pid(self, name: str) -> int:
        """Our own pid."""
        return os.getpid()

    def _live(self, carried: _Carried) -> None:
        role = carried.role
        try:
            role.run(carried.wakeup, Liveness(carried.write))
            carried.clean = True
        except RegistrationLost as error:
            carried.reason = str(error)
        except BaseException as error:
            carried.reason = f"{type(error).__name__}: {error}"
            emit(
                "process_failed",
                process=role.name,
                kind=role.kind,
                error=error,
                expected=isinstance(error, QueuedError),
            )
        finally:
            carried.done = True
            os.close(carried.write)
            self._ended()
