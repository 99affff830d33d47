"""The jobs that the acceptance tests run. What they do is in the ledger, whatever becomes of them."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

import ledger

import queued


class NoLuckError(Exception):
    """What the failing jobs raise."""


class NotWantedError(Exception):
    """What makes a job be discarded."""


def this() -> queued.CurrentJob:
    """The job that runs here."""
    job = queued.current_job()
    assert job is not None
    return job


@queued.job()
def note(label: Any = None, seconds: float = 0.0) -> None:
    """Run for some time and end well."""
    job = this()
    with ledger.attempt(job.id, label=label, attempt=job.attempt):
        time.sleep(seconds)


@queued.job()
def wait_for(path: str) -> None:
    """Run until there is a file of that name."""
    with ledger.attempt(this().id):
        while not os.path.exists(path):
            time.sleep(0.01)


@queued.job()
async def anote(label: Any = None, seconds: float = 0.0) -> None:
    """The same as a coroutine."""
    job = this()
    with ledger.attempt(job.id, label=label, attempt=job.attempt):
        await asyncio.sleep(seconds)


@queued.job()
def spin(milliseconds: float) -> None:
    """Use the processor for some time."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        end = time.monotonic() + milliseconds / 1000
        while time.monotonic() < end:
            pass


@queued.job()
def fail() -> None:
    """Fail, and nobody has said what to do then."""
    with ledger.attempt(this().id):
        raise NoLuckError("nothing went well")


@queued.job(retry_on=queued.retry_on(NoLuckError, wait=0.05, jitter=0, attempts=3))
def fail_until(good: int) -> None:
    """Fail until the attempt of that number; three attempts are allowed."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        if job.attempt < good:
            raise NoLuckError(f"attempt {job.attempt} of {good}")


@queued.job(discard_on=NotWantedError)
def unwanted() -> None:
    """End as discarded."""
    with ledger.attempt(this().id):
        raise NotWantedError("nobody wants this")


@queued.job()
def parent(count: int) -> None:
    """Enqueue further jobs while running; note their ids and what this process knows of the database."""
    job = this()
    children = [note.enqueue(f"child of {job.id}").id for _ in range(count)]
    drivers = sorted(name for name in sys.modules if name.partition(".")[0] in ("psycopg", "sqlite3", "_sqlite3"))
    url = os.environ.get("QUEUED_DATABASE_URL")
    ledger.note("enqueued", job.id, children=children, drivers=drivers, url=url)


@queued.job()
def parent_at_finish(fails: bool) -> None:
    """Enqueue one job that is to be stored with this one's end."""
    job = this()
    with ledger.attempt(job.id):
        note.set(at_finish=True).enqueue(f"after {job.id}")
        if fails:
            raise NoLuckError("after the enqueue")


@queued.job()
def talk() -> None:
    """Write in every way there is."""
    libc = ctypes.CDLL(None)
    print("said on stdout")
    print("said on stderr", file=sys.stderr)
    logging.getLogger("the.application").warning("said by logging")
    libc.puts(b"said by C code")
    libc.fflush(None)
    subprocess.run(["/bin/echo", "said by a child process"], check=True)


@queued.job()
def which() -> None:
    """Note the interpreter."""
    ledger.note("python", this().id, version=f"{sys.version_info[0]}.{sys.version_info[1]}")


@queued.job()
def leave(status: int) -> None:
    """End the process that runs this job."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        os._exit(status)


@queued.job()
def leave_once() -> None:
    """End the process at the first attempt, end well at the second."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        if job.attempt == 1:
            os._exit(7)


