"""A runner as its worker has it: jobs out, outcomes in, and the truth about its end."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from queued.domain.errors import QueuedError
from queued.processes import slots
from queued.processes.slots import Slot, process_start_time
from queued.runner import wire
from queued.runner.slots import VERSION as SLOTS_VERSION

#: Bytes read in one call of `receive`, so that a runner that floods does not keep its worker from everything else.
_TURN = 4 * 1024 * 1024
_CHUNK = 64 * 1024
#: Seconds to wait for the fork server when a runner has closed its socket.
_LAST_WORDS = 0.5


class RunnerGone(QueuedError):
    """The runner has ended, and everything that it said has been received. `wait_exit` tells how it ended."""


class RunnerRefused(RunnerGone):
    """No runner could be started; the message says why."""


@dataclass(frozen=True, slots=True)
class RunnerExit:
    """How a runner ended: a wait status as of `os.wait`, and the most memory it had, in KiB. None where nobody knows."""

    status: int | None
    rss_kib: int | None = None
    #: Whether its worker killed it.
    ordered: bool = False

    @property
    def clean(self) -> bool:
        """Whether it left of its own accord with status 0."""
        return self.status == 0

    def describe(self) -> str:
        """In words, for a log and for a failed job."""
        if self.status is None:
            return "its exit status is not known"
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            try:
                name = f" ({signal.Signals(number).name})"
            except ValueError:  # a real-time signal
                name = ""
            unasked = number == signal.SIGKILL and not self.ordered
            return f"killed by signal {number}{name}" + (
                ", perhaps by the kernel for want of memory" if unasked else ""
            )
        return f"exit status {os.WEXITSTATUS(self.status)}"


class RunnerProcess:
    """One runner. Used by one thread; `fileno` and `exit_fileno` are to be watched, `receive` called when either is readable."""

    def __init__(self, data: socket.socket, server: socket.socket, slots_path: str, name: str) -> None:
        self.name = name
        self.slots_path = slots_path
        #: Its process; also the number of its process group and session.
        self.pid = 0
        #: Its interpreter's version, as in "3.12.1".
        self.python = ""
        #: How it ended, once that is known.
        self.exit: RunnerExit | None = None
        self._start_time = 0
        self._data = data
        self._server: socket.socket | None = server
        self._outgoing = bytearray()
        self._from_data = wire.Decoder()
        self._from_server = wire.Decoder()
        #: Frames that came while something else was waited for.
        self._early: list[wire.Message] = []
        self._ended = False
        self._killed = False
        self._slots_version: int | None = None
        self._last_plain: list[tuple[int, int, float, float]] = []
        self._last_outcomes: list[dict[str, Any]] = []

    @classmethod
    def start(cls, path: str, name: str, slots_path: str, threads: int, tasks: int, deadline: float) -> RunnerProcess:
        """Have the fork server at `path` fork a runner; returns when it is ready for jobs.

        `deadline` is in seconds from now; a load that goes on and the application's worker_start hooks count too.
        Raises RunnerRefused, and leaves no process behind then.
        """
        moment = monotonic() + deadline
        ours, theirs = socket.socketpair()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        runner = cls(ours, server, slots_path, name)
        try:
            with theirs:
                server.settimeout(max(deadline, 0.001))
                server.connect(path)
                order = {"t": "fork", "name": name, "slots": slots_path, "threads": threads, "tasks": tasks}
                socket.send_fds(server, [wire.encode(order)], [theirs.fileno()])
            server.setblocking(False)
            ours.setblocking(False)
            runner._await(lambda: runner.pid != 0, moment, "the fork server has not forked a runner in time")
            runner._await(lambda: runner.python != "", moment, "the runner was not ready in time")
            if runner._slots_version != SLOTS_VERSION:
                # The package was replaced under a daemon that still runs: what this runner is at could not be read.
                raise RunnerRefused(
                    f"the runner is of another release of queued (its slot file has version {runner._slots_version}, "
                    f"not {SLOTS_VERSION}): restart the daemon"
                )
        except OSError as error:
            runner.abandon()
            text = error.strerror or "no answer in time"
            raise RunnerRefused(f"the application's fork server at {path} cannot be reached: {text}") from None
        except BaseException:
            runner.abandon()
            raise
        return runner

    def fileno(self) -> int:
        """The socket of frames."""
        return self._data.fileno()

    def exit_fileno(self) -> int:
        """The connection to the fork server, which tells of the runner's end; -1 when that is known."""
        return -1 if self._server is None else self._server.fileno()

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be written; while there are any, watch `fileno` for writing and call `flush`."""
        return len(self._outgoing)

    def send(self, frame: wire.Message) -> None:
        """Queue a frame and write what can be written now. A runner that is gone is for `receive` to tell."""
        self._outgoing += wire.encode(frame)
        self.flush()

    def flush(self) -> None:
        """Write what can be written now."""
        try:
            while self._outgoing:
                sent = self._data.send(memoryview(self._outgoing)[: 1024 * 1024], socket.MSG_NOSIGNAL)
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()

    def receive(self) -> list[wire.Message]:
        """The frames that have arrived, oldest first; does not wait, but for a moment at the runner's end.

        At the end come the last lines of its output and, as one last `out` frame, the outcomes that the runner had noted
        and could not send any more.
        After everything was returned, raises RunnerGone.
        """
        frames, self._early = self._early, []
        self._hear_server(frames)
        read = 0
        while not self._ended and read < _TURN:
            try:
                data = self._data.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            read += len(data)
            try:
                arrived = self._from_data.feed(data)
            except wire.WireError:
                # Something wrote into the runner's socket. Nothing more can be understood, and it must not go on.
                self.kill()
                arrived, data = [], b""
            for frame in arrived:
                self._note(frame)
            frames += arrived
            if not data:
                self._ended = True
                # The fork server reads the last words that the runner had written and not passed on. It takes milliseconds.
                self.wait_exit(_LAST_WORDS)
                frames += self._early
                self._early = []
                unsent = self._unsent()
                if unsent:
                    frames.append({"t": "out", "o": unsent})
        if self._ended and not frames:
            raise RunnerGone(f"the runner of {self.name} (pid {self.pid}) has ended")
        return frames

    def wait_exit(self, timeout: float) -> RunnerExit:
        """How it ended; waits up to `timeout` seconds to learn it. Lines of its last output are left for `receive`."""
        deadline = monotonic() + timeout
        while self.exit is None and self._server is not None:
            self._hear_server(self._early)
            left = deadline - monotonic()
            if self.exit is not None or self._server is None or left <= 0:
                break
            _readable(left, self._server)
        return self.exit or RunnerExit(None, ordered=self._killed)

    def kill(self) -> None:
        """Kill it and everything in its process group, if it still is the process that was started."""
        if self.exit is None and self.pid:
            self._killed = True
            slots.kill_process(self.pid, self._start_time)

    def slots(self) -> list[Slot]:
        """The attempts that run now, or ran when it died, by its slot file.

        One whose outcome arrives at this very moment may still stand here: outcomes that were received count more.
        """
        file = slots.read(self.slots_path)
        return [] if file is None or file.pid != self.pid else list(file.slots)

    def close(self) -> None:
        """Let go of it. A runner that still lives sees its worker's end and dies; the slot file is removed."""
        self.forget()
        for path in (self.slots_path, self.slots_path + ".new"):
            try:
                os.unlink(path)
            except OSError:
                pass

    def forget(self) -> None:
        """Close the descriptors and nothing else, as in a forked child that inherited them."""
        self._data.close()
        if self._server is not None:
            self._server.close()
            self._server = None

    def abandon(self) -> None:
        """Kill whatever was started, and let go."""
        self.kill()
        self.close()

    # What arrives

    def _note(self, frame: wire.Message) -> None:
        if frame["t"] == "done":
            self._last_plain = frame["o"]
        elif frame["t"] == "out":
            self._last_outcomes = frame["o"]
        elif frame["t"] == "hello":
            self.python, self._slots_version = frame["python"], frame.get("slots")

    def _unsent(self) -> list[dict[str, Any]]:
        """Outcomes of the slot file. They may have been sent and not yet been struck out; then they were the last of their kind."""
        file = slots.read(self.slots_path)
        if file is None or file.pid != self.pid:
            return []
        received = {(outcome["id"], outcome["lease"]) for outcome in self._last_outcomes}
        received |= {(job_id, lease) for job_id, lease, _, _ in self._last_plain}
        return [outcome for outcome in file.outcomes if (outcome["id"], outcome["lease"]) not in received]

    def _hear_server(self, frames: list[wire.Message]) -> None:
        """Read from the fork server: the runner's end, and output that the runner itself did not pass on."""
        while self._server is not None:
            try:
                data = self._server.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            for frame in self._from_server.feed(data):
                if frame["t"] == "forked":
                    self.pid = frame["pid"]
                    self._start_time = process_start_time(self.pid) or 0
                elif frame["t"] == "refused":
                    raise RunnerRefused(f"the application's fork server does not fork: {frame['message']}")
                elif frame["t"] == "exited":
                    self.exit = RunnerExit(frame["status"], frame["rss"], self._killed)
                else:
                    frames.append(frame)
            if not data or self.exit is not None:
                self._server.close()
                self._server = None

    def _await(self, done: Callable[[], bool], deadline: float, problem: str) -> None:
        while not done():
            try:
                self._early = self.receive()
            except RunnerGone:
                self._ended = True
            if done():
                return
            if self._server is None:
                how = "" if self.exit is None else f": {self.exit.describe()}"
                said = "".join(f"\n  {frame['line']}" for frame in self._early if frame["t"] == "log")
                raise RunnerRefused(f"the runner ended before it was ready{how}{said}")
            left = deadline - monotonic()
            if left <= 0:
                raise RunnerRefused(problem)
            watched = [self._server] if self._ended else [self._server, self._data]
            _readable(left, *watched)


def _readable(timeout: float, *sockets: socket.socket) -> None:
    """Wait until one of the sockets is readable. Not by select, which knows no descriptor above 1023."""
    poll = select.poll()
    for each in sockets:
        poll.register(each, select.POLLIN)
    poll.poll(max(0, int(timeout * 1000)) + 1)
