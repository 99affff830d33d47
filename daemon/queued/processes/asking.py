"""Asking the application to enqueue runs of a schedule: several at once, none for long, and nobody waits for it.

A job with limits, keys or callbacks is what its own code makes of it. A process that is forked from the application runs that code
up to the point where the job is stored, and waits there; the scheduler stores the job together with the run and says so, and the
rest of the code runs. Meanwhile the scheduler holds no transaction: it has reserved the task.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queued.domain.jobs import NewJob
from queued.domain.recurring import Plan, RecurringTask, with_timeout
from queued.processes.inquiry import Inquiry
from queued.processes.worker import new_job
from queued.runner import wire
from queued.telemetry import emit

#: Seconds that the application has for an answer. Its callbacks run in that time.
PATIENCE = 10.0
#: Seconds that a task is reserved: longer than an answer may take, for the database may make us wait too.
RESERVED = 30.0
#: Seconds that after_enqueue callbacks may take; then their process is killed. The job is stored by then.
AFTERMATH = 30.0
#: Runs that are asked about at once, and processes whose callbacks may still be at it after the job was stored.
MOST, MOST_AFTER = 8, 32

#: Stores the jobs that a callback enqueues; the frame that answers.
Enqueue = Callable[[wire.Message], Mapping[str, Any]]


@dataclass(slots=True, eq=False)
class Asked:
    """A run that the application is asked about. Of `job`, `why` and `held` one is set once there is an answer.

    `why` says that there is no job (`aborted`, `failed`, `unknown`), `held` that there was no answer; `message` goes with `why`.
    """

    task: RecurringTask
    moment: datetime
    #: What the schedule had due when the task was reserved; None for a run that somebody asked for.
    todo: Plan | None
    inquiry: Inquiry | None = None
    deadline: float = 0.0
    job: NewJob | None = None
    why: str | None = None
    message: str = ""
    held: str | None = None

    @property
    def answered(self) -> bool:
        """Whether it is decided what becomes of the run."""
        return self.job is not None or self.why is not None or self.held is not None

    def fits(self, task: RecurringTask) -> bool:
        """Whether the task is still what the application was asked for."""
        known = self.task
        if task.settings != known.settings:
            return False
        if self.todo is None:
            return task.asked_at == known.asked_at
        return (task.next_run_at, task.paused_at) == (known.next_run_at, known.paused_at)


class Asking:
    """The runs that are being asked about, and those whose callbacks go on after they were stored."""

    def __init__(self, process: str, link: str) -> None:
        self._process = process
        self._link = link
        self._asked: list[Asked] = []
        self._after: list[tuple[Asked, float]] = []

    @property
    def keys(self) -> set[str]:
        """The tasks that wait for an answer, or for it to be stored."""
        return {asked.task.key for asked in self._asked}

    @property
    def room(self) -> bool:
        """Whether another run may be asked about."""
        return len(self._asked) < MOST and len(self._after) < MOST_AFTER

    @property
    def busy(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._asked or self._after)

    def ask(self, asked: Asked) -> None:
        """Ask about a run whose task is reserved. What comes of it, `turn` tells."""
        settings = asked.task.settings
        asked.deadline = time.monotonic() + PATIENCE
        self._asked.append(asked)
        question = {
            "t": "run",
            "class": settings.class_name,
            "args": settings.arguments,
            "queue": settings.queue,
            "priority": settings.priority,
        }
        try:
            # Whichever application is in force now: each start of it has a socket of its own.
            asked.inquiry = Inquiry(os.readlink(self._link), question, self._process)
        except OSError as error:
            asked.held = f"the application cannot be asked: {error.strerror or error}"

    def turn(self, enqueue: Enqueue) -> list[Asked]:
        """Hear what was said; the runs that are decided. They stay until `conclude`."""
        now = time.monotonic()
        for asked in self._asked:
            if asked.inquiry is not None:
                self._hear(asked, asked.inquiry, enqueue)
            if not asked.answered and now >= asked.deadline:
                asked.held = f"the application did not answer within {PATIENCE:g} s"
        for asked, until in list(self._after):
            self._hear_after(asked, until, now, enqueue)
        return [asked for asked in self._asked if asked.answered]

    def conclude(self, asked: Asked, answer: Mapping[str, Any] | None) -> None:
        """Tell the application what became of the run, if it waits for that, and ask no more about it."""
        self._asked.remove(asked)
        if asked.inquiry is None:
            return
        if asked.held is not None:
            asked.inquiry.close()
            return
        if asked.job is not None and answer is not None:
            asked.inquiry.send(answer)
        self._after.append((asked, time.monotonic() + AFTERMATH))

    def descriptors(self) -> list[int]:
        """What to wait on."""
        return [descriptor for inquiry in self._inquiries() for descriptor in inquiry.descriptors()]

    def rest(self, now: float) -> float | None:
        """Seconds until something has to be looked at though nothing was said; None when nothing is on its way."""
        if any(inquiry.unsent for inquiry in self._inquiries()):
            return 0.01
        moments = [0.0 if asked.answered else asked.deadline - now for asked in self._asked]
        moments += [until - now for _, until in self._after]
        return max(0.0, min(moments)) if moments else None

    def close(self) -> None:
        """Let go of everything; the processes that are still at it are killed."""
        for inquiry in self._inquiries():
            inquiry.close()
        self._asked.clear()
        self._after.clear()

    def _inquiries(self) -> list[Inquiry]:
        every = [*self._asked, *(asked for asked, _ in self._after)]
        return [asked.inquiry for asked in every if asked.inquiry is not None]

    def _hear(self, asked: Asked, inquiry: Inquiry, enqueue: Enqueue) -> None:
        for frame in inquiry.turn():
            if frame["t"] == "bound":
                asked.job = with_timeout(new_job(frame["job"]), asked.task.settings.timeout)
            elif frame["t"] == "unbound":
                asked.why, asked.message = frame["why"], frame["message"]
            elif frame["t"] == "enqueue":
                inquiry.send(enqueue(frame))
        if not asked.answered and inquiry.end is not None:
            asked.held = inquiry.end or "the process that was to answer ended without a word"

    def _hear_after(self, asked: Asked, until: float, now: float, enqueue: Enqueue) -> None:
        inquiry = asked.inquiry
        assert inquiry is not None
        for frame in inquiry.turn():
            if frame["t"] == "enqueue":
                inquiry.send(enqueue(frame))
        problem = inquiry.end
        if problem is None and now >= until:
            problem = f"it took longer than {AFTERMATH:g} s and was ended"
        if problem is None:
            return
        if problem and asked.job is not None:
            emit("recurring_callback_failed", process=self._process, key=asked.task.key, reason=problem)
        inquiry.close()
        self._after.remove((asked, until))
