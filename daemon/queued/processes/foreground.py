"""One run of a job in the foreground: in the application, by a runner of its own, and without a claim or a row of its own."""

from __future__ import annotations

import os
import select
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from queued.domain.batches import NewBatch
from queued.domain.errors import BatchFinished, DatabaseError
from queued.domain.settings import AppSettings
from queued.processes.knowing import loaded
from queued.processes.runner_process import RunnerGone, RunnerProcess
from queued.processes.slots import plain_end
from queued.processes.worker import new_job
from queued.runner import wire
from queued.storage.store import Store

#: What the job sees as its id; no stored job has it.
NO_JOB = 2**62
#: Seconds that a runner has for its end once it has been asked to.
LEAVING = 5.0

#: Called with each line that the job writes and the stream that it went to.
Show = Callable[[str, str], None]


def run(app: AppSettings, class_name: str, arguments: str, store: Store, show: Show, patience: float) -> dict[str, Any]:
    """Run a job once and return its outcome, as the runner tells it; no retry follows, and no time-out holds.

    What the job enqueues is stored in `store`, what it says of its steps is not. `patience` is for loading the application. A
    process that dies gives an outcome `crashed` with a message. Raises ApplicationError, RunnerRefused and DatabaseUnavailable.
    """
    deadline = time.monotonic() + patience
    delivery = {
        "id": NO_JOB,
        "lease": 1,
        "class": class_name,
        "args": arguments,
        "opts": None,
        "queue": "foreground",
        "priority": 0,
        "attempt": 1,
        "counters": {},
        "enqueued_at": time.time(),
        "steps": None,
    }
    with loaded(app, deadline, patience) as path, tempfile.TemporaryDirectory(prefix="queued-run-") as directory:
        left = max(deadline - time.monotonic(), 1.0)
        runner = RunnerProcess.start(path, "foreground", os.path.join(directory, "slots"), 1, 0, left)
        try:
            runner.send(wire.jobs([[delivery[name] for name in wire.DELIVERY]]))
            return _outcome(runner, store, show)
        finally:
            runner.kill()
            runner.close()


def _outcome(runner: RunnerProcess, store: Store, show: Show) -> dict[str, Any]:
    try:
        while True:
            poll = select.poll()
            for descriptor in (runner.fileno(), runner.exit_fileno()):
                if descriptor >= 0:
                    poll.register(descriptor, select.POLLIN)
            poll.poll(200)
            runner.flush()
            found = None
            for frame in runner.receive():
                match frame["t"]:
                    case "log":
                        show(frame.get("stream", "stdout"), frame["line"])
                    case "out":
                        found = dict(frame["o"][0])
                    case "done":
                        found = plain_end(*frame["o"][0])
                    case "enqueue":
                        runner.send({**_stored(store, frame), "r": frame["r"]})
                    case "checkpoint" if "r" in frame:
                        runner.send({"t": "stored", "r": frame["r"], "ids": [NO_JOB]})
            if found is not None:
                _last_lines(runner, show)
                return found
    except RunnerGone:
        return {"kind": "crashed", "message": runner.wait_exit(LEAVING).describe()}


def _last_lines(runner: RunnerProcess, show: Show) -> None:
    """Have the runner leave, and show what it had still to say."""
    runner.send({"t": "bye"})
    deadline = time.monotonic() + LEAVING
    try:
        while time.monotonic() < deadline:
            for frame in runner.receive():
                if frame["t"] == "log":
                    show(frame.get("stream", "stdout"), frame["line"])
            time.sleep(0.01)
    except RunnerGone:
        pass


def _stored(store: Store, frame: wire.Message) -> Mapping[str, Any]:
    opened = [NewBatch(**batch) for batch in frame.get("batches") or ()]
    try:
        stored = store.submit([new_job(job) for job in frame["jobs"]], opened)
    except BatchFinished as error:
        return {"t": "refused", "message": str(error), "error": "BatchFinished"}
    except DatabaseError as error:
        return {"t": "refused", "message": str(error)}
    notes = [list(note) for note in stored.notes.items()]
    return {
        "t": "stored",
        "ids": stored.ids,
        "notes": notes,
        "batches": [list(pair) for pair in stored.batches.items()],
    }
