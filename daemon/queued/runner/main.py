"""The first of our code in the application's interpreter: load the application, report, serve."""

from __future__ import annotations

import json
import platform
import socket
import sys
import threading
from typing import Any

from . import wire
from .loading import Application, describe, load
from .outbox import Outbox
from .output import Output
from .server import Server
from .signals import be_deaf
from .threads import load_coroutines

#: The exit status when the application cannot be loaded.
LOAD_FAILED = 70


def main(text: str, write_bytecode: bool) -> int:
    """Be the fork server. `text` is the boot JSON of docs/design.md; returns the exit status."""
    boot: dict[str, Any] = json.loads(text)
    be_deaf()
    control = Outbox(socket.socket(fileno=boot["control"]))
    listener = socket.socket(fileno=boot["listen"])
    for inherited in (control.socket, listener):
        inherited.set_inheritable(False)
    output = Output(control.say)
    output.install()
    sys.argv = [boot["title"]]
    sys.dont_write_bytecode = not write_bytecode
    _name_process(boot["title"])
    application = Application(boot["path"], tuple(boot["import"]), boot["client"])
    try:
        guest = load(application)
        manifest = guest.manifest()
        if any(job.get("async") for job in manifest.get("jobs", {}).values()):
            load_coroutines()
    except BaseException as error:
        _finish(control, {"t": "load_failed", "error": describe(error, application.path)})
        return LOAD_FAILED
    output.install_logging()
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        output.tell(
            None,
            "stderr",
            f"importing the application left threads running ({', '.join(others)}): jobs run in forked processes, where they"
            " do not exist. Start them in a worker_start hook.",
            logger="queued",
        )
    control.send(
        {
            "t": "loaded",
            "python": platform.python_version(),
            "client": manifest.get("version"),
            "protocol": wire.PROTOCOL,
            "manifest": manifest,
            "threads": len(others),
        }
    )
    Server(listener, control, guest, manifest.get("hooks", ()), output).serve()
    return 0


def _finish(control: Outbox, message: wire.Message) -> None:
    """Send the last message however slowly it is read: it is the one that tells what to repair."""
    control.socket.settimeout(10)
    control.send(message)


def _name_process(title: str) -> None:
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(title[:15])
    except OSError:
        pass
