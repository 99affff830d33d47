"""One start of the application as the supervisor sees it: loading, loaded, or over with a reason."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from queued.domain.settings import AppSettings
from queued.processes.application import ApplicationError, ForkServer
from queued.processes.hosts.fork import in_words
from queued.runner import wire
from queued.telemetry import emit

#: Seconds that a hook may take when something waits for it.
HOOK_PATIENCE = 5.0


class Application:
    """A fork server and what it has said so far. Without `app` it is one of the daemon's own, for programs.

    `turn` reads. After it, `just_loaded` is true once, and `exit_reason` is a text when it is over.
    """

    def __init__(self, key: str, app: AppSettings | None, runtime: str, number: int) -> None:
        self.key = key
        self._programs = app is None
        self.just_loaded = False
        self.exit_reason: str | None = None
        self.hooks: frozenset[str] = frozenset()
        #: What it declares of its jobs, by name.
        self.jobs: Mapping[str, Any] = {}
        self._loaded = False
        self._stopped = False
        self._running_hooks: list[HookRun] = []
        self._server = ForkServer(app, runtime, number)
        try:
            self._server.start()
        except ApplicationError as error:
            self.exit_reason = str(error)

    @property
    def socket(self) -> Path:
        """Where it forks runners."""
        return Path(self._server.path)

    def descriptors(self) -> list[int]:
        """What becomes readable when there is something to read."""
        control = [] if self._server.at_end else [self._server.fileno()]
        return control + [run.fileno() for run in self._running_hooks]

    def turn(self) -> None:
        """Read what it has said, and look whether it is over."""
        self.just_loaded = False
        for frame in self._server.receive() if self.exit_reason is None else []:
            if frame["t"] == "loaded":
                self._take_loaded(frame)
            elif frame["t"] == "load_failed":
                emit("application_failed", process=self.key, error=frame["error"])
                self.exit_reason = in_one_line(frame["error"])
                self._server.kill()
            elif frame["t"] == "log":
                pass_on(self.key, frame)
        self._running_hooks = [run for run in self._running_hooks if not run.turn()]
        if self.exit_reason is None and (status := self._server.poll()) is not None:
            self.exit_reason = in_words(status << 8 if status >= 0 else -status)
        elif self.exit_reason is None and self._server.at_end and not self._stopped:
            self.exit_reason = "it closed its connection"
            self._server.kill()

    def run_hook(self, event: str, info: Mapping[str, Any]) -> None:
        """Have the application's hooks of this event run, if it has any and is loaded. Does not wait; see `finish_hooks`."""
        if event not in self.hooks or self.exit_reason is not None or self._stopped:
            return
        try:
            self._running_hooks.append(HookRun(self.key, self._server.path, event, info))
        except OSError as error:
            emit("hook_failed", process=self.key, hook=event, error=error)

    def finish_hooks(self, patience: float = HOOK_PATIENCE) -> None:
        """Wait until the hooks that run have ended; give up those that take too long."""
        deadline = monotonic() + patience
        for run in self._running_hooks:
            while not run.turn(max(0.0, deadline - monotonic())):
                if monotonic() >= deadline:
                    run.close()
                    emit("hook_failed", process=self.key, hook=run.event, error=f"it took longer than {patience:g} s")
                    break
        self._running_hooks.clear()

    def stop(self) -> None:
        """Let it end when its last runner has ended. While it is being loaded it has none, and hears nothing: then now."""
        self.finish_hooks()
        self._stopped = True
        if self._loaded:
            self._server.stop()
        else:
            self._server.kill()

    def kill(self) -> None:
        """End it now."""
        self._stopped = True
        self._server.kill()

    def forget(self) -> None:
        """In a forked child: let go of what is the supervisor's."""
        self._server.discard()
        for run in self._running_hooks:
            run.close()

    def close(self) -> None:
        """It is over; clear up."""
        for run in self._running_hooks:
            run.close()
        self._running_hooks.clear()
        self._server.kill()

    def _take_loaded(self, frame: Mapping[str, Any]) -> None:
        manifest = frame.get("manifest") or {}
        self._loaded = self.just_loaded = True
        self.hooks = frozenset(manifest.get("hooks", ()))
        self.jobs = manifest.get("jobs") or {}
        if self._programs:
            emit("programs_ready", process=self.key, pid=self._server.pid, python=frame.get("python"))
            return
        own = [name for name in self.jobs if not name.startswith("queued.")]  # commands and programs are always there
        emit(
            "application_loaded",
            process=self.key,
            pid=self._server.pid,
            python=frame.get("python"),
            jobs=len(own),
        )
        if not own:
            emit("application_without_jobs", process=self.key)


class HookRun:
    """One hook on its way: a connection to the fork server that is kept until it says that the hook has ended."""

    def __init__(self, key: str, path: str, event: str, info: Mapping[str, Any]) -> None:
        self.event = event
        self._key = key
        self._decoder = wire.Decoder()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(1.0)
            self._socket.connect(path)
            self._socket.sendall(wire.encode({"t": "hook", "event": event, "info": json.loads(json.dumps(dict(info)))}))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable when there is something to read."""
        return self._socket.fileno()

    def turn(self, seconds: float = 0.0) -> bool:
        """Read for at most so long; True when the hook has ended, one way or another."""
        if self._socket.fileno() < 0:
            return True
        self._socket.settimeout(seconds)
        try:
            frames = self._decoder.feed(data := self._socket.recv(65536))
        except (BlockingIOError, TimeoutError):
            return False
        except (OSError, wire.WireError):
            frames, data = [], b""
        for frame in frames:
            if frame["t"] == "log":
                pass_on(self._key, frame)
            elif frame["t"] == "hooked":
                if frame["status"]:
                    emit("hook_failed", process=self._key, hook=self.event, error=in_words(frame["status"]))
                data = b""
            elif frame["t"] == "refused":
                emit("hook_failed", process=self._key, hook=self.event, error=frame["message"])
                data = b""
        if not data:
            self.close()
        return not data

    def close(self) -> None:
        """Give it up; the fork server ends it."""
        self._socket.close()


def in_one_line(error: Mapping[str, Any]) -> str:
    """`/srv/app/jobs.py:3: NameError: name 'x' is not defined`."""
    place = f"{error['file']}:{error['line']}: " if error.get("file") else ""
    name = f"{error['class']}: " if error.get("class") not in (None, "ApplicationError") else ""
    message = (str(error.get("message", "")).splitlines() or [""])[0]
    return f"{place}{name}{message}"


def pass_on(key: str, frame: Mapping[str, Any]) -> None:
    """Tell the log of a line that a process of the application's has written."""
    emit(
        "job_output",
        process=key,
        job_id=frame.get("id"),
        stream=frame.get("stream"),
        level=frame.get("level"),
        logger=frame.get("logger"),
        line=frame.get("line"),
    )
