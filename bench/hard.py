"""How fast a queue is emptied when life is hard, next to how fast the same daemon empties it when it is not."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from databases import Database
from measurements import LOOK, PATIENCE, Size, Values, daemon

import processes
from fixtures.daemon import Daemon
from queued.domain.jobs import Arrival

#: Jobs that make it warm: a worker that has learnt that its jobs are short keeps as many waiting as it ever does.
WARM = 5000
#: The job that started first is looked for among so many.
FIRST = 5000
#: Jobs that go through a key which one job may hold: hundreds a second, not thousands.
SERIAL = 1000
#: Characters of the arguments of a large job, and how many such jobs.
LARGE, HEAVY = 100_000, 2000
QUEUES, PRIORITIES = 100, 3
#: Seconds for which finished jobs are kept where they are pruned, and how long ago those ended whose time is over.
KEPT, LONG_AGO = 600.0, 3600.0
PLAIN = '{"args":[],"kwargs":{}}'

_JOBS = """
INSERT INTO {t}jobs (class_name, queue, priority, arguments, enqueued_at)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count} - 1)
SELECT 'jobs.{job}', {queue}, n * {priorities} / {count}, {arguments}, {enqueued} FROM numbers
"""
_NEW = "FROM {t}jobs WHERE id >= {first} ORDER BY id"
READY = (f"INSERT INTO {{t}}ready (job_id, queue, priority) SELECT id, queue, priority {_NEW}",)
AHEAD = (f"INSERT INTO {{t}}scheduled (job_id, queue, priority, run_at) SELECT id, queue, priority, {{ahead}} {_NEW}",)
DUE = (f"INSERT INTO {{t}}scheduled (job_id, queue, priority, run_at) SELECT id, queue, priority, {{now}} {_NEW}",)
FINISHED = (
    f"""INSERT INTO {{t}}finished (job_id, state, attempt, started_at, finished_at)
        SELECT id, 'finished', 1, {{ago}}, {{ago}} {_NEW}""",
)
#: The first job holds the only slot of a key, and the others stand in line for it.
LINE = (
    "INSERT INTO {t}limits (key, capacity) VALUES ('{key}', 1)",
    f"INSERT INTO {{t}}job_limits (job_id, key, capacity, on_conflict) SELECT id, '{{key}}', 1, 'block' {_NEW}",
    "INSERT INTO {t}slots (key, job_id) VALUES ('{key}', {first})",
    """INSERT INTO {t}blocked (job_id, key, queue, priority, attempt, ties)
       SELECT id, '{key}', queue, priority, 1, 1 FROM {t}jobs WHERE id > {first} ORDER BY id""",
    "INSERT INTO {t}ready (job_id, queue, priority, ties) SELECT id, queue, priority, 1 FROM {t}jobs WHERE id = {first}",
)


class Track:
    """A daemon at work, and jobs that are laid before it: past the store, which would take minutes."""

    def __init__(self, database: Database, running: Daemon) -> None:
        self.database = database
        self.running = running

    def lay(
        self,
        state: tuple[str, ...],
        count: int,
        *,
        job: str = "nothing",
        queue: str = "default",
        queues: int = 1,
        priorities: int = 1,
        arguments: str = PLAIN,
        key: str = "",
    ) -> int:
        """Lay jobs down in this state and tell whoever is concerned; the id of the first.

        With several queues they take turns. The priority falls in the order of the ids, so that the last job is the last to run.
        """
        database = self.database
        first = database.number("SELECT COALESCE(max(id), 0) + 1 FROM {t}jobs")
        seq = database.next_seq()
        names = [queue] if queues == 1 else [f"{queue}{n}" for n in range(queues)]
        words = {
            "job": job,
            "count": count,
            "first": first,
            "key": key,
            "priorities": priorities,
            "queue": f"'{queue}'" if queues == 1 else f"'{queue}' || (n % {queues})",
            "arguments": f"'{arguments}'",
            "enqueued": database.moment(-LONG_AGO if state is FINISHED else 0.0),
            "now": database.moment(0.0),
            "ago": database.moment(-LONG_AGO),
            "ahead": database.moment(LONG_AGO),
        }
        database.write((_JOBS, *state), words)
        if state is DUE:
            database.announce([Arrival("", 0, 0)])
        elif state in (READY, LINE):
            database.announce([Arrival(name, priority, seq) for name in names for priority in range(priorities)])
        return first

    def rate(self, count: int, of: int | None = None, **jobs: Any) -> float:
        """Jobs a second, from the start of the first one to the last stored ack: `count` jobs, the first ones of so many."""
        return self.drained(self.lay(READY, of or count, **jobs), count)

    def drained(self, first: int, count: int, look: Callable[[], object] = lambda: None) -> float:
        """The rate at which jobs that are laid already are emptied. `look` is called now and then meanwhile."""
        database, last = self.database, first + count - 1

        def over() -> bool:
            look()
            return database.has_finished(last)

        self.running.wait_until(over, "the last job", PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while database.finished_between(first, last) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"not all jobs from {first} to {last} are finished")
            time.sleep(LOOK)
        ended = time.time()
        return count / (ended - database.first_start_between(first, first + min(count, FIRST) - 1))


@contextmanager
def track(database: Database, old: int = 0, **worker: Any) -> Iterator[Track]:
    """A daemon in a fresh database that has run some jobs; before them so many had ended, and are over their time."""
    url = database.fresh()
    with daemon(url, {"retention": {"finished": KEPT}}, **{"threads": 3, **worker}) as running:
        made = Track(database, running)
        if old:
            made.lay(FINISHED, old)
        running.start()
        for _ in range(2):
            made.rate(WARM)
        yield made
        running.stop()


def compared(name: str, clean: float, hard: float) -> Values:
    """The rate in hard times, and what share of the clean one it is."""
    return {name: hard, f"{name}_share": 100 * hard / clean}


def ready(database: Database, size: Size) -> Values:
    """A million jobs are ready."""
    with track(database) as one:
        clean = one.rate(size.hard)
        return compared("hard_ready", clean, one.rate(size.hard, size.million))


def unanalysed(database: Database, size: Size) -> Values:
    """Nobody has ever counted what is in the tables, and nobody sweeps them."""
    with track(database) as one:
        database.stop_autovacuum()
        hard = [one.rate(size.hard) for _ in range(3)][-1]
        first = one.lay(READY, size.hard)
        database.analyse()
        return compared("hard_unanalysed", one.drained(first, size.hard), hard)


def held(database: Database, size: Size) -> Values:
    """Somebody holds a transaction open: nothing that he might still see can be swept away."""
    return _held(database, size, "hard_held", 1)


def held_2(database: Database, size: Size) -> Values:
    """The same with two workers."""
    return _held(database, size, "hard_held_2", 2)


def _held(database: Database, size: Size, name: str, workers: int) -> Values:
    with track(database, processes=workers) as one:
        clean = one.rate(size.hard)
        with database.held():
            until = time.monotonic() + size.held
            while True:
                last = one.rate(size.hard)
                if time.monotonic() > until:
                    break
        return compared(name, clean, last)


def queues(database: Database, size: Size) -> Values:
    """The jobs are spread over a hundred queues and three priorities."""
    with track(database) as one:
        clean = one.rate(size.hard)
        return compared("hard_queues", clean, one.rate(size.hard, queues=QUEUES, priorities=PRIORITIES, queue="q"))


def blocked(database: Database, size: Size) -> Values:
    """Fifty thousand jobs stand in line for one key: what that costs other jobs, and how fast the line itself moves."""
    with track(database) as one:
        clean = one.rate(size.hard)
        database.pause("line")
        one.lay(LINE, size.line, queue="line", key="still")
        values = compared("hard_blocked", clean, one.rate(size.hard))
        short = one.drained(one.lay(LINE, SERIAL, key="short"), SERIAL)
        long = one.drained(one.lay(LINE, size.line, key="long"), SERIAL)
        return values | compared("hard_line", short, long)


def scheduled(database: Database, size: Size) -> Values:
    """A million jobs lie ahead: what that costs others, and how fast those run that fall due all at once."""
    with track(database) as one:
        clean = one.rate(size.hard)
        one.lay(AHEAD, size.million)
        values = compared("hard_scheduled", clean, one.rate(size.hard))
        return values | {"hard_due": one.drained(one.lay(DUE, size.hard), size.hard)}


def large(database: Database, size: Size) -> Values:
    """Arguments of 100 KB: the rate, and the most memory that the daemon and its runner had meanwhile."""
    dice = random.Random(1)
    text = "".join(dice.choices(string.ascii_letters + string.digits, k=LARGE))
    most = 0
    with track(database) as one:

        def look() -> None:
            nonlocal most
            most = max(most, sum(processes.pss(member) for member in processes.family(one.running.pid)))

        first = one.lay(READY, HEAVY, job="take", arguments=f'{{"args":["{text}"],"kwargs":{{}}}}')
        return {"hard_large": one.drained(first, HEAVY, look), "hard_large_memory": most / 1024}


def pruned(database: Database, size: Size) -> Values:
    """A million finished jobs are over their time and are deleted meanwhile: the rate, and how many go a second."""
    with track(database) as one:
        clean = one.rate(size.hard)
    with track(database, old=size.million) as one:
        old = f"SELECT count(*) FROM {{t}}finished WHERE job_id <= {size.million}"
        # The first look comes some time in the first minute.
        one.running.wait_until(lambda: database.number(old) < size.million, "the first to be deleted", PATIENCE)
        left, began = database.number(old), time.monotonic()
        hard = one.rate(size.hard)
        gone = (left - database.number(old)) / (time.monotonic() - began)
    return compared("hard_pruned", clean, hard) | {"hard_pruning": gone}


#: Each, and whether it is repeated.
HARD: Mapping[str, tuple[Callable[[Database, Size], Values], bool]] = {
    "hard_ready": (ready, True),
    "hard_unanalysed": (unanalysed, True),
    "hard_held": (held, False),
    "hard_held_2": (held_2, False),
    "hard_queues": (queues, True),
    "hard_blocked": (blocked, True),
    "hard_scheduled": (scheduled, True),
    "hard_large": (large, True),
    "hard_pruned": (pruned, True),
}
