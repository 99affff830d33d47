"""The application as the supervisor has it: a fork server in the application's own interpreter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import queued.runner
from queued.domain.errors import QueuedError
from queued.domain.settings import AppSettings
from queued.processes.notify import VARIABLES
from queued.runner import wire

#: Run by the application's interpreter. Short, for it is what an operator sees in a list of processes.
BOOT = "import sys; exec(open(sys.argv[1] + '/boot.py').read())  # the application of `queued`"

#: The word by which the frozen daemon, which has no interpreter to run BOOT, is told to be one: `queued WORD DIRECTORY JSON`.
PROGRAMS = "_programs"

#: Where programs run on a host without an application.
ROOT = "/"

#: The longest path of a socket that the kernel takes, without its final NUL.
_LONGEST_ADDRESS = 107

#: What a service manager puts into the daemon's environment for the daemon alone. Credentials are for who was
#: given them; JOURNAL_STREAM would be untrue, for the application's output goes through the daemon.
_OURS = (
    *VARIABLES,
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "RUNTIME_DIRECTORY",
    "SYSTEMD_EXEC_PID",
    "PYTHONUNBUFFERED",
)
#: Who may read and write the jobs is nothing that a job's code needs to know.
_CREDENTIALS = ("QUEUED_DATABASE_URL", "PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")


class ApplicationError(QueuedError):
    """The application's interpreter cannot be started, or its fork server does not do what it should."""


def clean_environment(environ: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """The application's environment: the daemon's, without what concerns the daemon alone, and with what was configured.

    What a freezer leaves there is undone at the start of the frozen program, for all that it starts.
    """
    drop = {*_OURS, *_CREDENTIALS}
    return {name: value for name, value in environ.items() if name not in drop} | dict(added)


def boot_command(python: str, own: bool, frozen: bool) -> list[str]:
    """What starts a fork server. `own`: in the daemon's own interpreter; a frozen daemon is its own and knows no -c."""
    return [python, PROGRAMS] if own and frozen else [python, "-c", BOOT]


class ForkServer:
    """One start of the application. Owned by the supervisor; workers only connect to `path`.

    Without `app` the daemon's own interpreter takes its place, where no job but `queued.shell` is of use.
    """

    def __init__(self, app: AppSettings | None, runtime: str, generation: int) -> None:
        self._own = app is None
        self._app = app if app is not None else AppSettings(path=ROOT, python=sys.executable)
        self._private: str | None = None
        path = os.path.join(runtime, f"app-{generation}.sock")
        if len(os.fsencode(path)) > _LONGEST_ADDRESS:
            self._private = tempfile.mkdtemp(prefix="queued-")
            path = os.path.join(self._private, f"{generation}.sock")
        #: Where workers connect.
        self.path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._decoder = wire.Decoder()
        self._reported = False

    def start(self) -> None:
        """Start the interpreter; what became of the application is told by `receive`. Raises ApplicationError."""
        python = self._find_python()
        frozen = bool(getattr(sys, "frozen", False))
        if not os.path.isdir(self._app.path):
            raise ApplicationError(f"the application's directory {self._app.path} does not exist (app.path)")
        self._remove_socket()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ours, theirs = socket.socketpair()
        try:
            listener.bind(self.path)
            os.chmod(self.path, 0o600)
            listener.listen(128)
            # Through links: in a frozen program `queued` is one, to a folder with nothing else that the application could import.
            files = os.path.realpath(queued.runner.__path__[0])
            boot = {
                "listen": listener.fileno(),
                "control": theirs.fileno(),
                "path": os.path.abspath(self._app.path),
                "import": list(self._app.imports),
                "client": os.path.dirname(os.path.dirname(files)),
                "title": "queued-programs" if self._own else "queued-app",
            }
            self._process = subprocess.Popen(
                [*boot_command(python, self._own, frozen), files, json.dumps(boot)],
                stdin=subprocess.DEVNULL,
                cwd=self._app.path,
                env=clean_environment(os.environ, self._app.environment),
                pass_fds=(listener.fileno(), theirs.fileno()),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._remove_socket()
            raise ApplicationError(
                f"the application's interpreter {python} cannot be started: {error.strerror} (app.python)"
            ) from None
        finally:
            listener.close()
            theirs.close()
        ours.setblocking(False)
        self._control = ours

    @property
    def pid(self) -> int | None:
        """The fork server's pid; None when it was not started."""
        return None if self._process is None else self._process.pid

    def fileno(self) -> int:
        """The descriptor to watch for `receive`."""
        if self._control is None:
            raise ApplicationError("the fork server is not running")
        return self._control.fileno()

    @property
    def at_end(self) -> bool:
        """Whether nothing will be received any more; `fileno` need not be watched then."""
        return self._control is None

    def receive(self) -> list[dict[str, Any]]:
        """What it has said since the last call: `loaded` or `load_failed` once, and `log` frames. Does not wait.

        Every start is answered: when the process ends without a word, a `load_failed` frame is made up that says so.
        """
        frames: list[dict[str, Any]] = []
        while self._control is not None:
            try:
                data = self._control.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            try:
                frames += self._decoder.feed(data)
            except wire.WireError:
                data = b""
            if not data:
                self._control.close()
                self._control = None
        self._reported = self._reported or any(frame["t"] in ("loaded", "load_failed") for frame in frames)
        if self._control is None and self._process is not None and not self._reported:
            self._reported = True
            frames.append({"t": "load_failed", "error": self._silence()})
        return frames

    def poll(self) -> int | None:
        """How the fork server ended: an exit status, or minus the number of the signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """End it gently: nothing is forked any more, and it ends when its last runner has ended. It need not answer any more."""
        self._reported = True
        if self._control is not None:
            self._control.close()
            self._control = None
        self._remove_socket()

    def kill(self) -> None:
        """End it at once, with whatever the application started while it was imported. Runners are their workers' to end."""
        self.stop()
        if self._process is not None and self._process.poll() is None:
            for kill in (os.killpg, os.kill):
                try:
                    kill(self._process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            self._process.wait()
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)

    def discard(self) -> None:
        """In a forked child: let go of the descriptors, so that the fork server sees the supervisor's end. Kills nothing."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            # Not ours to wait for in this process; without a status Popen would complain when it is collected.
            self._process.returncode = 0
            self._process = None

    def _find_python(self) -> str:
        python = self._app.python
        if os.sep not in python:
            found = shutil.which(python, path=self._app.environment.get("PATH"))
            if found is None:
                raise ApplicationError(f"the application's interpreter {python} is not on PATH (app.python)")
            return found
        # Not resolved: a virtual environment's python is a link, and where the link stands decides what it imports.
        path = os.path.join(os.path.abspath(self._app.path), python)
        if not os.path.exists(path):
            raise ApplicationError(
                f"the application's interpreter {path} does not exist (app.python): make the virtual environment, or "
                "correct the path"
            )
        if os.path.isdir(path) or not os.access(path, os.X_OK):
            raise ApplicationError(
                f"the application's interpreter {path} is not a program that this user may run (app.python)"
            )
        return path

    def _silence(self) -> dict[str, Any]:
        python = self._app.python
        try:
            assert self._process is not None
            status = self._process.wait(timeout=1.0)
            end = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        except subprocess.TimeoutExpired:
            end = "closed its connection"
        message = f"{python} {end} before the application was loaded"
        if end == "ended with status 0":
            message += "; is it a Python interpreter?"
        return {"class": "ApplicationError", "message": message, "file": None, "line": None, "backtrace": []}

    def _remove_socket(self) -> None:
        Path(self.path).unlink(missing_ok=True)
