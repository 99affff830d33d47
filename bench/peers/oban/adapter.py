"""Oban for Python."""

from __future__ import annotations

import logging
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import protocol
import uvloop
from oban import Oban, job
from oban.schema import install

#: Jobs at once: a claim takes as many as are free, and outcomes are stored with the next claim.
LIMIT = 1000
AT_ONCE = 10


@job(queue="default")
async def nothing() -> None:
    protocol.nothing()


@job(queue="default")
async def compute() -> None:
    protocol.compute()


@job(queue="default")
async def wait() -> None:
    await protocol.await_()


@job(queue="default")
async def tell(port: int, number: int) -> None:
    protocol.tell(port, number)


JOBS = {"nothing": nothing, "compute": compute, "wait": wait}


class ObanForPython(protocol.Adapter):
    settings = f"uvloop; limit of the queue {LIMIT} (for waits {AT_ONCE}); enqueue_many of {protocol.BATCH}"

    def version(self) -> str:
        return f"oban {version('oban')}, psycopg {version('psycopg')} (binary), uvloop {version('uvloop')}"

    def left(self, database: str) -> str:
        states = "'available', 'scheduled', 'executing', 'retryable', 'suspended'"
        return f"SELECT id FROM oban_jobs WHERE state IN ({states}) ORDER BY id DESC LIMIT 1"

    def stored(self, database: str) -> str:
        return "SELECT count(*) FROM oban_jobs WHERE state = 'completed'"

    def setup(self, url: str) -> None:
        async def main() -> None:
            pool = await Oban.create_pool(url)
            await install(pool)
            await pool.close()

        uvloop.run(main())

    def fill(self, url: str, job: str, count: int) -> float:
        async def calls(oban: Oban) -> None:
            for size in protocol.batches(count):
                await oban.enqueue_many([JOBS[job].new() for _ in range(size)])

        return float(uvloop.run(_with_client(url, lambda oban: protocol.timed_async(calls(oban)))))

    def single(self, url: str, count: int) -> float:
        async def calls(oban: Oban) -> None:
            for _ in range(count):
                await oban.enqueue(nothing.new())

        return float(uvloop.run(_with_client(url, lambda oban: protocol.timed_async(calls(oban)))))

    def pick_up(self, url: str, count: int) -> list[float]:
        async def calls(oban: Oban) -> list[float]:
            ear = protocol.Ear()
            for number in ear.numbers(count):
                asked = time.monotonic()
                await oban.enqueue(tell.new(ear.port, number))
                ear.hear(number, asked)
            return ear.milliseconds()

        return list(uvloop.run(_with_client(url, calls)))

    def work(self, url: str, row: str, workers: int) -> None:
        logging.getLogger("oban").setLevel(logging.ERROR)

        async def main() -> None:
            pool = await Oban.create_pool(url)
            oban = Oban(pool=pool, queues={"default": AT_ONCE if row == "wait" else LIMIT})
            protocol.ready()
            async with oban:
                await protocol.stopping()
            await pool.close()

        uvloop.run(main())


async def _with_client(url: str, calls: Any) -> Any:
    """What the calls give, made with a client that runs no jobs and has connected."""
    pool = await Oban.create_pool(url)
    async with Oban(pool=pool) as oban:
        result = await calls(oban)
    await pool.close()
    return result


if __name__ == "__main__":
    protocol.main(ObanForPython())
