"""The fork server: the loaded application, and a process forked from it for each worker that asks.

One thread and one selector, because a process with threads cannot be forked safely. It promises to its callers:
a runner lives no longer than its worker's connection; whatever a runner started dies with it, unless it ended with status 0;
how it ended is told on that connection, with the last words that nobody had read.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any, NoReturn

from . import question, runner, wire
from .capture import CAPACITY, Pipe, make_pipes, redirect
from .guest import Guest
from .outbox import Outbox
from .output import Output
from .runner import Order
from .signals import kill_group

#: Seconds between two looks at the pipes of runners whose own reader may be held up.
_LOOK = 1.0
#: Seconds spent on one such runner in one look.
_RELIEF = 0.1
#: Seconds between two looks at children where the kernel has no pidfd.
_POLL = 0.05


@dataclass(eq=False)
class Connection:
    """One worker's, or one other actor's, connection."""

    outbox: Outbox
    decoder: wire.Decoder = field(default_factory=wire.Decoder)
    descriptors: list[int] = field(default_factory=list)
    children: set[Child] = field(default_factory=set)


@dataclass(eq=False)
class Child:
    """A forked process: a runner, or a short one that runs a hook or answers a question."""

    pid: int
    pidfd: int | None
    kind: str
    pipes: list[Pipe]
    connection: Connection | None
    #: Whether its pipes were nearly full at the last look.
    held_up: bool = False


class Server:
    """Serves until `control` ends and the last child is gone."""

    def __init__(
        self, listener: socket.socket, control: Outbox, guest: Guest, hooks: Iterable[str], output: Output
    ) -> None:
        self._listener: socket.socket | None = listener
        self._control = control
        self._guest = guest
        self._hooks = frozenset(hooks)
        self._output = output
        self._connections: set[Connection] = set()
        self._children: set[Child] = set()
        self._ending = False
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._watch(listener, self._accept)
        self._watch(control.socket, self._hear_control)

    def serve(self) -> None:
        """Run the loop."""
        while not (self._ending and not self._children):
            for key, events in self._selector.select(self._pause()):
                current = self._key(key.fileobj)
                if current is not None and current.data is key.data:  # an earlier event of this turn may have ended it
                    key.data(events)
            self._look_at_children()

    def _pause(self) -> float | None:
        if any(child.pidfd is None for child in self._children):
            return _POLL
        return _LOOK if self._children else None

    def _key(self, source: Any) -> selectors.SelectorKey | None:
        try:
            return self._selector.get_key(source)
        except (KeyError, ValueError):
            return None

    def _watch(self, source: Any, action: Callable[[int], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, action)

    def _write_later(self, outbox: Outbox) -> None:
        """Ask for an event when the rest can be sent, and no longer than there is a rest."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if outbox.waiting else 0)
        key = self._key(outbox.socket)
        if key is not None and key.events != events:
            self._selector.modify(outbox.socket, events, key.data)

    def _tell(self, outbox: Outbox, message: wire.Message) -> None:
        outbox.send(message)
        self._write_later(outbox)

    # What arrives

    def _hear_control(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._control.flush()
        if events & selectors.EVENT_READ:
            try:
                data = self._control.socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._end()
                return
        self._write_later(self._control)

    def _end(self) -> None:
        """The supervisor is gone: no more forks. Runners whose workers live go on."""
        self._ending = True
        self._selector.unregister(self._control.socket)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, events: int) -> None:
        if self._listener is None:
            return
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return
        connection = Connection(Outbox(accepted))
        self._connections.add(connection)
        self._watch(accepted, lambda events: self._hear(connection, events))

    def _hear(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.outbox.flush()
        if events & selectors.EVENT_READ:
            try:
                data, descriptors, _, _ = socket.recv_fds(connection.outbox.socket, 65536, 4, socket.MSG_CMSG_CLOEXEC)
                connection.descriptors += descriptors
                messages = connection.decoder.feed(data)
            except BlockingIOError:
                return
            except (OSError, wire.WireError):
                data, messages = b"", []
            if not data:
                self._disconnect(connection)
                return
            for message in messages:
                self._obey(connection, message)
        self._write_later(connection.outbox)

    def _disconnect(self, connection: Connection) -> None:
        """The worker is gone, and nobody will hear what its runner has to say."""
        self._selector.unregister(connection.outbox.socket)
        connection.outbox.socket.close()
        for descriptor in connection.descriptors:
            os.close(descriptor)
        for child in connection.children:
            child.connection = None
            kill_group(child.pid)
        self._connections.discard(connection)

    def _obey(self, connection: Connection, message: wire.Message) -> None:
        kind = message["t"]
        try:
            if self._ending:
                raise ValueError("the supervisor is gone, and nothing is forked any more")
            if kind == "fork":
                order = Order(message["name"], message["slots"], message["threads"], message["tasks"])
                data = _socket_of(connection)
                try:
                    child = self._fork("runner", connection, lambda pipes: self._become_runner(data, order, pipes))
                finally:
                    os.close(data)
                self._tell(connection.outbox, {"t": "forked", "pid": child.pid})
            elif kind == "ask":
                data = _socket_of(connection)
                try:
                    self._fork("ask", connection, lambda pipes: self._become_answer(data))
                finally:
                    os.close(data)
            elif kind == "hook":
                event, info = message["event"], message["info"]
                self._fork("hook", connection, lambda pipes: self._become_hook(event, info))
            else:
                raise ValueError(f"there is no frame of type {kind!r} here")
        except (OSError, KeyError, TypeError, ValueError) as error:
            text = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            self._tell(connection.outbox, {"t": "refused", "message": text})

    # Children

    def _fork(self, kind: str, connection: Connection, become: Callable[[list[Pipe]], NoReturn]) -> Child:
        pipes, writers = make_pipes()
        with warnings.catch_warnings():
            # From 3.12 on a fork beside threads warns. They were reported once, with the application loaded.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                redirect(writers)
                self._let_go()
                become(pipes)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        for writer in writers.values():
            os.close(writer)
        child = Child(pid, _pidfd(pid), kind, pipes, connection)
        connection.children.add(child)
        self._children.add(child)
        if child.pidfd is not None:
            self._watch(child.pidfd, lambda events: self._reap(child))
        if kind != "runner":
            for pipe in pipes:
                self._watch(pipe.reader, lambda events, pipe=pipe: self._pass_on(child, pipe))  # type: ignore[misc]
        return child

    def _let_go(self) -> None:
        """In a child: close everything that belongs to the fork server or to siblings."""
        self._selector.close()
        self._control.socket.close()
        if self._listener is not None:
            self._listener.close()
        for connection in self._connections:
            connection.outbox.socket.close()
            for descriptor in connection.descriptors:
                os.close(descriptor)
        for child in self._children:
            if child.pidfd is not None:
                os.close(child.pidfd)
            for pipe in child.pipes:
                pipe.close()
        self._output.sink = None  # until there is a channel, the fork server reads what is said
        self._output.stdout.renew_lock()
        self._output.stderr.renew_lock()

    def _become_runner(self, data: int, order: Order, pipes: list[Pipe]) -> NoReturn:
        runner.run(socket.socket(fileno=data), order, self._guest, self._hooks, self._output, pipes)

    def _become_answer(self, data: int) -> NoReturn:
        question.answer(socket.socket(fileno=data), self._guest)

    def _become_hook(self, event: str, info: dict[str, Any]) -> NoReturn:
        status = 0
        try:
            self._guest.run_hooks(event, info)
        except BaseException:
            print(f"the application's {event} hook failed:", file=sys.stderr)
            traceback.print_exc()
            status = 1
        os._exit(status)

    def _look_at_children(self) -> None:
        for child in list(self._children):
            if child.pidfd is None and _ended(child.pid):
                self._reap(child)
            elif child.kind == "runner":
                # C code that writes and keeps the interpreter's lock leaves its own reader no turn, and would wait for ever.
                full = any(pipe.waiting() > CAPACITY // 2 for pipe in child.pipes)
                if full and child.held_up:
                    self._relieve(child)
                child.held_up = full

    def _relieve(self, child: Child) -> None:
        """Read what a runner's own reader does not come to read, while more comes, for a moment."""
        deadline = monotonic() + _RELIEF
        while monotonic() < deadline:
            waiting = [pipe for pipe in child.pipes if pipe.waiting()]
            for pipe in waiting:
                self._pass_on(child, pipe)
            if not waiting:
                sleep(0.001)

    def _reap(self, child: Child) -> None:
        if not _ended(child.pid):
            return
        failed = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if failed is not None and (failed.si_code != os.CLD_EXITED or failed.si_status != 0):
            # While it is not reaped its pid, and so the number of its group, cannot be anybody else's.
            kill_group(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        self._children.discard(child)
        if child.pidfd is not None:
            self._selector.unregister(child.pidfd)
            os.close(child.pidfd)
        for pipe in child.pipes:
            if self._key(pipe.reader) is not None:
                self._selector.unregister(pipe.reader)
            self._say(child, pipe, pipe.drain())
            pipe.close()
        if child.connection is not None:
            child.connection.children.discard(child)
            if child.kind == "runner":
                message = {"t": "exited", "pid": child.pid, "status": status, "rss": usage.ru_maxrss}
            else:
                message = {"t": "hooked" if child.kind == "hook" else "asked", "status": status}
            self._tell(child.connection.outbox, message)

    def _pass_on(self, child: Child, pipe: Pipe) -> None:
        lines = pipe.read()
        if lines is None:
            if self._key(pipe.reader) is not None:
                self._selector.unregister(pipe.reader)
        else:
            self._say(child, pipe, lines)

    def _say(self, child: Child, pipe: Pipe, lines: Iterable[str]) -> None:
        outbox = child.connection.outbox if child.connection is not None else None
        level = "WARNING" if pipe.stream == "stderr" else "INFO"
        for line in lines:
            if outbox is not None:
                outbox.say(
                    {"t": "log", "id": None, "stream": pipe.stream, "level": level, "logger": None, "line": line}
                )
        if outbox is not None:
            self._write_later(outbox)


def _socket_of(connection: Connection) -> int:
    """The socket that came with a frame."""
    if not connection.descriptors:
        raise ValueError("a frame that needs a socket came without one")
    return connection.descriptors.pop(0)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
