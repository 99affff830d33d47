"""Scheduler: enqueues recurring tasks when their moments come. Any number of them, on any hosts, start each run once.

It keeps no plan of its own: the database holds each task with its next moment, by the database's clock. A turn takes the
tasks that are due one by one, each in a transaction that claims the moment, stores the job, and moves the task on. Killed
within it, nothing has happened, and the next scheduler that looks does it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, ClassVar

from queued.domain.jobs import Arrival
from queued.domain.recurring import CHORES, Plan, RecurringTask, job_of, plan, schedule_of
from queued.domain.schedule import Schedule, ScheduleError
from queued.domain.settings import SchedulerSettings, Settings
from queued.processes.chores import Chore, Chores
from queued.processes.declared import Declared
from queued.processes.identity import hostname
from queued.processes.role import Role
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
        self._waiting: set[str] = set()
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
        # One statement while nothing is due: on a quiet host that is all that a scheduler asks.
        due = self._next_due(())
        if due is not None and due <= 0:
            passed: set[str] = set()
            for _ in range(MOST_IN_A_TURN):
                if self.wakeup.stopping or not self._look_at_one(passed):
                    break
            else:
                return 0.0
            self._tell_waiting(passed)
            due = self._next_due(passed)
        self._tidy()
        self.outage.succeeded()
        longest = self.scheduler.polling_interval
        return longest if due is None else max(0.001, min(longest, due))

    def wait(self, seconds: float) -> bool:
        if self._bell is not None and self._bell.rung and not self.outage.going_on:
            return True
        descriptor = self._bell.fileno() if self._bell is not None else None
        return bool(self.wakeup.wait(seconds, () if descriptor is None else (descriptor,)))

    def drain(self) -> None:
        deadline = time.monotonic() + self.settings.shutdown_timeout
        self._chores.stop()
        while self._chores.busy and time.monotonic() < deadline and not self.wakeup.immediate:
            self.tend()
            self.wakeup.wait(0.05)

    def abandon(self) -> None:
        self._chores.stop()

    # the file

    def _sync(self) -> None:
        with self.store.transaction() as session:
            synced = recurring.sync(session, self.owner, self.settings.recurring)
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
        self._begun = []
        with self.store.transaction() as session:
            found = recurring.due(session, self.owner, self.scheduler.dynamic_tasks_enabled, passed)
            if found is None:
                return False
            task, now = found
            if self._awaits_application(task):
                passed.add(task.key)
                return True
            if task.asked_at is not None:
                recurring.answered(session, task.key)
                arrivals += self._start(session, task, task.asked_at, told, manual=True)
            else:
                arrivals += self._move_on(session, task, now, told)
        self.store.ring(arrivals)
        self._chores.take(self._begun)
        for event, data in told:
            emit(event, process=self.name, key=task.key, **data)
        return True

    def _move_on(
        self, session: Session, task: RecurringTask, now: datetime, told: list[tuple[str, dict[str, Any]]]
    ) -> list[Arrival]:
        try:
            todo = plan(task, self._schedule(task), now)
        except ScheduleError as error:
            # Stored by another release, or this host lacks the time zone. It is looked at again when somebody changes it.
            recurring.planned(session, task.key, None, None, problem=str(error))
            told.append(("recurring_broken", {"problem": str(error)}))
            return []
        arrivals: list[Arrival] = []
        for moment in todo.runs:
            arrivals += self._start(session, task, moment, told)
        if todo.left_out:
            told.append(("recurring_missed", {"count": todo.left_out}))
        self._note(session, task, todo)
        return arrivals

    def _note(self, session: Session, task: RecurringTask, todo: Plan) -> None:
        never = None if todo.next_run_at is not None else "its schedule has no moment any more"
        last = todo.runs[-1] if todo.runs else None
        recurring.planned(session, task.key, todo.next_run_at, todo.due_at, last, never)

    def _start(
        self,
        session: Session,
        task: RecurringTask,
        moment: datetime,
        told: list[tuple[str, dict[str, Any]]],
        manual: bool = False,
    ) -> list[Arrival]:
        """One run, unless somebody has started it already, or the last one goes on where that matters."""
        settings = task.settings
        running = None
        if settings.overlap == "skip" and not manual:
            running = recurring.unfinished(session, task.key)
        if running is not None:
            message = f"job {running} of the run before had not ended"
            if recurring.record(session, task.key, moment, outcome="skipped", message=message):
                told.append(("recurring_skipped", {"run_at": moment, "job_id": running}))
            return []
        chore = settings.class_name in CHORES
        if not recurring.record(session, task.key, moment, manual=manual, outcome="running" if chore else None):
            return []
        if chore:
            self._begun.append(Chore(task.key, moment, settings.class_name, settings.arguments))
            return []
        job = job_of(settings, self._declared.of(settings.class_name) or {})
        job_id, arrivals = recurring.start(session, task.key, moment, job)
        told.append(
            ("recurring_enqueued", {"run_at": moment, "job_id": job_id, "class_name": job.class_name, "manual": manual})
        )
        return arrivals

    def _schedule(self, task: RecurringTask) -> Schedule:
        written = (task.settings.schedule, task.settings.timezone)
        if written not in self._schedules:
            if len(self._schedules) >= MOST_SCHEDULES:
                self._schedules.clear()
            self._schedules[written] = schedule_of(task.settings)
        return self._schedules[written]

    # what the application says

    def _awaits_application(self, task: RecurringTask) -> bool:
        """Whether it cannot be known yet where the job belongs: the application says so, and is not loaded.

        A host without an application never knows, and goes by the defaults.
        """
        if self.settings.app is None or not self.settings.workers or task.settings.queue is not None:
            return False
        return not self._declared.known

    def _next_due(self, passed: Collection[str]) -> float | None:
        with self.store.reading() as session:
            return recurring.next_due(session, self.owner, self.scheduler.dynamic_tasks_enabled, passed)

    def _tell_waiting(self, passed: set[str]) -> None:
        if passed - self._waiting:
            emit("recurring_waiting", process=self.name, keys=sorted(passed - self._waiting))
        self._waiting = passed

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
    return f"{hostname()}:{settings.recurring_path or settings.source}#{settings.environment}"
