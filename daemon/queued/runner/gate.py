"""Raising an exception in a thread that runs a job, and in nothing else.

CPython can be asked to raise an exception in another thread "soon": at one of its next steps in Python code. Soon may be after
the job has ended, in our own code, or in the next job. A gate makes that impossible: an exception is asked for only while the gate
is open, at most one for each opening, and shutting the gate takes back one that was asked for and not raised.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

#: Seconds to wait for a thread to leave a step that must not be torn. Such steps never wait; they only need their turn.
_PATIENCE = 1.0

#: The gate of each thread that runs jobs, by thread identity.
gates: dict[int, Gate] = {}


class Gate:
    """Belongs to one thread; `pass_through` is called there, `interrupt` in any other."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._key: object = None
        self._asked = False
        self.shielded = False
        gates[self._thread] = self

    def pass_through(self, key: object, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run the work with the gate open. Returns its result, or the exception that came out of it.

        Nothing is ever raised here, and no exception is on its way when this returns.
        """
        results: list[Any] = []
        try:
            try:
                self._open(key)
                results.append(work(*arguments))
            except BaseException as error:
                results.append(error)
            self._shut()
        except BaseException as error:
            # The exception was raised in the lines above, outside the work. There is only ever one, so none comes here.
            self._shut()
            results.append(error)
        return results[0]

    def interrupt(self, key: object, exception: type[BaseException]) -> bool:
        """Have the exception raised in the work that `key` names, once; False when the work has not begun or has ended."""
        with self._lock:
            if self._key is None or self._key != key:
                return False
            if self._asked:
                return True
            # First the word, then the look: the thread looks in the other order in `shield`, so one of the two sees the other.
            self._asked = True
            deadline = monotonic() + _PATIENCE
            while self.shielded and monotonic() < deadline:
                sleep(0.0001)
            return not self.shielded and raise_in_thread(self._thread, exception)

    def shield(self) -> bool:
        """Begin a step that must not be torn, in the gate's own thread; False when an exception may be on its way.

        After True no exception comes until `shielded` is set to False, which must be soon.
        """
        if self.shielded:
            return False
        self.shielded = True
        if self._asked:
            self.shielded = False
            return False
        return True

    def _open(self, key: object) -> None:
        # Without the lock: nobody asks for anything before there is a key, and that comes last.
        self._asked = self.shielded = False
        self._key = key

    def _shut(self) -> None:
        with self._lock:
            self._key, self.shielded = None, False
            if self._asked:
                raise_in_thread(self._thread, None)


def raise_in_thread(thread: int, exception: type[BaseException] | None) -> bool:
    """Ask for the exception in the thread, or take back what was asked for; False when this Python cannot."""
    try:
        import ctypes
    except ImportError:  # built without libffi; the worker kills the process after its grace instead
        return False
    argument = None if exception is None else ctypes.py_object(exception)
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument))
