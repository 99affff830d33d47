"""How far running jobs have come, on its way to the worker.

A job only writes down where it is; a thread of ours looks ten times a second and sends what is new, so a job that moves on a
million times a second costs ten frames. The last state of an attempt travels with its outcome.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from . import wire
from .channel import Channel
from .gate import gates
from .guest import Steps

#: Seconds between two looks at the jobs that have steps.
INTERVAL = 0.1

#: An attempt's name: a job's id and the lease.
Key = tuple[int, int]


class Checkpoints:
    """The attempts that have steps or tell their progress. All frames come from one thread, so the latest is the last."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._watched: dict[Key, Steps] = {}
        # Each removal and addition is one step of C, safe in a thread in which an exception may be raised from outside.
        self._wishes: SimpleQueue[tuple[Key, int] | None] = SimpleQueue()
        self._started = False

    def watch(self, key: Key, steps: Steps) -> None:
        """Look at this attempt from now on. Called by the job's thread."""
        self._watched[key] = steps
        if not self._started:
            _untorn(self._start)
        self._wishes.put(None)

    def wish(self, key: Key, request: int) -> None:
        """Send the state of this attempt now, as a request that the worker answers once it is stored."""
        self._wishes.put((key, request))

    def last(self, key: Key) -> dict[str, Any] | None:
        """The attempt has ended: its last state, None when it has told nothing. Nothing more is sent of it."""
        steps = self._watched.pop(key, None)
        return None if steps is None else steps.state()

    def _start(self) -> None:
        self._started = True
        threading.Thread(target=self._run, name="queued-checkpoints", daemon=True).start()

    def _run(self) -> None:
        due = 0.0
        while True:
            try:
                wish = self._wishes.get(timeout=max(0.001, due - monotonic()) if self._watched else None)
            except Empty:
                wish = None
            if wish is not None:
                self._grant(*wish)
            if monotonic() >= due:
                due = monotonic() + INTERVAL
                for key, steps in self._watched.copy().items():
                    self._send(key, steps.news())

    def _grant(self, key: Key, request: int) -> None:
        steps = self._watched.get(key)
        if steps is not None:  # else the attempt has ended, and nobody waits
            steps.news()
            self._send(key, steps.state(), r=request)

    def _send(self, key: Key, state: dict[str, Any] | None, **more: int) -> None:
        if state is not None:
            message: wire.Message = {"t": "checkpoint", "id": key[0], "lease": key[1], "state": state, **more}
            self._channel.post(message)


def _untorn(action: Callable[[], None]) -> None:
    """Do it where no exception can be raised in between. With one on its way it is left out: the attempt ends anyway."""
    gate = gates.get(threading.get_ident())
    if gate is None:
        action()
    elif gate.shield():
        try:
            action()
        finally:
            gate.shielded = False
