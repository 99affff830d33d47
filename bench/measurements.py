"""What is measured, each time on a fresh database and with a real `queued start`."""

from __future__ import annotations

import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from databases import Database
from lists import lists

import jobs
import processes
import queued
from fixtures.daemon import PACKAGE, Daemon

APPLICATION = Path(jobs.__file__).parent
#: Jobs in one call of `enqueue_many`.
BATCH = 1000
#: Seconds between two looks whether the last job's ack is stored, once the end is near.
LOOK = 0.002
#: Seconds that anything may take.
PATIENCE = 120.0
#: Seconds after which an idle worker has reached its longest rest, and an idle process of PostgreSQL, after ten, has told what it
#: did before.
SETTLE = 12.0

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. Jobs are chosen for runs of some seconds."""

    repeats: int
    drain: int
    bulk: int
    single: int
    latency: int
    compute: int
    wait: int
    steps: int
    idle: float
    modes: tuple[str, ...]
    #: Jobs of one drain, of a backlog and of a line in hard times, and seconds for which a transaction is held open.
    hard: int
    million: int
    line: int
    held: float


FULL = Size(
    3, 30_000, 50_000, 4_000, 300, 3_000, 6_000, 3_000_000, 20.0, ("fork", "async"), 100_000, 1_000_000, 50_000, 120.0
)
QUICK = Size(1, 10_000, 20_000, 2_000, 200, 1_000, 2_000, 1_000_000, 10.0, ("fork",), 50_000, 200_000, 10_000, 20.0)


@contextmanager
def daemon(
    url: str, sections: Mapping[str, Any] | None = None, *, mode: str = "fork", **worker: Any
) -> Iterator[Daemon]:
    """A configured daemon with one kind of worker, not yet started. Nothing of it outlives the block."""
    directory = Path(tempfile.mkdtemp(prefix="queued-bench-"))
    settings = {
        "database": {"url": url},
        "mode": mode,
        "app": {
            "path": str(APPLICATION),
            "python": sys.executable,
            "import": ["jobs"],
            "environment": {"PYTHONPATH": str(PACKAGE)},
        },
        "workers": [worker or {"threads": 3}],
        "dispatchers": [{}],
        "runtime_directory": str(directory / "run"),
        **(sections or {}),
    }
    made = Daemon(directory, settings, [], {})
    try:
        yield made
    except BaseException:
        print(made.log()[-4000:], file=sys.stderr)
        raise
    finally:
        made.destroy()
        shutil.rmtree(directory, ignore_errors=True)


def enqueue(job: queued.Job[[], Any], count: int) -> int:
    """Enqueue in bulk; the id of the last job."""
    handles: list[queued.EnqueuedJob] = []
    for start in range(0, count, BATCH):
        handles = queued.enqueue_many([job.bind() for _ in range(min(BATCH, count - start))])
    last = handles[-1].id
    assert last is not None
    return last


def run(database: Database, job: queued.Job[[], Any], count: int, **worker: Any) -> float:
    """Jobs a second, from the start of the first job to the last stored ack. They wait when the daemon starts."""
    url = database.fresh()
    last = enqueue(job, count)
    with daemon(url, **worker) as running:
        running.start(ready=False)
        # Seldom looked at until the end is near: each look takes its time from what is measured.
        running.wait_until(lambda: database.has_finished(last - count // 20), "nearly the last job")
        deadline = time.monotonic() + PATIENCE
        # Several threads and workers end jobs a little out of their order: count once the last one is there.
        while not database.has_finished(last) or (finished := database.finished()) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{database.finished()} of {count} jobs are finished")
            time.sleep(LOOK)
        ended = time.time()
        if finished != count:
            raise AssertionError(f"{finished} jobs are finished and {count} were enqueued")
        running.stop()
    return count / (ended - database.first_start())


def drain_1(database: Database, size: Size) -> Values:
    return {"drain_1": run(database, jobs.nothing, size.drain, threads=3)}


def drain_deleted(database: Database, size: Size) -> Values:
    """As `drain_1`, of jobs that are deleted with their end; the start is told by one before them that is kept."""
    url = database.fresh()
    jobs.nothing.set(queue="kept", priority=-1).enqueue()
    last = enqueue(jobs.nothing, size.drain)
    with daemon(url, {"retention": {"delete_finished": "default"}}, threads=3) as running:
        running.start(ready=False)
        running.wait_until(
            lambda: not database.number(f"SELECT count(*) FROM {{t}}jobs WHERE id = {last}"), "the last job"
        )
        running.wait_until(lambda: database.number("SELECT count(*) FROM {t}jobs") == 1, "all jobs")
        ended = time.time()
        running.stop()
    return {"drain_deleted": size.drain / (ended - database.first_start())}


def drain_2(database: Database, size: Size) -> Values:
    return {"drain_2": run(database, jobs.nothing, size.drain, threads=3, processes=2)}


def cost(database: Database, size: Size) -> Values:
    """CPU time of a job that does nothing, by who spends it: a daemon that has long started empties a queue that was paused."""
    url = database.fresh()
    with daemon(url, threads=3) as running:
        running.start()
        first = enqueue(jobs.nothing, BATCH)
        running.wait_until(lambda: database.has_finished(first), "the jobs that warm it up")
        database.pause("default")
        last = enqueue(jobs.nothing, size.drain)
        before = _spent(database, running.pid)
        database.resume("default")
        # Seldom looked at: a look is paid for by the server, which cannot tell it from work.
        running.wait_until(
            lambda: database.has_finished(last) and database.finished() == BATCH + size.drain, "the jobs"
        )
        after = _spent(database, running.pid)
        running.stop()
    return {f"cost_{who}": 1e6 * (after[who] - before[who]) / size.drain for who in after}


def _spent(database: Database, daemon: int) -> dict[str, float]:
    """CPU seconds so far of the worker, of the process that runs its jobs, and of the database server."""
    members = processes.family(daemon)
    of_application = {member for member in members if processes.title(member) == "queued-app"}
    runners = {member for member in members if processes.parent(member) in of_application}
    spent = {
        "runner": sum(processes.cpu(member) for member in runners),
        "daemon": sum(processes.cpu(member) for member in members if member not in runners | of_application),
    }
    server = database.server()
    if server is not None:
        spent["server"] = sum(processes.cpu(member) for member in processes.family(server))
    return spent


def compute(database: Database, size: Size) -> Values:
    return {"compute": run(database, jobs.compute, size.compute, threads=1)}


def wait(database: Database, size: Size) -> Values:
    return {
        "wait_threads": run(database, jobs.wait, size.wait, threads=10),
        "wait_tasks": run(database, jobs.await_, size.wait, tasks=10),
    }


def bulk(database: Database, size: Size) -> Values:
    database.fresh()
    enqueue(jobs.nothing, BATCH)
    started = time.monotonic()
    enqueue(jobs.nothing, size.bulk)
    return {"bulk": size.bulk / (time.monotonic() - started)}


def batched(database: Database, size: Size) -> Values:
    """As `bulk`, but all jobs are members of one batch that is stored already."""
    database.fresh()
    enqueue(jobs.nothing, BATCH)
    with queued.batch("bench") as batch:
        jobs.nothing.enqueue()
    started = time.monotonic()
    for start in range(0, size.bulk, BATCH):
        batch.add_many([jobs.nothing.bind() for _ in range(min(BATCH, size.bulk - start))])
    return {"batched": size.bulk / (time.monotonic() - started)}


def single(database: Database, size: Size) -> Values:
    database.fresh()
    enqueue(jobs.nothing, 1)
    started = time.monotonic()
    for _ in range(size.single):
        jobs.nothing.enqueue()
    return {"single": size.single / (time.monotonic() - started)}


def latency(database: Database, size: Size) -> Values:
    """From before the call of `enqueue` to the first line of the job: the commit is in it."""
    url = database.fresh()
    dice = random.Random(1)
    with daemon(url) as running, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        address = str(running.directory / "ear")
        ear.bind(address)
        ear.settimeout(PATIENCE)
        running.start()

        def took(number: int) -> float:
            asked = time.monotonic()
            jobs.tell.enqueue(address, number)
            heard, started = jobs.STARTED.unpack(ear.recv(100))
            assert heard == number, f"job {heard} started and {number} was expected"
            return float(started) - asked

        for number in range(20):
            took(-number)
        measured = []
        for number in range(size.latency):
            # Idle, and in no step with anybody's timer.
            time.sleep(dice.uniform(0.01, 0.04))
            measured.append(1000 * took(number))
        running.stop()
    measured.sort()
    return {
        "latency_p50": measured[len(measured) // 2],
        "latency_p99": measured[min(len(measured) - 1, round(len(measured) * 0.99))],
    }


def steps(database: Database, size: Size) -> Values:
    """A job that moves on in a tight loop, in a real runner, with its cursors stored meanwhile."""
    url = database.fresh()
    with daemon(url) as running, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        address = str(running.directory / "ear")
        ear.bind(address)
        ear.settimeout(PATIENCE)
        running.start()
        jobs.steps.enqueue(address, size.steps)
        advance, checkpoint = jobs.TOOK.unpack(ear.recv(100))
        running.stop()
    return {"steps_advance": 1e6 * advance, "steps_checkpoint": 1000 * checkpoint}


def idle(database: Database, size: Size) -> Values:
    """Memory, CPU and transactions of a daemon that has run some jobs and has nothing to do."""
    values: Values = {}
    for mode in size.modes:
        values.update(_idle(database, mode, size.idle))
    return values


def _idle(database: Database, mode: str, seconds: float) -> Values:
    url = database.fresh()
    with daemon(url, mode=mode) as running:
        running.start()
        last = enqueue(jobs.nothing, 10)
        running.wait_until(lambda: database.has_finished(last), "the jobs")
        time.sleep(SETTLE)
        values = _at_rest(database, running.pid, seconds, "" if mode == "fork" else f"{mode}_")
        running.stop()
    return values


def _at_rest(database: Database, pid: int, seconds: float, prefix: str) -> Values:
    members = processes.family(pid)
    memory = {member: processes.pss(member) / 1024 for member in members}
    servers = {member for member in members if processes.title(member) == "queued-app"}
    runners = {member for member in members if processes.parent(member) in servers}
    transactions, started = database.transactions(), time.monotonic()
    used = sum(processes.cpu(member) for member in members)
    time.sleep(seconds)
    used = sum(processes.cpu(member) for member in members) - used
    took = time.monotonic() - started
    if processes.family(pid) != members:
        raise AssertionError("a process ended or started while the daemon was idle")
    values = {
        f"{prefix}memory": sum(memory.values()),
        f"{prefix}memory_daemon": sum(memory[member] for member in members if member not in runners),
        f"{prefix}cpu": 100 * used / took,
    }
    if transactions is not None:
        values[f"{prefix}transactions"] = ((database.transactions() or 0) - transactions) / took
    return values


#: In the order of the table: each measurement, and whether it is repeated.
MEASUREMENTS: Mapping[str, tuple[Callable[[Database, Size], Values], bool]] = {
    "drain_1": (drain_1, True),
    "drain_2": (drain_2, True),
    "drain_deleted": (drain_deleted, True),
    "cost": (cost, True),
    "bulk": (bulk, True),
    "batched": (batched, True),
    "single": (single, True),
    "latency": (latency, True),
    "compute": (compute, True),
    "wait": (wait, True),
    "steps": (steps, True),
    "idle": (idle, False),
    "lists": (lists, False),
}
