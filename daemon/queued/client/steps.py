"""The steps of one attempt: what earlier attempts finished, what is open, and what of it is to be stored.

The job's own thread writes; another one, the runner's, reads what is new ten times a second. So everything it reads is
replaced by one assignment and never changed.
"""

from __future__ import annotations

import json
import math
from typing import Any, Protocol, cast

from queued.client.arguments import decode_value, encode_value
from queued.client.failure import both_ends, storable
from queued.client.interrupts import JobInterrupted, message_for
from queued.domain.errors import ArgumentError, StepError, StepsChanged

#: Steps of one job, and characters of JSON of one cursor: all of it travels together, several times a second.
MAX_STEPS, MAX_CURSOR = 1000, 8 * 1024
#: Bytes of a progress message.
MAX_MESSAGE = 500

Key = tuple[int, int]
State = dict[str, Any]


class StepsPort(Protocol):
    """What steps ask of the runner."""

    def stopping(self) -> bool:
        """Whether the worker is about to stop."""

    def watch(self, key: Key, steps: Steps) -> None:
        """From now on ask for `news()` ten times a second, and for `state()` at the end of the attempt."""

    def save(self, key: Key) -> bool:
        """Have `state()` stored; returns when it is. False when the attempt is no longer ours. Raises DatabaseError."""


class Written:
    """A cursor that has been turned into JSON, because the job may change the original."""

    __slots__ = ("stored",)

    def __init__(self, stored: Any) -> None:
        self.stored = stored


#: Values that nobody can change, and that JSON has a word for: written down only when they are sent.
_LASTING = frozenset({int, bool, type(None)})
#: Finished steps with their cursors, the open step if there is one, and its cursor.
_Now = tuple[tuple[tuple[str, Any], ...], str | None, Any]