@queued.job()
def segfault() -> None:
    """Read where nothing is."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(10)


@queued.job(timeout=0.5)
def endless() -> None:
    """Never end by itself; heeds."""
    with ledger.attempt(this().id):
        while True:
            time.sleep(0.01)


@queued.job(timeout=0.5)
async def aendless() -> None:
    """Never end by itself; heeds, as a coroutine."""
    with ledger.attempt(this().id):
        await asyncio.Event().wait()


@queued.job(timeout=0.5)
def stuck_in_c() -> None:
    """Wait where no exception can be raised."""
    with ledger.attempt(this().id):
        ctypes.CDLL(None).sleep(60)


@queued.job()
def stubborn(seconds: float = 60.0) -> None:
    """Take no notice of anything that is raised in it."""
    job = this()
    ledger.note("start", job.id, attempt=job.attempt)
    ignore(job.id, seconds)
    ledger.note("end", job.id, attempt=job.attempt)


def ignore(job: int, seconds: float) -> None:
    """Go on for so long, whatever is raised here."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException as error:
            ledger.note("ignored", job, error=type(error).__name__)


@queued.job()
def stubborn_at_first() -> None:
    """Take no notice at the first run, end at once when run again."""
    job = this()
    ledger.note("start", job.id, attempt=job.attempt)
    with open(os.environ[ledger.VARIABLE]) as file:
        runs = sum(1 for line in file if f'"event": "start", "job": {job.id},' in line)
    if runs == 1:
        ignore(job.id, 60.0)
    ledger.note("end", job.id, attempt=job.attempt)


@queued.job()
def heedful() -> None:
    """Run for a long time, and end when told to."""
    with ledger.attempt(this().id):
        while True:
            time.sleep(0.02)


@queued.job(limits=queued.limits_concurrency(key=lambda account, seconds=0.0: account))
def settle_account(account: str, seconds: float = 0.0) -> None:
    """Run for some time, alone for its account."""
    job = this()
    with ledger.attempt(job.id, label=account, attempt=job.attempt):
        time.sleep(seconds)


@queued.job(limits=[queued.limits_concurrency(to=2), queued.limits_concurrency(to=3, key="a wider one")])
def two_at_once(seconds: float) -> None:
    """Run for some time, beside one other at most."""
    with ledger.attempt(this().id):
        time.sleep(seconds)


@queued.job(limits=queued.limits_concurrency(key=lambda key, seconds=0.0: key, on_conflict="discard"))
def only_one(key: str, seconds: float = 0.0) -> None:
    """Run for some time, and no second one of its key is wanted meanwhile."""
    with ledger.attempt(this().id):
        time.sleep(seconds)


@queued.job()
def enqueue_only_one_twice(key: str) -> None:
    """Enqueue two jobs of which one is not wanted, and note what the handles say."""
    told = queued.enqueue_many([only_one.bind(key, 0.2), only_one.bind(key)])
    ledger.note("told", this().id, discarded=[one.discarded for one in told])


@queued.job(
    retry_on=queued.retry_on(NoLuckError, wait=0.05, jitter=0, attempts=2),
    limits=queued.limits_concurrency(key=lambda key: key),
)
def fail_alone(key: str) -> None:
    """Fail twice, alone for its key."""
    with ledger.attempt(this().id):
        time.sleep(0.02)
        raise NoLuckError("nothing went well")


@queued.job(unique=queued.unique(lambda key, seconds=0.0: key))
def once(key: str, seconds: float = 0.0) -> None:
    """Run for some time, and none of its key is wanted until it has ended."""
    with ledger.attempt(this().id):
        time.sleep(seconds)


@queued.job(unique=queued.unique(until="start", on_conflict="raise"))
def once_waiting(key: str) -> None:
    """Wait in one copy only; see itself enqueued again while it runs."""
    with ledger.attempt(this().id):
        ledger.note("told", this().id, existing=once_waiting.set(wait=3600).enqueue(key).existing)


@queued.job(
    unique=queued.unique(until="waiting"), retry_on=queued.retry_on(NoLuckError, wait=3600, jitter=0, attempts=2)
)
def once_at_rest(until: str) -> None:
    """Run until that file is there, and then wait for a retry."""
    with ledger.attempt(this().id):
        while not os.path.exists(until):
            time.sleep(0.02)
        raise NoLuckError("once more, later")


