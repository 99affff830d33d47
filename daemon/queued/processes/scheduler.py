"""Scheduler: enqueues recurring tasks when their moments come. Any number of them, on any hosts, start each run once.

It keeps no plan of its own: the database holds each task with its next moment, by the database's clock. A turn takes the
tasks that are due one by one, each in a transaction that claims the moment, stores the job, and moves the task on. Killed
within it, nothing has happened, and the next scheduler that looks does it. Where the application has a say in the job, the task
is reserved first, the application asked without a transaction, and the run stored in a second one, by whoever has the reservation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, ClassVar

from queued.domain.batches import NewBatch
from queued.domain.errors import BatchFinished, DatabaseError, LockNotAvailable
from queued.domain.jobs import Arrival, NewJob, Stored
from queued.domain.recurring import CHORES, Plan, RecurringTask, due_at, job_of, plan, schedule_of
from queued.domain.schedule import Schedule, ScheduleError
from queued.domain.settings import USUAL_TASKS, SchedulerSettings, Settings
from queued.processes.asking import RESERVED, Asked, Asking
from queued.processes.chores import Chore, Chores
from queued.processes.declared import Declared
from queued.processes.identity import hostname
from queued.processes.outage import AWAY
from queued.processes.role import Role
from queued.processes.runtime import APPLICATION
from queued.processes.worker import new_job
from queued.storage import recurring
from queued.storage.session import Session
from queued.storage.store import Bell
from queued.telemetry import emit

#: Seconds between two rounds of housekeeping: owners are told alive, ends of jobs are noted, old runs are forgotten.
TIDY_EVERY = 60.0
#: Seconds that runs are kept where jobs are kept for ever.
RUNS_AT_MOST = 30 * 86400.0
#: Seconds after which a run that the daemon does itself is taken for dead.
LONGEST_CHORE = 6 * 3600.0
#: Tasks looked at in one turn, so that the loop turns and a stop is heeded however much there is to make up for.
MOST_IN_A_TURN = 200
#: Schedules kept parsed.
MOST_SCHEDULES = 10_000
#: Seconds between two looks whether the application is loaded, for a run that is due.
AWAITED = 1.0
#: The longest time, in seconds, until the application is asked again about a run that it did not answer for.
LONGEST_HOLD = 60.0
#: Seconds that the storing of a run waits for a key that another transaction has. All other tasks wait as long.
KEY_WAIT = 0.5
KEY_TAKEN = "another transaction, which has not ended yet, has a key of its job"
NOT_LOADED = "the application is not loaded"


class Scheduler(Role):
    """Runs the tasks of this host's file, and the dynamic ones."""

    kind: ClassVar[str] = "Scheduler"

    def __init__(
        self, name: str, settings: Settings, scheduler: SchedulerSettings, supervisor: str | None = None
    ) -> None:
        super().__init__(name, settings, supervisor)
        self.scheduler = scheduler
        self.owner = owner_of(settings)
        self._declared = Declared(settings.runtime_directory)
        self._schedules: dict[tuple[str, str], Schedule] = {}
        self._bell: Bell | None = None
        self._synced = False
        self._tidy_at = 0.0
        self._asking = Asking(name, os.path.join(settings.runtime_directory, APPLICATION))
        #: Tasks to leave alone until a moment (monotonic), how often each was held back in a row, and those that wait for an
        #: application that is not loaded: told of, and found in this turn.
        self._later: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._fresh: set[str] = set()
        self._chores = Chores(name, settings)
        self._begun: list[Chore] = []

    def metadata(self) -> Mapping[str, Any]:
        keys = ",".join(task.key for task in self.settings.recurring)
        return {
            "polling_interval": self.scheduler.polling_interval,
            "dynamic": self.scheduler.dynamic_tasks_enabled,
            **({"recurring_schedule": keys} if keys else {}),
        }

    def ready(self) -> None:
        if self.settings.database.wake:
            self._bell = self.store.listen(["control"])

    def poll(self) -> float:
        if self._bell is not None:
            self._bell.drain()
        if not self._synced:
            self._sync()
        self._hear()
        busy = self._busy()
        # One statement while nothing is due: on a quiet host that is all that a scheduler asks.
        due = self._next_due(busy)
        if due is not None and due <= 0:
            for _ in range(MOST_IN_A_TURN):
                if self.wakeup.stopping or not self._look_at_one(busy):
                    break
            else:
                return 0.0
            self._tell_waiting()
            due = self._next_due(busy)
        self._tidy()
        self.outage.succeeded()
        return self._rest(due)

    def _rest(self, due: float | None) -> float:
        now = time.monotonic()
        rests = [self.scheduler.polling_interval, due, self._asking.rest(now)]
        rests += [until - now for until in self._later.values()]
        return max(0.001, min(rest for rest in rests if rest is not None))

    def wait(self, seconds: float) -> bool:
        if self._bell is not None and self._bell.rung and not self.outage.going_on:
            return True
        descriptors = self._asking.descriptors()
        bell = self._bell.fileno() if self._bell is not None else None
        return bool(self.wakeup.wait(seconds, descriptors if bell is None else [*descriptors, bell]))

    def drain(self) -> None:
        deadline = time.monotonic() + self.settings.shutdown_timeout
        self._chores.stop()
        while (self._chores.busy or self._asking.busy) and time.monotonic() < deadline and not self.wakeup.immediate:
            self.tend()
            try:
                self._hear()
            except AWAY as error:
                self.outage.failed(error)
            self.wakeup.wait(0.05)
        self._ask_no_more()

    def abandon(self) -> None:
        self._chores.stop()
        self._ask_no_more()

    def close(self) -> None:
        self._asking.close()

    def _ask_no_more(self) -> None:
        """Leave the runs that the application has not answered to whoever looks next."""
        self._asking.close()
        try:
            with self.store.transaction(durable=False) as session:
                recurring.unreserve(session, self.name)
        except AWAY:
            pass  # what is reserved is free again after a while

    # the file

    def _sync(self) -> None:
        with self.store.transaction() as session:
            synced = recurring.sync(session, self.owner, self.settings.recurring)
            gone = forsaken(self.settings)
            if gone is not None:
                synced.removed.extend(recurring.sync(session, gone, ()).removed)
        self._synced = True
        if synced.added or synced.changed or synced.removed:
            emit(
                "recurring_synced",
                process=self.name,
                added=synced.added,
                changed=synced.changed,
                removed=synced.removed,
            )
        for key in synced.refused:
            emit("recurring_refused", process=self.name, key=key)

    # runs

    def _look_at_one(self, passed: set[str]) -> bool:
        """Do what one task needs, in one transaction; False when none needs anything. `passed` are those to leave alone."""
        arrivals: list[Arrival] = []
        told: list[tuple[str, dict[str, Any]]] = []
        asked: Asked | None = None
        self._begun = []
        with self.store.transaction() as session:
            found = recurring.due(session, self.owner, self.scheduler.dynamic_tasks_enabled, passed)
            if found is None:
                return False
            task, now = found
            todo = self._todo(session, task, now, told)
            moments = todo.runs if todo is not None else () if task.asked_at is None else (task.asked_at,)
            if moments and self._awaits_application(task):
                passed.add(task.key)
                self._wait_for_application(session, task)
            elif moments and self._application_decides(task) and not self._overlaps(session, task):
                passed.add(task.key)
                if self._asking.room:
                    recurring.reserve(session, task.key, self.name, RESERVED)
                    asked = Asked(task, moments[0], todo)
            elif task.asked_at is not None:
                recurring.answered(session, task.key)
                arrivals += self._start(session, task, task.asked_at, told, manual=True)
            elif todo is not None:
                for moment in moments:
                    arrivals += self._start(session, task, moment, told)
                self._note(session, task, todo, todo.runs[-1] if todo.runs else None, told)
        if asked is not None:
            self._asking.ask(asked)
        self._announce(task.key, arrivals, told)
        return True

    def _announce(self, key: str, arrivals: list[Arrival], told: list[tuple[str, dict[str, Any]]]) -> None:
        self.store.ring(arrivals)
        self._chores.take(self._begun)
        self._begun = []
        for event, data in told:
            emit(event, process=self.name, key=key, **data)

    def _todo(
        self, session: Session, task: RecurringTask, now: datetime, told: list[tuple[str, dict[str, Any]]]
    ) -> Plan | None:
        """What the schedule has due; None for a run that somebody asked for, and for a schedule that cannot be read."""
        if task.asked_at is not None:
            return None
        try:
            return plan(task, self._schedule(task), now)
        except ScheduleError as error:
            # Stored by another release, or this host lacks the time zone. It is looked at again when somebody changes it.
            recurring.planned(session, task.key, None, None, problem=str(error))
            told.append(("recurring_broken", {"problem": str(error)}))
            return None

    def _note(
        self,
        session: Session,
        task: RecurringTask,
        todo: Plan,
        last: datetime | None,
        told: list[tuple[str, dict[str, Any]]],
    ) -> None:
        """Move a task on, up to `last`, and say what was left out."""
        if todo.left_out:
            told.append(("recurring_missed", {"count": todo.left_out}))
        left = [moment for moment in todo.runs if last is not None and moment > last]
        if left:
            recurring.planned(session, task.key, left[0], due_at(task.settings, left[0]), last)
            return
        never = None if todo.next_run_at is not None else "its schedule has no moment any more"
        recurring.planned(session, task.key, todo.next_run_at, todo.due_at, last, never)

    def _overlaps(self, session: Session, task: RecurringTask) -> int | None:
        """The job of the run before, where that goes on and keeps a run of the schedule from being started."""
        if task.settings.overlap != "skip" or task.asked_at is not None:
            return None
        return recurring.unfinished(session, task.key)

    def _start(
        self,
        session: Session,
        task: RecurringTask,
        moment: datetime,
        told: list[tuple[str, dict[str, Any]]],
        manual: bool = False,
    ) -> list[Arrival]:
        """One run that needs no answer, unless somebody has started it already, or the last one goes on where that matters."""
        settings = task.settings
        running = None if manual else self._overlaps(session, task)
        if running is not None:
            message = f"job {running} of the run before had not ended"
            if recurring.record(session, task.key, moment, outcome="skipped", message=message):
                told.append(("recurring_skipped", {"run_at": moment, "message": message}))
            return []
        chore = settings.class_name in CHORES
        if not recurring.record(session, task.key, moment, manual=manual, outcome="running" if chore else None):
            return []
        if chore:
            self._begun.append(Chore(task.key, moment, settings.class_name, settings.arguments))
            return []
        job = job_of(settings, self._declared.of(settings.class_name) or {})
        return self._store(session, task.key, moment, job, told, manual).arrivals

    def _store(
        self,
        session: Session,
        key: str,
        moment: datetime,
        job: NewJob,
        told: list[tuple[str, dict[str, Any]]],
        manual: bool,
    ) -> Stored:
        stored = recurring.start(session, key, moment, job)
        note = stored.notes.get(0)
        if note in ("existing", "refused"):
            message = f"job {stored.ids[0]} has its unique key"
            told.append(("recurring_skipped", {"run_at": moment, "message": message}))
        else:
            facts = {"run_at": moment, "job_id": stored.ids[0], "class_name": job.class_name, "manual": manual}
            told.append(("recurring_enqueued", {**facts, "discarded": note == "discarded"}))
        return stored

    # runs that the application decides

    def _hear(self) -> None:
        """Hear what the application says, and do it."""
        for asked in self._asking.turn(self._enqueue_for_callback):
            if asked.held is not None:
                self._hold(asked, asked.held)
                continue
            try:
                self._conclude(asked)
            except LockNotAvailable:
                asked.job, asked.held = None, KEY_TAKEN
                self._hold(asked, KEY_TAKEN)
            except AWAY:
                raise
            except DatabaseError as error:
                # This job cannot be stored, and will not be at the next attempt either.
                asked.job, asked.why, asked.message = None, "failed", str(error)
                self._conclude(asked)

    def _conclude(self, asked: Asked) -> None:
        """Store the run as the application would have it, if the task is still ours and what it was."""
        key = asked.task.key
        told: list[tuple[str, dict[str, Any]]] = []
        stored: Stored | None = None
        with self.store.transaction() as session, session.waiting_at_most(KEY_WAIT):
            task = recurring.reserved(session, key, self.name)
            if task is None or not asked.fits(task):
                recurring.unreserve(session, self.name, key)
            else:
                if asked.todo is None:
                    recurring.answered(session, key)
                else:
                    self._note(session, task, asked.todo, asked.moment, told)
                stored = self._decided(session, asked, told)
        answer: dict[str, Any] = {"t": "refused", "message": "the run was not stored: its task was changed meanwhile"}
        if stored is not None:
            answer = {"t": "stored", "ids": stored.ids, "notes": [list(note) for note in stored.notes.items()]}
        self._asking.conclude(asked, answer)
        self._failures.pop(key, None)
        self._announce(key, stored.arrivals if stored is not None else [], told)

    def _decided(self, session: Session, asked: Asked, told: list[tuple[str, dict[str, Any]]]) -> Stored | None:
        key, moment, manual = asked.task.key, asked.moment, asked.todo is None
        outcome = {"aborted": "skipped", "failed": "failed"}.get(asked.why or "")
        message = asked.message if outcome is not None else None
        if not recurring.record(session, key, moment, manual=manual, outcome=outcome, message=message):
            return None
        if outcome is not None:
            event = "recurring_skipped" if outcome == "skipped" else "recurring_failed"
            told.append((event, {"run_at": moment, "message": asked.message}))
            return None
        job = asked.job
        if job is None:
            # Another host's application may know it, and else the job's own failure tells with near names.
            told.append(("recurring_unknown", {"class_name": asked.task.settings.class_name}))
            job = job_of(asked.task.settings, {})
        return self._store(session, key, moment, job, told, manual)

    def _hold(self, asked: Asked, why: str) -> None:
        """There was no answer: leave the run to whoever tries next, ourselves after a while."""
        key = asked.task.key
        with self.store.transaction(durable=False) as session:
            if recurring.reserved(session, key, self.name) is not None:
                recurring.hold(session, key, why)
        self._asking.conclude(asked, None)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        seconds = min(LONGEST_HOLD, 2.0 ** min(failures - 1, 10))
        self._later[key] = time.monotonic() + seconds
        emit("recurring_held", process=self.name, key=key, run_at=asked.moment, reason=why, seconds=seconds)

    def _enqueue_for_callback(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        """Store the jobs that a callback enqueues, as a worker would for a job of its."""
        opened = [NewBatch(**batch) for batch in frame.get("batches") or ()]
        try:
            stored = self.store.submit([new_job(job) for job in frame["jobs"]], opened)
        except BatchFinished as error:
            return {"t": "refused", "message": str(error), "error": "BatchFinished"}
        except DatabaseError as error:
            return {"t": "refused", "message": str(error)}
        return {
            "t": "stored",
            "ids": stored.ids,
            "notes": [list(note) for note in stored.notes.items()],
            "batches": [list(opened) for opened in stored.batches.items()],
        }

    def _schedule(self, task: RecurringTask) -> Schedule:
        written = (task.settings.schedule, task.settings.timezone)
        if written not in self._schedules:
            if len(self._schedules) >= MOST_SCHEDULES:
                self._schedules.clear()
            self._schedules[written] = schedule_of(task.settings)
        return self._schedules[written]

    # what the application says

    def _awaits_application(self, task: RecurringTask) -> bool:
        """Whether it cannot be known yet what the job is: the application says so, and is not loaded.

        A host without an application never knows, and goes by the defaults.
        """
        return self.settings.app is not None and task.settings.class_name not in CHORES and not self._declared.known

    def _wait_for_application(self, session: Session, task: RecurringTask) -> None:
        if task.held is None:
            recurring.hold(session, task.key, NOT_LOADED)
        self._fresh.add(task.key)
        self._later[task.key] = time.monotonic() + AWAITED

    def _tell_waiting(self) -> None:
        if self._fresh - self._waiting:
            emit("recurring_waiting", process=self.name, keys=sorted(self._fresh - self._waiting))
        self._waiting |= self._fresh
        self._fresh = set()

    def _application_decides(self, task: RecurringTask) -> bool:
        """Whether the application has to be asked: it knows more of the job than where it goes, or does not list it."""
        if self.settings.app is None or task.settings.class_name in CHORES:
            return False
        declared = self._declared.of(task.settings.class_name)
        return declared is None or bool(declared.get("asks"))

    def _busy(self) -> set[str]:
        """The tasks to leave alone for now."""
        if self._waiting and self._declared.known:
            self._later = {key: until for key, until in self._later.items() if key not in self._waiting}
            self._waiting = set()
        now = time.monotonic()
        self._later = {key: until for key, until in self._later.items() if until > now}
        return self._asking.keys | set(self._later)

    def _next_due(self, passed: Collection[str]) -> float | None:
        with self.store.reading() as session:
            return recurring.next_due(session, self.owner, self.scheduler.dynamic_tasks_enabled, passed)

    # housekeeping

    def _tidy(self) -> None:
        now = time.monotonic()
        if now < self._tidy_at:
            return
        self._tidy_at = now + TIDY_EVERY
        keep = self.settings.retention
        with self.store.transaction(durable=False) as session:
            recurring.seen(session, self.owner)
            recurring.settle(session)
            recurring.abandon(session, LONGEST_CHORE)
            recurring.prune(session, RUNS_AT_MOST if keep.finished is None else keep.finished, keep.batch_size)


def owner_of(settings: Settings) -> str:
    """Who lists the tasks of a file: the host, the file and the environment. Supervisors that share all three are one owner."""
    return _owner(settings, settings.recurring_path or settings.source)


def forsaken(settings: Settings) -> str | None:
    """The owner of the usual file of tasks where that is not there: one that was deleted lists nothing. None where one is read."""
    if settings.recurring_path is not None or not settings.source:
        return None
    return _owner(settings, os.path.join(os.path.dirname(settings.source), USUAL_TASKS))


def _owner(settings: Settings, file: str) -> str:
    return f"{hostname()}:{file}#{settings.environment}"
