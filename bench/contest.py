"""What is compared: each measurement of one contender, on a fresh copy of its empty database."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contenders import Amount, Contender, percentile
from databases import DURABILITY, own_server
from programs import EAR, Counter, Failed, Program

import processes

#: From this part of the jobs on the database is asked whether all are done; so what asking costs is not in most of a run.
NEARLY = 0.97
#: Seconds that all jobs of a run may take.
PATIENCE = 120.0
#: Seconds in which a job that runs twice would have told so.
AFTERMATH = 0.1

Values = dict[str, float]


class Arena:
    """The databases of all contenders: one PostgreSQL server with its own durability, and files."""

    def __init__(self, directory: Path) -> None:
        import psycopg

        self._directory = directory
        self._numbers = itertools.count(1)
        self._connect = psycopg.connect
        self.server, self._admin = own_server()

    def empty(self, database: str) -> str:
        """The URL of a database with nothing in it."""
        if database == "sqlite":
            return f"sqlite:///{self._directory / f'template-{next(self._numbers)}.sqlite3'}"
        return self.server.socket_url(self.server.create_database())

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """The URL of a copy of a database, for as long as it is needed."""
        if template.startswith("sqlite:///"):
            source = Path(template.removeprefix("sqlite:///"))
            path = self._directory / f"bench-{next(self._numbers)}.sqlite3"
            shutil.copy(source, path)
            try:
                yield f"sqlite:///{path}"
            finally:
                for left in self._directory.glob(f"{path.name}*"):
                    left.unlink() if left.is_file() else shutil.rmtree(left)
            return
        name = self.server.create_database(template=_name(template))
        try:
            yield self.server.socket_url(name)
        finally:
            self.server.drop_database(name)

    def rest(self, url: str, analyze: bool) -> None:
        """What was written before must not be written during a run."""
        if not url.startswith("sqlite:///"):
            if analyze:
                with self._connect(url, autocommit=True) as connection:
                    connection.execute("ANALYZE")
            self._admin.execute("CHECKPOINT")

    @contextmanager
    def asking(self, url: str) -> Iterator[Callable[[str], Any]]:
        """A function that asks the database one question: the first row of the answer, or None."""
        if url.startswith("sqlite:///"):
            file = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
            try:
                yield lambda query: file.execute(query).fetchone()
            finally:
                file.close()
        else:
            with self._connect(url, autocommit=True) as connection:
                yield lambda query: connection.execute(query).fetchone()

    def transactions(self, url: str) -> int:
        """How many transactions have ended in it so far; asked from another one, so that this does not count."""
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
        row = self._admin.execute(query, (_name(url),)).fetchone()
        assert row is not None
        return int(row[0])

    def spent(self) -> float:
        """CPU seconds of the server so far."""
        assert self.server.process is not None
        return sum(processes.cpu(member) for member in processes.family(self.server.process.pid))

    def describe(self) -> str:
        """The server and what decides on its durability."""
        values = [f"{name} {self._admin.execute(f'SHOW {name}').fetchone()[0]}" for name in DURABILITY]  # type: ignore[index]
        return f"PostgreSQL {self._admin.execute('SHOW server_version').fetchone()[0]}: {', '.join(values)}"  # type: ignore[index]

    def destroy(self) -> None:
        self._admin.close()
        self.server.destroy()


class Entry:
    """A contender that is installed: its adapter, and its empty database."""

    def __init__(self, contender: Contender, arena: Arena, command: list[str], environment: Mapping[str, str]) -> None:
        self.contender = contender
        self.arena = arena
        self._command = command
        self._environment = environment
        with self._program("about", contender.database) as program:
            self._about = program.hear("version")
        self._template = arena.empty(contender.database)
        self._done("setup", self._template, word="done")

    def describe(self) -> str:
        """What it is and what was set."""
        return "{version} on {runtime}: {settings}".format(**self._about)

    def fresh(self) -> AbstractContextManager[str]:
        """The URL of a copy of its empty database."""
        return self.arena.copy(self._template)

    def fill(self, url: str, job: str, count: int) -> float:
        """Enqueue so many jobs; seconds."""
        return float(self._done("fill", url, job, str(count), word="seconds"))

    def single(self, url: str, count: int) -> float:
        """Enqueue so many jobs one by one; seconds."""
        return float(self._done("single", url, str(count), word="seconds"))

    def pick_up(self, url: str, count: int) -> list[float]:
        """How many milliseconds each of so many jobs took from its enqueueing to its start."""
        return list(self._done("pick_up", url, str(count), word="milliseconds"))

    @contextmanager
    def working(self, url: str, row: str, workers: int = 1, ear: Counter | None = None) -> Iterator[list[int]]:
        """Workers that have just been told to begin: the processes that have all of theirs below them."""
        whole = self.contender.whole
        with ExitStack() as stack:
            programs = [
                stack.enter_context(self._program("work", url, row, str(workers if whole else 1), ear=ear))
                for _ in range(1 if whole else workers)
            ]
            roots = [int(program.hear("ready")["ready"]) for program in programs]
            for program in programs:
                program.tell("go")
            yield roots
            for program in programs:
                program.tell("stop")
            for program in programs:
                program.hear("stopped")

    def left(self, count: int) -> str:
        """SQL that gives a row while any of so many jobs is not done."""
        return str(self._about["left"]).format(count=count)

    @property
    def stored(self) -> str | None:
        """SQL that counts the jobs that are stored as done, where any are."""
        return self._about["stored"]

    def _done(self, *words: str, word: str) -> Any:
        with self._program(*words) as program:
            return program.hear(word)[word]

    @contextmanager
    def _program(self, *words: str, ear: Counter | None = None) -> Iterator[Program]:
        heard = {EAR: str(ear.port)} if ear else {}
        program = Program(self._command, {**self._environment, **heard}, *words)
        try:
            yield program
        finally:
            program.close()


@dataclass(frozen=True, slots=True)
class Run:
    """Jobs that were enqueued before the workers began, until the last outcome was stored."""

    #: From the start of the first job to the last stored outcome.
    rate: float
    #: CPU seconds of the workers' processes and of the database server, for as many jobs as `watched`.
    worker: float
    server: float
    watched: int
    #: MiB of all processes of the workers, as the last job was done.
    memory: float


def run(entry: Entry, row: str, job: str, count: int, workers: int = 1) -> Run:
    """Have so many jobs done, and see to it that each was done once."""
    arena, counter = entry.arena, Counter()
    with closing(counter), entry.fresh() as url:
        entry.fill(url, job, count)
        arena.rest(url, entry.contender.analyzed)
        with arena.asking(url) as ask, entry.working(url, row, workers, counter) as roots:
            deadline = time.monotonic() + PATIENCE
            # What a start costs is no part of the price of a job: the count begins when the first ones are through.
            while not (ran := counter.ran(PATIENCE)):
                _unless(deadline, "no job has started")
            before, served = _spent(roots), arena.spent()
            already = ran
            while (ran := counter.ran(0.05)) < NEARLY * count:
                _unless(deadline, f"{ran} of {count} jobs have started")
            while ask(entry.left(count)) is not None:
                _unless(deadline, "not all jobs are done")
                time.sleep(0.001)
            ended = time.monotonic()
            after, serving = _spent(roots), arena.spent()
            memory = _memory(roots)
            while (ran := counter.ran(AFTERMATH)) < count:
                _unless(deadline, f"{ran} of {count} jobs have started")
            stored = ask(entry.stored)[0] if entry.stored else count
        if not ran == stored == count:
            raise Failed(f"{count} jobs were enqueued, {ran} started and {stored} are stored as done")
    return Run(
        rate=count / (ended - counter.first()),
        worker=after - before,
        server=serving - served,
        watched=count - already,
        memory=memory,
    )


def drain_1(entry: Entry, amount: Amount) -> Values:
    count = round(amount.share * entry.contender.drain)
    done = run(entry, "drain", "nothing", count)
    if done.watched < count / 2:
        raise Failed(f"of {count} jobs {count - done.watched} had started when the first were told of")
    values = {"drain_1": done.rate, "cost_worker": 1e6 * done.worker / done.watched, "drain_memory": done.memory}
    if entry.contender.database == "postgresql":
        values["cost_server"] = 1e6 * done.server / done.watched
    return values


def drain_2(entry: Entry, amount: Amount) -> Values:
    return {"drain_2": run(entry, "drain", "nothing", round(amount.share * entry.contender.drain), workers=2).rate}


def bulk(entry: Entry, amount: Amount) -> Values:
    if entry.contender.bulk is None:
        return {}
    count = round(amount.share * entry.contender.bulk)
    with entry.fresh() as url:
        entry.arena.rest(url, analyze=False)
        return {"bulk": count / entry.fill(url, "nothing", count)}


def single(entry: Entry, amount: Amount) -> Values:
    count = round(amount.share * entry.contender.single)
    with entry.fresh() as url:
        entry.arena.rest(url, analyze=False)
        return {"single": count / entry.single(url, count)}


def latency(entry: Entry, amount: Amount) -> Values:
    with entry.fresh() as url:
        entry.arena.rest(url, analyze=False)
        with entry.working(url, "latency"):
            # Until the workers listen: a job enqueued before would wait for their next look.
            time.sleep(1)
            taken = entry.pick_up(url, amount.latency)
    return {"latency_p50": percentile(taken, 0.5), "latency_p99": percentile(taken, 0.99)}


def compute(entry: Entry, amount: Amount) -> Values:
    return {"compute": run(entry, "compute", "compute", amount.compute).rate}


def wait(entry: Entry, amount: Amount) -> Values:
    return {"wait": run(entry, "wait", "wait", amount.wait).rate}


def idle(entry: Entry, amount: Amount) -> Values:
    """A worker that has done ten jobs and has nothing to do."""
    arena = entry.arena
    with entry.fresh() as url:
        entry.fill(url, "nothing", 10)
        with arena.asking(url) as ask, entry.working(url, "idle") as roots:
            deadline = time.monotonic() + PATIENCE
            while ask(entry.left(10)) is not None:
                _unless(deadline, "not all jobs are done")
                time.sleep(0.05)
            time.sleep(amount.settle)
            counted = not url.startswith("sqlite:///")
            transactions = arena.transactions(url) if counted else 0
            used, started = _spent(roots), time.monotonic()
            time.sleep(amount.idle)
            used, took = _spent(roots) - used, time.monotonic() - started
            values = {"idle_memory": _memory(roots), "idle_cpu": 100 * used / took}
            if counted:
                values["idle_transactions"] = (arena.transactions(url) - transactions) / took
    return values


def _unless(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise Failed(f"after {PATIENCE:.0f} s {what}")


def _spent(roots: list[int]) -> float:
    """CPU seconds so far of these processes and all below them."""
    return sum(processes.cpu(member) for root in roots for member in processes.family(root))


def _memory(roots: list[int]) -> float:
    """MiB of these processes and all below them."""
    return sum(processes.pss(member) for root in roots for member in processes.family(root)) / 1024


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


#: In the order of the table: each measurement, and whether it has rounds.
MEASUREMENTS: Mapping[str, tuple[Callable[[Entry, Amount], Values], bool]] = {
    "drain_1": (drain_1, True),
    "drain_2": (drain_2, True),
    "bulk": (bulk, True),
    "single": (single, True),
    "latency": (latency, True),
    "compute": (compute, True),
    "wait": (wait, True),
    "idle": (idle, False),
}
