"""Worker: claims jobs, hands them to a runner in the application's interpreter, and stores how they ended.

One thread, one connection. A turn reads what the runners say, looks after what runs, tells the database, and claims as
much as can be run soon. While the database is away jobs go on and their outcomes are kept.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, ClassVar

from queued.domain.batches import NewBatch
from queued.domain.errors import DatabaseError
from queued.domain.jobs import (
    CUTS,
    EXPIRING,
    OUTCOME_KINDS,
    UNTIL_START,
    Arrival,
    ClaimedJob,
    Failure,
    NewJob,
    OutcomeKind,
)
from queued.domain.lanes import Lanes
from queued.domain.limits import Limit
from queued.domain.pace import Pace
from queued.domain.queues import Selector
from queued.domain.rates import Rate
from queued.domain.settings import Settings, WorkerSettings
from queued.domain.unique import Unique
from queued.processes import slots
from queued.processes.checkpoints import Save, checkpoint_of
from queued.processes.identity import hostname
from queued.processes.outage import AWAY
from queued.processes.outbox import Ended, Outbox, Request
from queued.processes.role import Role
from queued.processes.runner_process import RunnerGone
from queued.processes.slots import Slot
from queued.processes.station import PATIENCE, Delivery, Key, Station
from queued.storage import claimed, expiries, queues, ready, unique
from queued.storage.claimed import CRASH_POLICY, NEIGHBOUR_POLICY
from queued.storage.sql import Dialect
from queued.storage.store import Bell
from queued.telemetry import emit, wanted

#: Most jobs that run alone at once because their process crashed before.
MOST_ALONE = 3
#: Seconds after a wake at which to look again: a producer rings at most once in 5 ms, and a late commit rings early.
LOOK_AGAIN = (0.006, 0.03)
#: The longest rest, in seconds, of an idle worker that is told of new jobs: PostgreSQL tells of every commit, SQLite's bell
#: not of those in an application's own transaction.
LONGEST_REST: dict[Dialect, float] = {"postgresql": 5.0, "sqlite": 0.5}
#: How often, in seconds, running jobs are looked at: for time-outs, for jobs that wait too long, for cancellations.
WATCH, GLANCE, ASK = 0.02, 0.25, 5.0
#: Seconds after an outage in which a claim whose answer was lost may still commit (a statement ends after 20 s), and how
#: often to look for such claims meanwhile.
DOUBT, DOUBT_EVERY = 30.0, 1.0
#: Seconds until the next attempt to send what a runner's socket had no room for.
UNSENT = 0.001
#: A process's leases are its id and a count of so many bits: at 40 000 jobs a second they last for ten months.
LEASE_BITS = 40
#: Queues of which it is remembered whether nothing is left of their jobs.
QUEUES = 1000
#: Seconds that a runner may take to end in order.
LEAVE = 1.0
#: The first and the last second of the calendar, since 1970.
FIRST, LAST = -62135596800.0, 253402300799.0
#: What is remembered of an attempt that was cut short, and is no failure.
INTERRUPTED = Failure("queued.JobInterrupted", "its worker stopped, and it ended when told to")
KILLED = Failure("queued.JobInterrupted", "its worker stopped, and it was killed because it did not end when told to")
#: A job that has run this many seconds is marked as started in the database.
LASTS = 0.5


class Worker(Role):
    """Runs the jobs of some queues."""

    kind: ClassVar[str] = "Worker"

    def __init__(
        self,
        name: str,
        settings: Settings,
        worker: WorkerSettings,
        application_path: str,
        supervisor: str | None = None,
    ) -> None:
        super().__init__(name, settings, supervisor)
        self.worker = worker
        self.capacity = worker.tasks or worker.threads
        self._application_path = application_path
        self._slots = [os.path.join(settings.runtime_directory, f"{name}-{n}.slots") for n in range(1 + MOST_ALONE)]
        #: Without an application it can run programs alone; whoever has one finds the other jobs where they were.
        self._programs = settings.app is None
        self._untold = os.path.join(settings.runtime_directory, f"{name}-untold.slots")
        self._lanes = Lanes(Selector.parse(worker.queues))
        self._pace = Pace()
        self._main: Station | None = None
        self._alone: list[Station | None] = [None] * MOST_ALONE
        self._waiting_alone: deque[tuple[ClaimedJob, float]] = deque()
        self._bell: Bell | None = None
        self._outbox: Outbox
        self._leases = 0
        self._noted: set[str] = set()
        self._unnoted: set[str] = set()
        self._hungry = True
        self._looks: deque[float] = deque()
        self._idle_rest = worker.polling_interval
        self._poll_at = 0.0
        self._glance_at = 0.0
        self._mark_at = 0.0
        self._ask_at = 0.0
        self._open_at = 0.0
        self._open_failures = 0
        self._absent = 0
        self._watch_at = 0.0
        self._retry_at = 0.0
        self._crashed: deque[tuple[Delivery, str]] = deque()
        self._doubt_until = float("-inf")
        self._compare_at = float("-inf")

    # Role

    def metadata(self) -> Mapping[str, Any]:
        pool = {"tasks": self.worker.tasks} if self.worker.tasks else {"threads": self.worker.threads}
        return {
            "queues": ",".join(self.worker.queues),
            **pool,
            "polling_interval": self.worker.polling_interval,
            **({"runs": "programs only"} if self._programs else {}),
            **(
                {"delete_finished": ",".join(deleting)} if (deleting := self.settings.retention.delete_finished) else {}
            ),
            "slots": [*self._slots, self._untold],
        }

    def gauges(self) -> Mapping[str, Any]:
        """A runner is kept supplied: while more jobs are in its hands than it has threads, all of them are busy."""
        alone = [station for station in self._alone if station is not None]
        busy = sum(min(len(station.deliveries), station.capacity) for station in self._stations())
        threads = self.capacity + sum(station.capacity for station in alone)
        return {"queues": ",".join(self.worker.queues), "threads": threads, "busy": busy}

    def ready(self) -> None:
        if self.settings.database.wake:
            self._bell = self.store.listen(["ready", "control"])
        deleting = self.settings.retention.delete_finished
        self._outbox = Outbox(
            self.store,
            claimed.Worker(hostname(), self.name),
            self._announce,
            lru_cache(QUEUES)(Selector.parse(deleting).serves) if deleting else None,
        )
        self._ask_at = time.monotonic() + ASK

    def poll(self) -> float:
        now = time.monotonic()
        self._hear(now)
        self._read_runners(now)
        self._watch(now)
        self._open_stations(now)
        if now >= self._retry_at:
            try:
                if self.outage.going_on:
                    self._ask_for_an_answer()
                self._tell_and_claim(now)
                self.outage.succeeded()
            except AWAY as error:
                self._retry_at = now + self.outage.failed(error)
                self._doubt_until = self._retry_at + DOUBT
            # A message that came with a statement's answer has been read: the connection does not tell of it any more.
            self._listen(time.monotonic())
        return self._rest(time.monotonic())

    def _ask_for_an_answer(self) -> None:
        """A turn may need nothing of the database; only an answer ends an outage."""
        with self.store.reading() as session:
            queues.paused(session)

    def wait(self, seconds: float) -> bool:
        if self._bell is not None and self._bell.rung and not self.outage.going_on:
            return True
        others = [descriptor for station in self._stations() for descriptor in station.descriptors()]
        bell = self._bell.fileno() if self._bell is not None else None
        if bell is not None and not self.outage.going_on:
            others.append(bell)
        return bool(self.wakeup.wait(seconds, others))

    # what arrives

    def _hear(self, now: float) -> None:
        if now >= self._poll_at and not self.outage.going_on:
            self._hungry = self._hungry or self._has_moved()
        if self._looks and now >= self._looks[0]:
            self._looks.popleft()
            self._hungry = True
        self._listen(now)

    def _listen(self, now: float) -> None:
        if self._bell is None or self.outage.going_on:
            return
        try:
            messages = self._bell.drain()
        except AWAY as error:
            self._retry_at = now + self.outage.failed(error)
            return
        for channel, text in messages:
            if channel == "control":
                self._obey(text)
                continue
            arrival = Arrival.decode(text)
            if arrival is None or self._lanes.arrived(arrival):
                self._hungry = True
                self._looks = deque(now + delay for delay in LOOK_AGAIN)
                self._idle_rest = self.worker.polling_interval

    def _has_moved(self) -> bool:
        try:
            return self.store.moved()
        except AWAY:
            return True  # the claim will meet the same, and deals with it

    def _announce(self, arrivals: Sequence[Arrival]) -> None:
        """Tell everybody of new work, ourselves too: nobody hears the bell that he rings."""
        self.store.ring(arrivals)
        for arrival in arrivals:
            if arrival.seq and self._lanes.arrived(arrival):
                self._hungry = True

    def _obey(self, text: str) -> None:
        verb, _, subject = text.partition(" ")
        if verb == "cancel" and subject.isdigit():
            self._cancel(int(subject))
        elif verb in {"pause", "resume"}:
            self._lanes.forget(subject)
            self._hungry = True
            if verb == "pause" and self._main is not None:
                self._main.recall()

    def _cancel(self, job_id: int) -> None:
        for station in self._stations():
            station.want_cancel(job_id)

    def _stations(self) -> list[Station]:
        return [station for station in (self._main, *self._alone) if station is not None]

    def _read_runners(self, now: float) -> None:
        for station in self._stations():
            try:
                for frame in station.receive():
                    self._take(station, frame, now)
            except RunnerGone:
                if station.leaving_since is not None and station.idle:
                    self._close(station)
                else:
                    self._runner_died(station, now)

    def _take(self, station: Station, frame: Mapping[str, Any], now: float) -> None:
        kind = frame.get("t")
        if kind == "done":
            for job_id, lease, start, end in frame["o"]:
                self._ended(station, (job_id, lease), start, end)
        elif kind == "out":
            for outcome in frame["o"]:
                self._ended(station, (outcome["id"], outcome["lease"]), outcome["start"], outcome["end"], outcome)
        elif kind == "log":
            emit(
                "job_output",
                job_id=frame.get("id"),
                stream=frame.get("stream"),
                level=frame.get("level"),
                logger=frame.get("logger"),
                line=frame.get("line"),
                process=self.name,
                **station.about(frame.get("id")),
            )
        elif kind == "enqueue":
            opened = tuple(NewBatch(**batch) for batch in frame.get("batches") or ())
            self._outbox.request(Request(frame["r"], tuple(new_job(job) for job in frame["jobs"]), station, opened))
        elif kind == "checkpoint":
            self._moved(station, frame)
        elif kind == "recalled":
            station.recalled()
            for job_id, lease in frame["jobs"]:
                delivery = station.settle((job_id, lease))
                if delivery is not None:
                    self._give_back(delivery, now)

    def _ended(
        self, station: Station, key: Key, start: float, end: float, outcome: Mapping[str, Any] | None = None
    ) -> None:
        """An attempt has ended; without an outcome it is done, and there is no more to say."""
        delivery = station.settle(key)
        if delivery is None:
            return  # its fate was settled before: killed, or called back
        duration = max(0.0, end - start)
        self._pace.observe(duration)
        waited = max(0.0, delivery.job.waited + start - delivery.sent_at)
        if outcome is None:
            self._outbox.add(Ended(delivery.job, "done", end, duration, waited=waited))
        else:
            self._outbox.add(ended(delivery.job, outcome, duration, waited))

    def _moved(self, station: Station, frame: Mapping[str, Any]) -> None:
        key = (frame["id"], frame["lease"])
        checkpoint = checkpoint_of(frame, frame["state"])
        if key in station.deliveries and checkpoint is not None:  # else its fate is settled, and nobody waits
            self._outbox.checkpoints.put(checkpoint, Save(frame["r"], key, station) if "r" in frame else None)

    def _give_back(self, delivery: Delivery, now: float) -> None:
        kind: OutcomeKind = "cancelled" if delivery.cancel_wanted else "released"
        self._outbox.add(Ended(delivery.job, kind, now))

    # what runs

    def _watch(self, now: float) -> None:
        stations = self._stations()
        glance = now >= self._glance_at
        if glance:
            self._glance_at = now + GLANCE
        elif now < self._watch_at:
            return
        self._watch_at = now + WATCH
        for station in stations:
            if station.leaving_since is not None and now - station.leaving_since > LEAVE:
                self._kill(station, now)
            if station.idle or not (glance or station.watched):
                continue
            station.look(now)
            for delivery, reason in station.due_for_interrupt(now):
                emit(
                    "job_interrupted",
                    job_id=delivery.job.id,
                    class_name=delivery.job.class_name,
                    reason=reason,
                    process=self.name,
                )
                station.interrupt(delivery, reason, now)
            if station.unheeded(now, self.settings.interrupt_grace):
                self._kill(station, now)
            elif glance and station.recall_stale(now):
                self._pace.reset()
        while self._waiting_alone and now - self._waiting_alone[0][1] > PATIENCE:
            job, since = self._waiting_alone.popleft()
            self._give_back(Delivery(job, since, None), now)

    def _kill(self, station: Station, now: float) -> None:
        """A job did not heed its interruption: its runner is killed; the others in it go back without blame."""
        told = [delivery.job.id for delivery in station.deliveries.values() if delivery.reason is not None]
        for frame in station.kill():
            self._take(station, frame, now)
        verdict = station.verdict()
        # One that has just ended after all is the cause all the same.
        guilty = [delivery.job.id for delivery in verdict.running if delivery.reason is not None] or told
        beside = [delivery.job.id for delivery in verdict.running if delivery.reason is None]
        for delivery in verdict.running:
            self._outbox.add(killed(delivery, now) if delivery.reason is not None else cut_short(delivery, guilty, now))
        for delivery in verdict.waiting:
            self._give_back(delivery, now)
        emit("runner_killed", pid=station.runner.pid, jobs=guilty, beside=beside, process=self.name)
        self._close(station)

    def _runner_died(self, station: Station, now: float) -> None:
        """The runner is gone. What ran in it crashed; with several suspects each is run again alone."""
        verdict = station.verdict()
        reason = f"the process that ran it died: {verdict.exit.describe()}"
        if len(verdict.running) > 1:
            others = len(verdict.running) - 1
            reason += f", with {others} other{'s' if others > 1 else ''} running in it; each will be run again alone"
        emit(
            "runner_died",
            pid=station.runner.pid,
            reason=verdict.exit.describe(),
            jobs=[delivery.job.id for delivery in verdict.running],
            process=self.name,
        )
        self._close(station)
        # A death in a job costs that job an attempt, and so comes to an end: a new runner at once, for the others' sake. Deaths
        # without one may go on for ever, and wait longer each time after the first.
        self._open_failures = 0 if verdict.running else self._open_failures + 1
        self._open_at = now + (0.0 if self._open_failures <= 1 else min(5.0, 0.1 * 2.0 ** min(self._open_failures, 6)))
        for delivery in verdict.waiting:
            self._give_back(delivery, now)
        for delivery in verdict.running:
            if delivery.reason is not None:
                self._outbox.add(killed(delivery, now))
            else:
                self._crashed.append((delivery, reason))

    def _close(self, station: Station) -> None:
        self._outbox.drop_requests(station)
        station.close()
        if station is self._main:
            self._main = None
        else:
            self._alone = [None if other is station else other for other in self._alone]

    # runners

    def _open_stations(self, now: float) -> None:
        if now < self._open_at:
            return
        if self._main is None:
            self._main = self._open(self._slots[0], self.worker.threads, self.worker.tasks, alone=False)
            if self._main is None:
                return
            self._hungry = True
        for n, station in enumerate(self._alone):
            free = station is not None and station.idle and station.leaving_since is None
            if station is not None and free and not self._waiting_alone:
                station.leave(now)
            elif self._waiting_alone and (free or (station is None and now >= self._open_at)):
                fresh = station or self._open(self._slots[1 + n], 1, 0, alone=True)
                if fresh is not None:
                    self._alone[n] = fresh
                    self._deliver(fresh, [self._waiting_alone.popleft()[0]], now)

    def _open(self, slots: str, threads: int, tasks: int, *, alone: bool) -> Station | None:
        """A new runner, or None while the application is not loaded: then look again shortly."""
        now = time.monotonic()
        try:
            path = os.readlink(self._application_path)
            station = Station.open(path, self.name, slots, threads, tasks, alone=alone)
        except (OSError, RunnerGone) as error:
            self._absent += 1
            # A fork server that hangs holds up all else for as long as it is waited for: no more than half of the time.
            ended = time.monotonic()
            self._open_at = ended + max(ended - now, min(1.0, 0.05 * self._absent))
            emit("runner_not_started", process=self.name, error=str(error))
            return None
        self._absent = 0
        emit("runner_started", pid=station.runner.pid, process=self.name, alone=alone)
        return station

    # the database

    def _tell_and_claim(self, now: float) -> None:
        """Jobs are claimed first, and delivered while the server stores what has ended."""
        self._store_crashes()
        if now >= self._mark_at:
            self._mark_at = now + GLANCE
            self._mark_started(now)
        if now >= self._ask_at:
            self._ask_at = now + ASK
            self._ask_for_cancellations()
        if self._compare_at <= now < self._doubt_until:
            self._return_unknown()
            self._compare_at = now + DOUBT_EVERY
        rest = self._outbox.rest(now)
        due = rest is not None and (rest <= 0 or all(station.idle for station in self._stations()))
        try:
            found = self._claim(now) if self._hungry and self._main is not None else []
        except AWAY:
            if due:  # what has ended must not wait for claims to succeed
                self._outbox.flush()
            raise
        if due:
            self._outbox.flush(meanwhile=(lambda: self._hand_out(found)) if found else None)
            self._open_failures = 0
        elif found:
            self._hand_out(found)
        if found:
            self._open_stations(now)
        if self._unnoted:
            self._note(self._unnoted)
            self._unnoted = set()

    def _return_unknown(self) -> None:
        """Give back what the database says is ours and we know nothing of: the answer to its claim was lost on the way."""
        with self.store.reading() as session:
            held = claimed.held(session, self.process_id)
        known = {key for station in self._stations() for key in station.deliveries} | self._outbox.keys()
        known |= {(job.id, job.lease) for job, _ in self._waiting_alone}
        known |= {(delivery.job.id, delivery.job.lease) for delivery, _ in self._crashed}
        unknown = sorted(held - known)
        if not unknown:
            return
        arrivals: list[Arrival] = []
        with self.store.transaction() as session:
            released = claimed.release(session, unknown, arrivals)
        self._announce(arrivals)
        if released:
            emit("jobs_released", ids=sorted(released), why="the answer to their claim was lost", process=self.name)

    def _store_crashes(self) -> None:
        if not self._crashed:
            return
        self._outbox.checkpoints.store()
        worker = claimed.Worker(hostname(), self.name)
        while self._crashed:
            delivery, reason = self._crashed[0]
            job = delivery.job
            with self.store.transaction() as session:
                recovered = claimed.crash(session, [(job.id, job.lease)], reason, self.settings.crash_limit, worker)
            self._crashed.popleft()
            self._announce(recovered.arrivals)
            emit(
                "job_crashed",
                job_id=job.id,
                class_name=job.class_name,
                reason=reason,
                attempt=job.attempt,
                final=bool(recovered.failed),
                process=self.name,
            )
            self._hungry = True

    def _mark_started(self, now: float) -> None:
        lasting = [
            delivery
            for station in self._stations()
            for delivery in station.deliveries.values()
            if not delivery.marked and delivery.started_at is not None and now - delivery.started_at >= LASTS
        ]
        if not lasting:
            return
        with self.store.transaction(durable=False) as session:
            claimed.mark_started(session, [(d.job.id, d.job.lease, now - (d.started_at or now)) for d in lasting])
        for delivery in lasting:
            delivery.marked = True

    def _ask_for_cancellations(self) -> None:
        """The control channel tells at once; this is for the message that was lost."""
        if all(station.idle for station in self._stations()):
            return
        with self.store.reading() as session:
            wanted = claimed.cancellations(session, self.process_id)
        for job_id, _ in wanted:
            self._cancel(job_id)

    def _claim(self, now: float) -> list[ClaimedJob]:
        """Jobs that are ours now, and may start. Whoever calls this hands them out, whatever else happens."""
        held = sum(len(station.deliveries) for station in self._stations()) + len(self._waiting_alone)
        allowance = self.capacity + self._pace.allowance(self.capacity)
        # Claims are made in bulk: when a slot is free, or when half of what may wait is used up.
        if held >= self.capacity and held > allowance / 2:
            return []
        limit = allowance - held
        if limit <= 0:
            return []
        searched = self._lanes.search_overdue(now)
        if searched:
            self._search(now)
        taken = self._take_ready(limit, self.capacity - held)
        count, admitted = len(taken), self._admit(taken, now)
        if not self._hungry and not searched and self._lanes.search_due(now):
            # Handed out at once: a search that fails must not cost jobs that are ours already.
            self._hand_out(admitted)
            self._open_stations(now)
            self._search(now)
            taken = self._take_ready(limit - count, self.capacity - held - count)
            count, admitted = count + len(taken), self._admit(taken, now)
        if count:
            self._idle_rest = self.worker.polling_interval
        return admitted

    def _hand_out(self, found: list[ClaimedJob]) -> None:
        """Give claimed jobs to the runner, and those that are to run alone a place in the queue for that."""
        assert self._main is not None
        now = time.monotonic()
        self._waiting_alone.extend((job, now) for job in found if alone(job))
        self._deliver(self._main, [job for job in found if not alone(job)], now)

    def _admit(self, found: list[ClaimedJob], now: float) -> list[ClaimedJob]:
        """The jobs that may start: not those whose time is over. Jobs that are unique until they start free their keys."""
        starting = [job.id for job in found if job.ties & (UNTIL_START | EXPIRING)]
        if not starting:
            return found
        lapsed: set[int] = set()
        refusal: DatabaseError | None = None
        try:
            with self.store.transaction() as session:
                # Not the key of one that expires and is unique until its end.
                unique.started(session, [job.id for job in found if job.ties & UNTIL_START])
                lapsed = expiries.start(session, starting)
        except DatabaseError as error:
            # None of these may start without it; they go back, as soon as that can be said.
            refusal = error
        admitted = []
        failure = Failure(expiries.EXPIRED, expiries.WHY_EXPIRED)
        for job in found:
            if refusal is not None and job.ties & (UNTIL_START | EXPIRING):
                self._outbox.add(Ended(job, "released", now))
            elif job.id in lapsed:
                self._outbox.add(Ended(job, "discarded", now, failure=failure))
            else:
                admitted.append(job)
        if refusal is not None:
            self.outage.failed(refusal)
        return admitted

    def _deliver(self, station: Station, jobs: list[ClaimedJob], now: float) -> None:
        for job in station.deliver(jobs, now):
            failure = Failure(
                "queued.JobTooLarge", "its arguments are too large to be handed to the process that runs jobs"
            )
            self._outbox.add(Ended(job, "failed", now, failure=failure))

    def _search(self, now: float) -> None:
        started = time.monotonic()
        with self.store.reading() as session:
            found = ready.lanes(session)
        self._lanes.searched(found, now, time.monotonic() - started)
        self._note({lane.queue for lane in found})

    def _note(self, seen: set[str]) -> None:
        """Enter queues in the registry, each once: a queue that is empty again is known by that alone."""
        unknown = seen - self._noted
        if unknown:
            with self.store.transaction(durable=False) as session:
                queues.note(session, unknown)
            self._noted |= unknown

    def _take_ready(self, limit: int, starting: int = 0) -> list[ClaimedJob]:
        """Claim jobs, of which so many start at once. Hungry afterwards if there may be more."""
        marks = self._lanes.marks()
        if not marks or limit <= 0:
            self._hungry = False
            return []
        lease = (self.process_id << LEASE_BITS) + self._leases
        self._leases += limit  # also when the claim fails: it may have been made all the same
        # Not durable: a claim that a power cut undoes leaves its jobs ready, and whatever was stored after it is undone too.
        began = time.monotonic()
        with self.store.statement(durable=False) as session:
            found, taken, left = ready.claim(session, marks, limit, self.process_id, lease, self._programs, starting)
        if wanted("polled"):
            emit("polled", count=len(found), seconds=time.monotonic() - began, process=self.name)
        self._pace.claimed(limit, len(found), sum(job.weight for job in found))
        self._lanes.taken(taken)
        self._unnoted |= {lane.queue for lane in taken} - self._noted
        self._hungry = len(found) >= limit
        if left:
            self._announce(left)
        return found

    def _rest(self, now: float) -> float:
        """Seconds until the next turn, if nothing happens before."""
        rest = self._outbox.rest(now)
        times = [now + GLANCE if any(not s.idle for s in self._stations()) else now + LONGEST_REST[self.store.dialect]]
        if any(station.watched for station in self._stations()):
            times.append(now + WATCH)
        if any(station.runner.pending_bytes for station in self._stations()):
            times.append(now + UNSENT)
        if rest is not None:
            times.append(max(now + rest, self._retry_at))
        if self._looks:
            times.append(self._looks[0])
        if self._main is None or self._waiting_alone:
            times.append(max(self._open_at, now + 0.01))
        if self._crashed:
            times.append(self._retry_at)
        if now < self._doubt_until:
            times.append(max(self._compare_at, self._retry_at))
        if self._hungry and not self.outage.going_on and self._has_room():
            return max(0.0, self._retry_at - now)
        if not self._hungry or now >= self._poll_at:
            if now >= self._poll_at:
                self._poll_at = now + self._idle_rest
                if self._bell is not None and self._bell.fileno() is not None:
                    longest = max(self.worker.polling_interval, LONGEST_REST[self.store.dialect])
                    self._idle_rest = min(longest, self._idle_rest * 2)
            times.append(self._poll_at)
        return max(0.0, min(times) - now)

    def _has_room(self) -> bool:
        if self._main is None:
            return False
        held = sum(len(station.deliveries) for station in self._stations()) + len(self._waiting_alone)
        return held < self.capacity

    # the end

    def drain(self) -> None:
        """Finish what runs within `shutdown_timeout`; what has not started goes back, and what does not end too."""
        started = time.monotonic()
        for station in self._stations():
            station.drain()
            station.recall()
        self._hand_back_waiting(started)
        self._finish_until(started + self.settings.shutdown_timeout)
        now = time.monotonic()
        for station in self._stations():
            station.look(now)
            for delivery in list(station.deliveries.values()):
                if delivery.reason is None:
                    station.interrupt(delivery, "stop", now)
        self._finish_until(now + min(self.settings.interrupt_grace, 1.0))
        for station in self._stations():
            if not station.idle:
                self._kill(station, time.monotonic())
        self._tell_until(time.monotonic() + self.settings.shutdown_timeout)
        self._leave_runners(time.monotonic())

    def abandon(self) -> None:
        """End what runs at once and give it back."""
        now = time.monotonic()
        self._hand_back_waiting(now)
        for station in self._stations():
            station.look(now)
            for delivery in station.deliveries.values():
                delivery.reason = delivery.reason or "stop"
            self._kill(station, now)
        self._tell_until(now + 2.0)

    def _leave_runners(self, now: float) -> None:
        """Let the runners end in order, with their exit hooks."""
        for station in self._stations():
            station.leave(now)
        while self._stations() and time.monotonic() - now < LEAVE and not self.wakeup.immediate:
            self.tend()
            self._read_runners(time.monotonic())
            if self._stations():
                self.wait(0.05)

    def disowned(self) -> None:
        self._read_runners(time.monotonic())
        try:
            self._outbox.flush()
        except DatabaseError:
            pass  # it would have been refused; whoever was given the jobs tells how they end

    def _hand_back_waiting(self, now: float) -> None:
        while self._waiting_alone:
            job, since = self._waiting_alone.popleft()
            self._give_back(Delivery(job, since, None), now)

    def _finish_until(self, deadline: float) -> None:
        while any(not station.idle for station in self._stations()) and not self.wakeup.immediate:
            now = time.monotonic()
            if now >= deadline:
                return
            self.tend()
            self._hear(now)
            self._read_runners(now)
            self._watch(now)
            self._tell(now)
            self.wait(min(0.05, deadline - now))

    def _tell_until(self, deadline: float) -> None:
        """Store what is left to tell. What cannot be told in time stays claimed, and is settled by whoever finds us gone."""
        while len(self._outbox) or self._crashed:
            self.tend()  # else others take it for dead, and give away what it is about to tell
            self._tell(time.monotonic(), everything=True)
            if time.monotonic() >= deadline:
                return
            if len(self._outbox) or self._crashed:
                self.wakeup.wait(0.05)

    def _tell(self, now: float, everything: bool = False) -> None:
        if now < self._retry_at:
            return
        try:
            self._store_crashes()
            rest = self._outbox.rest(now)
            if rest is not None and (everything or rest <= 0):
                self._outbox.flush()
            self.outage.succeeded()
        except AWAY as error:
            self._retry_at = now + self.outage.failed(error)

    def _settle(self, why: str) -> None:
        # The database may have come back this very moment: what has ended must not be given back, and run again.
        self._store_crashes()
        self._outbox.flush()
        super()._settle(why)

    def close(self) -> None:
        for station in self._stations():
            if station.idle and not self._crashed:
                station.close()
            else:
                station.forsake()
        self._main, self._alone = None, [None] * MOST_ALONE
        self._leave_untold()

    def _leave_untold(self) -> None:
        """Leave a slot file of what could not be stored, for whoever settles our claims: an end is an end all the same."""
        outcomes = self._outbox.untold() if hasattr(self, "_outbox") else []  # made by `ready`
        crashed = [Slot(d.job.id, d.job.lease, d.started_at or d.sent_at) for d, _ in self._crashed]
        if not outcomes and not crashed:
            return
        try:
            slots.write(self._untold, crashed, [outcome.frame() for outcome in outcomes])
        except OSError as error:
            for outcome in outcomes:
                emit("outcome_lost", job_id=outcome.job.id, class_name=outcome.job.class_name, error=str(error))


def new_job(frame: Mapping[str, Any]) -> NewJob:
    """A job that a runner wants stored. Its moment came as a float, which may round the last one there is up to none."""
    run_at = frame.get("run_at")
    return NewJob(
        class_name=frame["class_name"],
        arguments=frame["arguments"],
        queue=frame.get("queue", "default"),
        priority=frame.get("priority", 0),
        run_at=None if run_at is None else datetime.fromtimestamp(max(FIRST, min(run_at, LAST)), timezone.utc),
        wait=frame.get("wait"),
        options=frame.get("options"),
        limits=tuple(Limit(**limit) for limit in frame.get("limits") or ()),
        unique=Unique(**frame["unique"]) if frame.get("unique") else None,
        expires=frame.get("expires"),
        rate=Rate(**frame["rate"]) if frame.get("rate") else None,
        batch=frame.get("batch"),
    )


def ended(job: ClaimedJob, frame: Mapping[str, Any], duration: float, waited: float) -> Ended:
    """What a runner said of the end of a job that had waited so many seconds for its start."""
    kind = frame["kind"]
    error = frame.get("error")
    failure = None
    if kind not in OUTCOME_KINDS:
        kind, error = "failed", None
        failure = Failure("queued.JobFailed", f"its runner told an end that is not known: {frame['kind']!r}")
    if error is not None:
        failure = Failure(error["class"], error["message"], tuple(error.get("backtrace") or ()))
    elif kind == "released":
        failure = INTERRUPTED
    return Ended(
        job,
        kind,
        frame["end"],
        duration,
        failure,
        float(frame.get("wait") or 0.0),
        frame.get("policy"),
        frame.get("queue"),
        frame.get("priority"),
        tuple(new_job(item) for item in frame.get("enqueue") or ()),
        checkpoint_of(frame, frame.get("checkpoint")),
        waited,
    )


def alone(job: ClaimedJob) -> bool:
    """Whether it gets a runner of its own: its process crashed before, or was killed three times for the sake of others."""
    return bool(job.counters.get(CRASH_POLICY)) or job.ties & CUTS == CUTS


def cut_short(delivery: Delivery, guilty: Sequence[int], now: float) -> Ended:
    """The end of an attempt whose runner was killed because others in it did not heed their interruption."""
    duration = now - (delivery.started_at or now)
    if delivery.cancel_wanted:
        return Ended(delivery.job, "cancelled", now, duration)
    who = f"job{'s' if len(guilty) > 1 else ''} {', '.join(str(job_id) for job_id in guilty)}"
    why = Failure("queued.JobInterrupted", f"its runner was killed because {who} did not end when told to")
    return Ended(delivery.job, "released", now, duration, why, policy=NEIGHBOUR_POLICY)


def killed(delivery: Delivery, now: float) -> Ended:
    """The end of a job whose runner was killed because it did not heed its interruption."""
    duration = now - (delivery.started_at or now)
    if delivery.reason == "timeout":
        text = f"it ran longer than its timeout of {delivery.timeout:g} s and did not end when told to; its process was killed"
        return Ended(delivery.job, "failed", now, duration, Failure("queued.JobTimedOut", text))
    if delivery.reason == "cancel":
        return Ended(delivery.job, "cancelled", now, duration)
    return Ended(delivery.job, "released", now, duration, KILLED)
