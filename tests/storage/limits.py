"""A worker, an operator and a crash at a time on limited jobs, and what must hold after every step."""

from __future__ import annotations

from collections import Counter
from random import Random

from queued.domain.jobs import EXPIRING, UNTIL_START, ClaimedJob, Failure, NewJob, Outcome
from queued.domain.limits import Limit
from queued.domain.rates import Rate
from queued.domain.unique import Unique
from queued.storage import claimed, expiries, limits, operators, queues, scheduled, unique
from queued.storage.session import Row
from queued.storage.store import Store
from storage.conftest import Claimer

HERE = claimed.Worker("here", "worker-1")
TABLES = ("ready", "scheduled", "blocked", "claimed", "failed", "finished")
BOOM = Failure("app.Boom", "it broke")


def rows(store: Store, table: str) -> list[Row]:
    """All rows of a table."""
    prefix = "queued." if store.dialect == "postgresql" else "queued_"
    cursor = store.backend.connection().execute(f"SELECT * FROM {prefix}{table}")
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def pass_time(store: Store, table: str, column: str, seconds: float) -> None:
    """Let what a column holds be so much nearer, as if that time had passed: no test has to be quicker than it."""
    if store.dialect == "postgresql":
        statement = f"UPDATE queued.{table} SET {column} = {column} - make_interval(secs => {seconds})"
    else:
        statement = f"UPDATE queued_{table} SET {column} = {column} - {round(seconds * 1_000_000)}"
    store.backend.connection().execute(statement)


def limited(key: str, to: int = 1, priority: int = 0, on_conflict: str = "block", **fields: object) -> NewJob:
    """A job with one limit."""
    return NewJob(
        "app.work",
        priority=priority,
        limits=(Limit(key, to, None, on_conflict),),  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )


def check(store: Store, capacities: dict[str, int]) -> None:
    """Assert all that must hold between two transactions."""
    places: dict[int, list[str]] = {}
    for table in TABLES:
        for row in rows(store, table):
            places.setdefault(row["job_id"], []).append(table)
    assert all(len(tables) == 1 for tables in places.values()), places
    assert set(places) == {row["id"] for row in rows(store, "jobs")}
    live = {job_id for job_id, (table,) in places.items() if table in {"ready", "claimed"}}
    keys: dict[int, set[str]] = {}
    for row in rows(store, "job_limits"):
        keys.setdefault(row["job_id"], set()).add(row["key"])
    slots = {(row["key"], row["job_id"]) for row in rows(store, "slots")}
    assert slots == {(key, job_id) for job_id, own in keys.items() if job_id in live for key in own}
    held = Counter(key for key, _ in slots)
    assert all(held[key] <= capacities[key] for key in held), held
    for row in rows(store, "blocked"):
        own = keys[row["job_id"]]
        assert row["key"] in own
        assert held[row["key"]] >= capacities[row["key"]], f"{row} waits for a key that has a free slot"
    over = {job_id for job_id, (table,) in places.items() if table == "finished"}
    for table in ("job_limits", "job_uniques", "job_rates", "expiries"):
        assert not {row["job_id"] for row in rows(store, table)} & over, table
    holders = {row["job_id"] for row in rows(store, "unique_keys")}
    assert all(places[job_id][0] not in {"failed", "finished"} for job_id in holders)
    while_waiting = {row["job_id"] for row in rows(store, "job_uniques") if row["until"] == "waiting"}
    assert all(places[job_id][0] != "claimed" for job_id in holders & while_waiting)


