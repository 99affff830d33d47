"""The wire to the service manager: sd_notify(3) by the package sdnotify. Without NOTIFY_SOCKET everything here does nothing.

What is said is decided in `queued.domain.service`. A message is sent whole or not at all and never waited for; one that could
not be sent is decided anew at the next turn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sdnotify import SystemdNotifier

from queued.domain.service import Outlook, Told, notices
from queued.telemetry import emit

#: What systemd tells its service alone; a child that had them could speak in its name.
VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
)


class Notifier:
    """Tells the service manager what it does not know yet. `enabled` is False where there is none."""

    def __init__(self) -> None:
        self.told = Told(watchdog=sign_of_life_every(os.environ, os.getpid()))
        self._notifier = self._connect() if os.environ.get("NOTIFY_SOCKET") else None
        for name in VARIABLES:
            os.environ.pop(name, None)

    @staticmethod
    def _connect() -> SystemdNotifier | None:
        try:
            # Without debug what could not be sent would count as told.
            notifier = SystemdNotifier(debug=True)
        except OSError as error:
            emit("notify_failed", error=error.strerror or str(error))
            return None
        # A service manager that is busy must not hold the supervisor up.
        notifier.socket.setblocking(False)
        return notifier

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self._notifier is not None

    def tell(self, outlook: Outlook, now: float) -> None:
        """Send what is new, in as many messages as it takes. `now` is CLOCK_MONOTONIC in seconds."""
        while self._notifier is not None:
            told, lines = notices(self.told, outlook, now)
            if not lines:
                return
            try:
                # The library encodes as Latin-1, so these characters become the bytes of UTF-8.
                self._notifier.notify("\n".join(lines).encode("utf-8", "replace").decode("latin-1"))
            except OSError:
                return
            self.told = told

    def forget(self) -> None:
        """In a forked child: the supervisor alone speaks."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None


def sign_of_life_every(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two WATCHDOG=1: a quarter of what systemd waits for. None where it does not watch this process."""
    try:
        wanted = int(environ.get("WATCHDOG_USEC", "0"))
        whose = int(environ.get("WATCHDOG_PID", pid))
    except ValueError:
        return None
    return wanted / 4e6 if wanted > 0 and whose == pid else None
