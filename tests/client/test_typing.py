"""A type checker knows the arguments of a job, however it is called."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import queued

SNIPPET = """
import asyncio
from collections.abc import Coroutine, Generator
from datetime import datetime, timedelta, timezone
from typing import Any

import queued
from queued.testing import assert_enqueued, collect, inline


@queued.job
def add(a: int, b: str = "") -> float:
    return 1.0


@queued.job(queue=lambda a: f"q{a}", priority=3, retry_on=[ConnectionError, queued.retry_on(OSError, wait=timedelta(seconds=3))],
            discard_on=(KeyError, ValueError), timeout=timedelta(minutes=1))
async def later(a: int) -> str:
    return ""


total: float = add(1, b="x")
handle: queued.EnqueuedJob = add.enqueue(1, "x")
unsent: queued.UnsentJob = add.bind(1, b="x")
coroutine: Coroutine[Any, Any, str] = later(1)
add.set(wait=3, wait_until=None, queue="x", priority=1).enqueue(1)
add.set(wait_until=datetime.now(timezone.utc), connection=object()).bind(1)
add.enqueue(1, "x", connection=object())
add.enqueue(1, at_finish=True)
handles: list[queued.EnqueuedJob] = queued.enqueue_many([unsent, later.bind(2)], connection=object())


async def main() -> None:
    one: queued.EnqueuedJob = await add.aenqueue(1)
    await later.set(queue="x").aenqueue(1, connection=object())
    many: list[queued.EnqueuedJob] = await queued.aenqueue_many([unsent])
    text: str = await later(1)


@queued.step("one", start=0)
def one_step(s: queued.Step, year: int, *, word: str = "") -> None:
    s.advance(year)
    queued.progress(1, 2.5, "words")


@queued.step("two")
async def two_steps(s: queued.Step) -> None:
    await s.acheckpoint()


async def with_steps() -> None:
    nothing: None = one_step(2026, word="x")
    await two_steps()
    async with queued.step("three") as s:
        if not s.finished:
            s.set((1, "two"))


@add.before_perform
def before(job: queued.CurrentJob) -> None:
    job.logger.info("x")


@queued.around_enqueue
def around(job: queued.UnsentJob) -> Generator[None, queued.EnqueuedJob, None]:
    handle = yield
    number: int | None = handle.id


@queued.on_worker_start
def started(info: dict[str, Any]) -> None: ...


queued.register_converter(complex, lambda c: [c.real, c.imag], lambda s: complex(*s), name="complex")
with collect() as jobs, inline(), queued.context(tenant="x"):
    assert_enqueued(add, args=[1], queue="x")

add("1")  # error
add.enqueue("1")  # error
add.enqueue()  # error
add.enqueue(1, c=2)  # error
add.bind(None)  # error
add.set(when=3)  # error
add.set(queue="x").enqueue("1")  # error
later.enqueue(1, 2)  # error
number: int = add(1)  # error
queued.enqueue_many([add])  # error
queued.retry_on(OSError, wait="sometimes")  # error
queued.no_such_name  # error


async def wrong() -> None:
    await add.aenqueue("1")  # error
    await later(1, 2)  # error


@add.before_perform  # error
def misfit(job: queued.UnsentJob) -> None: ...
"""


def test_mypy_accepts_what_is_right_and_refuses_what_is_wrong(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    package = Path(queued.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "--no-error-summary", "--hide-error-context",
         "--follow-imports", "silent", "--cache-dir", str(tmp_path / "cache"), str(snippet)],
        env={"MYPYPATH": str(package), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    refused = {int(line) for line in re.findall(r"snippet\.py:(\d+): error", done.stdout)}
    expected = {n for n, line in enumerate(SNIPPET.splitlines(), 1) if "# error" in line}
    assert refused == expected, done.stdout + done.stderr