@queued.job(expires=0.5)
def in_time(label: str) -> None:
    """Start soon or not at all."""
    with ledger.attempt(this().id, label=label):
        pass


@queued.job(expires=60.0)
def in_good_time(label: str) -> None:
    """The same, with more time than any start takes."""
    with ledger.attempt(this().id, label=label):
        pass


@queued.job(rate=queued.rate_limit(2, per=1.0, key=lambda host: host))
def fetch(host: str) -> None:
    """Run at most twice a second for each host."""
    with ledger.attempt(this().id, label=host):
        pass


@queued.job()
def follow(what: str) -> None:
    """Follow a batch, and note what is known of it."""
    job = this()
    batch = job.batch
    assert batch is not None
    counts = [batch.total, batch.done, batch.failed, batch.discarded]
    ledger.note("followed", job.id, what=what, batch=batch.id, counts=counts, metadata=dict(batch.metadata or {}))


@queued.job()
def multiply(count: int) -> None:
    """Add further members to the batch that this job belongs to."""
    job = this()
    assert job.batch is not None
    with ledger.attempt(job.id):
        job.batch.add_many([note.bind("added") for _ in range(count)])


@queued.job()
def open_a_batch(label: str) -> None:
    """Open a batch from inside a job; adding to an empty one is refused."""
    with queued.batch(label, on_finish=follow.bind(label)) as opened:
        note.enqueue(label)
    with queued.batch() as empty:
        pass
    try:
        empty.add(note.bind(label))
    except queued.BatchFinished as error:
        ledger.note("told", this().id, batch=opened.id, error=str(error))


@queued.job()
def die_first() -> None:
    """Take the process along in the first attempt."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        if job.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)


@queued.job(retry_on=queued.retry_on(NoLuckError, wait=0.05, jitter=0, attempts=3))
def walk(count: int, seconds: float, ends: str = "", until: str = "") -> None:
    """Three steps: one that notes itself, one that counts with a cursor, one that notes itself.

    `ends` says how it goes wrong; `until` names the file that it waits for half way.
    """
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        with queued.step("open") as s:
            if not s.finished:
                ledger.note("opened", job.id)
        with queued.step("count", start=0) as s:
            ledger.note("resumed", job.id, cursor=s.cursor)
            for number in range(s.cursor, count):
                ledger.note("counted", job.id, number=number)
                time.sleep(seconds)
                s.advance(number + 1)
                queued.progress(number + 1, count, "counting")
                while until and number == count // 2 and not os.path.exists(until):
                    time.sleep(0.02)
                    queued.progress(number + 1, count, "counting")
                if ends and number == count // 2 and job.attempt == 1:
                    s.checkpoint()
                    if ends == "exit":
                        os._exit(9)
                    raise NoLuckError("half of it")
        close(job.id)


@queued.step("close")
def close(s: queued.Step, job: int) -> None:
    """The last step, as a function."""
    ledger.note("closed", job)


@queued.job()
async def awalk(count: int, seconds: float) -> None:
    """The same as a coroutine, with one step."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        async with queued.step("count", start=0) as s:
            ledger.note("resumed", job.id, cursor=s.cursor)
            for number in range(s.cursor, count):
                ledger.note("counted", job.id, number=number)
                await asyncio.sleep(seconds)
                s.advance(number + 1)
            await s.acheckpoint()


@queued.job(retry_on=queued.retry_on(Exception, wait=0.05, jitter=0, attempts=5))
def renamed() -> None:
    """A job whose code is another one at the second attempt."""
    job = this()
    with ledger.attempt(job.id, attempt=job.attempt):
        with queued.step("first") as s:
            if not s.finished:
                ledger.note("first", job.id)
        with queued.step("second" if job.attempt == 1 else "another", start=0) as s:
            s.advance(s.cursor + 1)
            raise NoLuckError("in the second step")