class Chaos:
    """Takes steps at random; everything is decided by the seed."""

    #: Classes whose jobs are never deleted with their end.
    kept: frozenset[str] = frozenset()

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.random = Random(seed)
        self.capacities = {"a": 1, "b": 2, "c": 3, "d": 1}
        self.workers = [Claimer(store, f"w{seed}-{n}") for n in range(3)]
        self.held: dict[int, list[ClaimedJob]] = {worker.id: [] for worker in self.workers}
        self.dead = 0
        self.paused = False

    def step(self) -> str:
        """Do one thing; its name."""
        steps = (self.enqueue, self.enqueue, self.claim, self.claim, self.end, self.end, self.end)
        steps += (self.operate, self.die, self.pause, self.dispatch, self.crash, self.expire)
        chosen = self.random.choice(steps)
        chosen()
        return chosen.__name__

    def new_job(self) -> NewJob:
        keys = self.random.sample(sorted(self.capacities), self.random.choice((0, 1, 1, 1, 2, 3)))
        conflict = self.random.choice(("block", "block", "block", "discard"))
        return NewJob(
            "app.work",
            queue=self.random.choice(("x", "y")),
            priority=self.random.randrange(3),
            wait=self.random.choice((None, None, None, 0.001)),
            limits=tuple(Limit(key, self.capacities[key], None, conflict) for key in keys),  # type: ignore[arg-type]
            unique=self.random.choice((None, None, self.uniqueness())),
            expires=self.random.choice((None, None, 0.001, 60.0)),
            rate=self.random.choice((None, None, None, Rate("r", 2, 0.002))),
        )

    def uniqueness(self) -> Unique:
        return Unique(
            self.random.choice("uvw"),
            self.random.choice(("start", "waiting", "finish")),  # type: ignore[arg-type]
            None,
            self.random.choice(("keep", "replace")),  # type: ignore[arg-type]
        )

    def enqueue(self) -> None:
        self.store.enqueue([self.new_job() for _ in range(self.random.randrange(1, 6))])

    def claim(self) -> None:
        worker = self.random.choice(self.workers)
        found = worker.claim(self.random.randrange(1, 4))
        starting = [job.id for job in found if job.ties & (UNTIL_START | EXPIRING)]
        if starting:
            with self.store.transaction() as session:
                unique.started(session, starting)
                expiries.start(session, starting)
        self.held[worker.id] += found

    def end(self) -> None:
        worker = self.random.choice(self.workers)
        held = self.held[worker.id]
        outcomes = []
        for _ in range(min(len(held), self.random.randrange(1, 4))):
            job = held.pop(self.random.randrange(len(held)))
            kind = self.random.choice(
                ("done", "done", "failed", "retry", "retry", "discarded", "released", "cancelled")
            )
            outcomes.append(
                Outcome(
                    job.id,
                    job.lease,
                    kind,  # type: ignore[arg-type]
                    failure=BOOM if kind in {"failed", "retry"} else None,
                    wait=self.random.choice((0.0, 0.001)),
                    enqueue=(self.new_job(),) if kind == "done" and self.random.random() < 0.3 else (),
                    ties=job.ties,
                    kept=kind != "done" or job.class_name in self.kept or self.random.random() < 0.7,
                )
            )
        with self.store.transaction() as session:
            assert claimed.finish(session, outcomes, HERE).stale == []

    def operate(self) -> None:
        known = [row["id"] for row in rows(self.store, "jobs")]
        if not known:
            return
        ids = self.random.sample(known, min(len(known), 4))
        act = self.random.choice((operators.retry, operators.dispatch, operators.discard, operators.cancel_waiting))
        with self.store.transaction() as session:
            act(session, ids)

    def die(self) -> None:
        n = self.random.randrange(len(self.workers))
        worker = self.workers[n]
        running = {job.id: job.lease for job in self.held.pop(worker.id) if self.random.random() < 0.5}
        with self.store.transaction() as session:
            claimed.recover(session, worker.id, running, "killed", 2, "here", "w")
        self.dead += 1
        self.workers[n] = Claimer(self.store, f"{id(self)}-{self.dead}")
        self.held[self.workers[n].id] = []

    def crash(self) -> None:
        worker = self.random.choice(self.workers)
        if self.held[worker.id]:
            job = self.held[worker.id].pop()
            with self.store.transaction() as session:
                claimed.crash(session, [(job.id, job.lease)], "killed", 2, HERE)

    def pause(self) -> None:
        with self.store.transaction() as session:
            (queues.resume if self.paused else queues.pause)(session, "x")
        self.paused = not self.paused

    def expire(self) -> None:
        with self.store.transaction() as session:
            expiries.discard(session, expiries.lapsed(session))

    def dispatch(self) -> None:
        with self.store.transaction() as session:
            scheduled.dispatch(session, 10)

    def rest(self) -> None:
        """Assert that the safety net has nothing to do."""
        with self.store.transaction() as session:
            found = limits.sweep(session)
        assert (found.evicted, found.arrivals) == (0, [])
