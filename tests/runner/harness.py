"""A fork server and runners as a test has them: a supervisor's and a worker's end that collect everything."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from queued.processes.application import ForkServer
from queued.processes.runner_process import RunnerGone, RunnerProcess
from queued.processes.slots import plain_end
from queued.runner import wire

APPS = Path(__file__).resolve().parents[1] / "apps"
PATIENCE = 60.0

Frame = dict[str, Any]


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait until the condition holds, and return its value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about in {PATIENCE:g} s")
        time.sleep(0.002)
    return value


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Application:
    """A fork server that has said what became of the application."""

    def __init__(self, server: ForkServer, runtime: Path) -> None:
        self.server = server
        self.runtime = runtime
        self.frames: list[Frame] = []
        self.runners: list[Runner] = []

    def listen(self) -> None:
        self.frames += self.server.receive()

    def said(self, kind: str) -> Frame:
        """The first frame of that type; waits for it."""

        def look() -> list[Frame]:
            self.listen()
            return [frame for frame in self.frames if frame["t"] == kind]

        return until(look, f"a {kind} frame")[0]

    def lines(self) -> list[str]:
        self.listen()
        return [frame["line"] for frame in self.frames if frame["t"] == "log"]

    def runner(self, threads: int = 1, tasks: int = 0, name: str = "worker-1") -> Runner:
        slots = str(self.runtime / f"{name}-{len(self.runners)}.slots")
        runner = Runner(RunnerProcess.start(self.server.path, name, slots, threads, tasks, PATIENCE))
        self.runners.append(runner)
        return runner


class Runner:
    """A worker's end that collects everything."""

    def __init__(self, process: RunnerProcess) -> None:
        self.process = process
        self.frames: list[Frame] = []
        self.gone = False
        self._last_id = 0

    def deliver(self, *calls: tuple[Any, ...], **options: Any) -> list[int]:
        """Hand over jobs, each as `(name, argument, …)`; their ids. The lease of a job is its id plus 1000."""
        deliveries = []
        for name, *arguments in calls:
            self._last_id += 1
            deliveries.append(
                {
                    "id": self._last_id,
                    "lease": self._last_id + 1000,
                    "class": name,
                    "args": json.dumps({"args": arguments, "kwargs": {}}),
                    "opts": None,
                    "queue": "default",
                    "priority": 0,
                    "attempt": 1,
                    "counters": {},
                    "enqueued_at": time.time(),
                    "steps": None,
                    **options,
                }
            )
        self.process.send(wire.jobs([[one[name] for name in wire.DELIVERY] for one in deliveries]))
        return [delivery["id"] for delivery in deliveries]

    def send(self, kind: str, **fields: Any) -> None:
        self.process.send({"t": kind, **fields})

    def interrupt(self, job: int, reason: str) -> None:
        self.send("interrupt", id=job, lease=job + 1000, reason=reason)

    def turn(self, wait: float = 0.01) -> None:
        """Receive what has come."""
        if self.gone:
            return
        watched = [fd for fd in (self.process.fileno(), self.process.exit_fileno()) if fd >= 0]
        poll = select.poll()
        for descriptor in watched:
            poll.register(descriptor, select.POLLIN)
        poll.poll(int(wait * 1000))
        self.process.flush()
        try:
            self.frames += self.process.receive()
        except RunnerGone:
            self.gone = True

    def until(self, condition: Callable[[], Any], what: str = "the condition") -> Any:
        def look() -> Any:
            self.turn()
            return condition()

        return until(look, what)

    def told(self) -> list[Frame]:
        """Every outcome in the order in which it was told, plain ends among them."""
        told: list[Frame] = []
        for frame in self.frames:
            if frame["t"] == "done":
                told += [plain_end(*end) for end in frame["o"]]
            elif frame["t"] == "out":
                told += frame["o"]
        return told

    def outcomes(self) -> dict[int, Frame]:
        return {o["id"]: o for o in self.told()}

    def outcome(self, job: int) -> Frame:
        """How the job ended; waits for it."""
        self.until(lambda: job in self.outcomes() or self.gone, f"the outcome of job {job}")
        assert job in self.outcomes(), f"the runner ended: {self.process.wait_exit(PATIENCE).describe()}"
        return self.outcomes()[job]

    def logs(self, job: int | None = -1) -> list[Frame]:
        """Lines of output: all, or one job's, or with None those of no job."""
        return [f for f in self.frames if f["t"] == "log" and (job == -1 or f["id"] == job)]

    def lines(self, job: int | None = -1) -> list[str]:
        return [frame["line"] for frame in self.logs(job)]

    def end(self) -> str:
        """Wait for the runner's end and say how it was."""
        self.until(lambda: self.gone, "the end of the runner")
        return self.process.wait_exit(PATIENCE).describe()


Start = Callable[..., Application]
