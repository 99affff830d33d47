"""One runner: a process that was forked from the loaded application to run jobs for one worker."""

from __future__ import annotations

import atexit
import contextvars
import faulthandler
import gc
import os
import platform
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from . import wire
from .attempts import Attempts
from .capture import Capture, Pipe
from .channel import ORPHANED, Channel
from .gate import gates
from .guest import Guest
from .outcome import Delivery
from .output import Output
from .port import RunnerPort
from .signals import forked_by_job
from .slots import VERSION, Slots, process_start_time
from .threads import Threads, load_coroutines
from .waiting import Waiting

#: Bytes read at once; less than the 128 KiB from which the allocator maps and unmaps memory for each read.
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Order:
    """What a worker asked for."""

    name: str
    slots: str
    threads: int
    tasks: int


def run(
    connection: socket.socket, order: Order, guest: Guest, hooks: frozenset[str], output: Output, pipes: list[Pipe]
) -> NoReturn:
    """Serve one worker to the end of the process."""
    try:
        Runner(connection, order, guest, hooks, output, pipes).serve()
    except BaseException:
        traceback.print_exc()
        os._exit(70)


class Runner:
    """Reads the worker's frames and passes jobs to threads or tasks."""

    def __init__(
        self,
        connection: socket.socket,
        order: Order,
        guest: Guest,
        hooks: frozenset[str],
        output: Output,
        pipes: list[Pipe],
    ) -> None:
        wait_exactly()  # before there are threads, which have it from this one
        self._connection = connection
        self._order = order
        self._guest = guest
        self._hooks = hooks
        pid = os.getpid()
        slots = Slots(order.slots, order.threads + order.tasks, pid, process_start_time(pid) or 0)
        self._channel = channel = Channel(connection, slots)
        self._output = output
        output.sink = self._say
        self._port = RunnerPort(channel)
        self._waiting = Waiting()
        self._attempts = Attempts(guest, self._port, channel, slots, output, Capture(pipes, output))
        self._stop_hooks: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forked_by_job)
        gc.enable()
        if not faulthandler.is_enabled():
            faulthandler.enable(file=2, all_threads=False)
        try:
            with open("/proc/self/comm", "w") as file:
                file.write(order.name[:15])
        except OSError:
            pass

    def serve(self) -> NoReturn:
        """Say hello, then run jobs until the worker says bye or is gone."""
        self._run_hooks("worker_start")
        context = contextvars.copy_context()
        if not self._order.tasks:
            threads = Threads(self._order.threads, self._attempts, self._waiting, context)
            self._read(threads.accept)
        load_coroutines()
        from .tasks import Tasks

        # The loop gets the main thread, where libraries expect it, and frames are read beside it: a job that blocks
        # the loop must not keep the runner from seeing that its worker is gone.
        tasks = Tasks(self._order.tasks, self._attempts, self._waiting, context)
        threading.Thread(target=self._read, args=(tasks.accept,), name="queued-reader", daemon=True).start()
        tasks.run()
        os._exit(70)

    def _read(self, accept: Callable[[list[Delivery]], None]) -> NoReturn:
        try:
            self._channel.send(
                {
                    "t": "hello",
                    "pid": os.getpid(),
                    "protocol": wire.PROTOCOL,
                    "slots": VERSION,
                    "python": platform.python_version(),
                }
            )
            decoder = wire.Decoder()
            while True:
                try:
                    data = self._connection.recv(_CHUNK)
                except OSError:
                    data = b""
                if not data:
                    os._exit(ORPHANED)
                for message in decoder.feed(data):
                    if message["t"] == "jobs":
                        accept(wire.deliveries(message))
                    else:
                        self._obey(message)
        except BaseException:
            # Whatever it is, a runner that does not read is of no use, and its worker must see that.
            traceback.print_exc()
            self._channel.flush()
            os._exit(70)

    def _obey(self, message: wire.Message) -> None:
        kind = message["t"]
        if kind in ("stored", "refused"):
            self._port.answer(message)
        elif kind == "recall":
            self._give_back([[delivery["id"], delivery["lease"]] for delivery in self._waiting.recall()])
        elif kind == "interrupt":
            key = (message["id"], message["lease"])
            if self._waiting.withdraw(*key):
                self._give_back([list(key)])
            else:
                self._attempts.interrupt(key, message["reason"])
        elif kind == "drain":
            self._port.stop()
            if self._stop_hooks is None:
                # In a thread, for a hook may take long and frames must be read meanwhile.
                self._stop_hooks = threading.Thread(target=self._run_hooks, args=("worker_stop",), daemon=True)
                self._stop_hooks.start()
        elif kind == "bye":
            self._leave()

    def _give_back(self, jobs: list[list[int]]) -> None:
        self._channel.send({"t": "recalled", "jobs": jobs})

    def _leave(self) -> NoReturn:
        if self._stop_hooks is not None:
            self._stop_hooks.join()
        self._run_hooks("worker_exit")
        try:
            atexit._run_exitfuncs()  # what os._exit would leave out: flushing logs, reporting errors
        except BaseException:
            traceback.print_exc()
        self._channel.flush()
        os._exit(0)

    def _run_hooks(self, event: str) -> None:
        if event not in self._hooks:
            return
        order = self._order
        try:
            self._guest.run_hooks(event, {"name": order.name, "threads": order.threads, "tasks": order.tasks})
        except BaseException:
            print(f"the application's {event} hook failed:", file=sys.stderr)
            traceback.print_exc()

    def _say(self, message: wire.Message) -> None:
        """Send a line of output at once where that cannot be torn by an interrupt, else leave it to the sender's thread."""
        gate = gates.get(threading.get_ident())
        if gate is None:
            self._channel.say(message, direct=True)
        elif gate.shield():
            try:
                self._channel.say(message, direct=True)
            finally:
                gate.shielded = False
        else:
            self._channel.say(message, direct=False)

    def _forked_by_job(self) -> None:
        self._output.sink = None
        self._output.stdout.renew_lock()
        self._output.stderr.renew_lock()
        self._channel.close_after_fork()
        gates.clear()
        forked_by_job()


def wait_exactly() -> None:
    """Have this thread, and those that it starts, wake up when they want to.

    The kernel lets each wait last up to 50 µs longer, to save wake-ups: one in a hundred for jobs that wait 5 ms.
    """
    try:
        with open("/proc/self/timerslack_ns", "w") as file:
            file.write("1000")
    except OSError:
        pass  # no such file, or it cannot be written: waits last a little longer