class Steps:
    """Made for each attempt that uses steps or tells its progress. Without a port nothing is stored: a plain call, a test."""

    def __init__(self, stored: str | None, key: Key = (0, 0), port: StepsPort | None = None) -> None:
        self._key = key
        self._port = port
        self._now: _Now = _parsed(stored) if stored else ((), None, None)
        self._known = [name for name, _ in self._now[0]] + ([self._now[1]] if self._now[1] is not None else [])
        self._progress: tuple[float, float | None, str | None] | None = None
        #: The steps begun in this attempt, in order, and the one that the job is in.
        self._begun: list[str] = []
        self._inside: str | None = None
        self._wrong: StepError | None = None
        self._watched = False
        self._reopened = False
        self._told: tuple[Any, Any] = (self._now, None)
        self._used = bool(stored)

    # the job's thread

    def begin(self, name: str, start: Any) -> tuple[int, Any, bool]:
        """Enter a step: its number, its cursor, and whether it was finished before.

        Raises StepsChanged where an earlier attempt had another step, StepError where there can be none.
        """
        number = len(self._begun)
        finished, current, cursor = self._now
        self._check(name, number, len(finished))
        if number < len(finished):
            cursor = self._enter(name, finished[number][1])
            return number, cursor, True
        self.heed_stop()
        if current is None:
            self._used = True
            self._now = (finished, name, frozen(start, f"step({name!r}, start=…)"))
            cursor = start
        self._watch()
        return number, self._enter(name, cursor), False

    def _enter(self, name: str, cursor: Any) -> Any:
        value = decode_value(cursor.stored, f"the cursor of step {name!r}") if type(cursor) is Written else cursor
        self._begun.append(name)
        self._inside = name
        return value

    def move(self, number: int, cursor: Any) -> None:
        """The step's cursor is another; `cursor` is frozen. Costs a fraction of a microsecond and sends nothing itself."""
        finished, current, place = self._now
        if number == len(finished):
            self._now = (finished, current, cursor)
        else:  # a finished step that found more to do
            self._watch()
            self._reopened = True
            moved = (finished[number][0], cursor)
            self._now = ((*finished[:number], moved, *finished[number + 1 :]), current, place)

    def heed_stop(self) -> None:
        """End the attempt here when the worker is about to stop. Raises JobInterrupted."""
        if self._port is not None and self._port.stopping():
            raise JobInterrupted(message_for("stop"))

    def finish(self, number: int) -> bool:
        """The step has done its work; True when that was not known before, and is to be saved."""
        self._inside = None
        finished, current, cursor = self._now
        if number < len(finished) or current is None:
            reopened, self._reopened = self._reopened, False
            return reopened
        self._now = ((*finished, (current, cursor)), None, None)
        return True

    def leave(self) -> None:
        """An error has ended the body of the step; it stays open, at its cursor."""
        self._inside = None

    def save(self) -> None:
        """Return when everything so far is in the database. Raises JobInterrupted when the job was given to somebody else."""
        self._watch()
        if self._port is not None and not self._port.save(self._key):
            raise JobInterrupted("the job was given to another worker, for this one was taken for dead")

    def tell(self, done: float, total: float | None, message: str | None) -> None:
        """Progress, for people."""
        for name, value in (("done", done), ("total", total)):
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise ValueError(f"progress({name}={value!r}): write a finite number")
        words = None if message is None else both_ends(storable(str(message)), MAX_MESSAGE)
        self._progress = (float(done), None if total is None else float(total), words)
        self._watch()

    def refuse(self, error: StepError) -> StepError:
        """Note an error of the job's own making, so that it fails also when the job swallows it."""
        self._wrong = self._wrong or error
        return error

    def returned(self) -> None:
        """The job has returned. Raises what is wrong with its steps."""
        if self._wrong is not None:
            raise self._wrong
        missing = self._known[len(self._begun) :]
        if missing:
            self.heed_stop()  # a job that swallows its interruption gets to no further step
            raise StepsChanged(f"{self._before()}; the job has ended and never reached {_listed(missing)}. {_REMEDY}")

    def _check(self, name: str, number: int, finished: int) -> None:
        if self._inside is not None:
            text = f"step {name!r} begins inside step {self._inside!r}: steps follow one another, in one thread or task"
            raise self.refuse(StepError(text))
        if name in self._begun:
            raise self.refuse(StepError(f"a second step is called {name!r}: each step of a job has its own name"))
        if number > finished:
            text = f"step {name!r} begins, but an error has ended {self._begun[-1]!r}: let that error end the attempt"
            raise self.refuse(StepError(text))
        if number >= MAX_STEPS:
            raise self.refuse(StepError(f"more than {MAX_STEPS} steps: use one step with a cursor instead"))
        if number < len(self._known) and self._known[number] != name:
            text = f"{self._before()}; now step {name!r} comes where {self._known[number]!r} was. {_REMEDY}"
            raise self.refuse(StepsChanged(text))

    def _before(self) -> str:
        finished = self._known[: len(self._now[0])]
        parts = [f"finished {_listed(finished)}"] if finished else []
        parts += [f"begun {self._now[1]!r}"] if self._now[1] is not None else []
        return f"the steps of this job have changed: an earlier attempt had {' and '.join(parts)}"

    def _watch(self) -> None:
        if not self._watched and self._port is not None:
            self._port.watch(self._key, self)
            self._watched = True

    # the runner's thread, and the end of the attempt

    def news(self) -> State | None:
        """What is to be stored; None when nothing has changed since this was last asked."""
        now, progress = self._now, self._progress
        if now is self._told[0] and progress is self._told[1]:
            return None
        self._told = (now, progress)
        return self._state(now, progress)

    def state(self) -> State:
        """How far the attempt has come: `{"steps": JSON text or null, "progress": [done, total, message] or null}`."""
        return self._state(self._now, self._progress)

    def _state(self, now: _Now, progress: tuple[float, float | None, str | None] | None) -> State:
        finished, current, cursor = now
        steps = {
            "finished": [[name, _stored(at)] for name, at in finished],
            "step": current,
            "cursor": _stored(cursor),
        }
        return {
            "steps": _DUMP(steps) if self._used else None,
            "progress": None if progress is None else list(progress),
        }


def frozen(value: Any, path: str) -> Any:
    """A cursor as it can be kept: nobody can change it any more. Raises ArgumentError when it cannot be stored."""
    kind = type(value)
    if kind in _LASTING or (kind is float and math.isfinite(value)):
        return value
    if kind is str and len(value) < MAX_CURSOR // 6:  # the longest that one character becomes
        return value
    written = encode_value(value, path)
    size = len(_DUMP(written))
    if size > MAX_CURSOR:
        raise ArgumentError(path, f"{size:,} characters of JSON; a cursor is a place, and takes {MAX_CURSOR:,} at most")
    return Written(written)


_DUMP = json.JSONEncoder(ensure_ascii=True, check_circular=False, allow_nan=False, separators=(",", ":")).encode
_REMEDY = "Deploy code that has the same steps so far, or discard this job and enqueue it anew."


def _stored(cursor: Any) -> Any:
    if type(cursor) is Written:
        return cursor.stored
    return encode_value(cursor, "the cursor") if type(cursor) is int else cursor


def _parsed(text: str) -> _Now:
    try:
        told = json.loads(text)
        finished = tuple((str(name), Written(cursor)) for name, cursor in told["finished"])
        return finished, cast("str | None", told["step"]), Written(told["cursor"])
    except (ValueError, KeyError, TypeError) as error:
        raise StepError(f"what is stored of this job's steps cannot be read: {text[:100]!r}") from error


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
