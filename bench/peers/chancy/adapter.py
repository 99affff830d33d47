"""Chancy."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import protocol
from chancy import Chancy, Queue, Worker, job
from chancy.plugins.leadership import Leadership
from chancy.plugins.pruner import Pruner
from chancy.plugins.recovery import Recovery

#: Jobs at once, which a claim may take in one statement.
CONCURRENCY = 1000
AT_ONCE = 10
#: Seconds between two transactions that store outcomes.
FLUSH = 0.01


@job()
async def nothing() -> None:
    protocol.nothing()


@job()
async def compute() -> None:
    protocol.compute()


@job()
async def wait() -> None:
    await protocol.await_()


@job()
async def tell(*, port: int, number: int) -> None:
    protocol.tell(port, number)


JOBS = {"nothing": nothing, "compute": compute, "wait": wait}


def open_chancy(url: str) -> Chancy:
    """Its application with what a lost worker's jobs need, and without metrics and workflows, which halve its speed."""
    log = logging.getLogger("chancy")
    log.setLevel(logging.ERROR)
    return Chancy(url, log=log, plugins=[Leadership(), Pruner(), Recovery()], no_default_plugins=True)


class ChancyPeer(protocol.Adapter):
    settings = (
        f"async executor, concurrency {CONCURRENCY} (for waits {AT_ONCE}), eager_polling, "
        f"no metrics and workflow plugins, send_outgoing_interval {FLUSH} s; push_many of {protocol.BATCH}"
    )

    def version(self) -> str:
        return f"chancy {version('chancy')}, psycopg {version('psycopg')} (binary)"

    def left(self, database: str) -> str:
        states = "'pending', 'running', 'retrying'"
        return f"SELECT id FROM chancy_jobs WHERE state IN ({states}) ORDER BY id DESC LIMIT 1"

    def stored(self, database: str) -> str:
        return "SELECT count(*) FROM chancy_jobs WHERE state = 'succeeded'"

    def setup(self, url: str) -> None:
        async def main() -> None:
            async with open_chancy(url) as chancy:
                await chancy.migrate()

        asyncio.run(main())

    def fill(self, url: str, job: str, count: int) -> float:
        async def calls(chancy: Chancy) -> None:
            async for _ in chancy.push_many([JOBS[job].job] * count, batch_size=protocol.BATCH):
                pass

        async def main() -> float:
            async with open_chancy(url) as chancy:
                return await protocol.timed_async(calls(chancy))

        return asyncio.run(main())

    def single(self, url: str, count: int) -> float:
        async def calls(chancy: Chancy) -> None:
            for _ in range(count):
                await chancy.push(nothing)

        async def main() -> float:
            async with open_chancy(url) as chancy:
                return await protocol.timed_async(calls(chancy))

        return asyncio.run(main())

    def pick_up(self, url: str, count: int) -> list[float]:
        async def main() -> list[float]:
            ear = protocol.Ear()
            async with open_chancy(url) as chancy:
                for number in ear.numbers(count):
                    asked = time.monotonic()
                    await chancy.push(tell.job.with_kwargs(port=ear.port, number=number))
                    ear.hear(number, asked)
            return ear.milliseconds()

        return asyncio.run(main())

    def work(self, url: str, row: str, workers: int) -> None:
        concurrency = AT_ONCE if row == "wait" else CONCURRENCY

        async def main() -> None:
            async with open_chancy(url) as chancy:
                queue = Queue("default", concurrency=concurrency, executor=Chancy.Executor.Async, eager_polling=True)
                await chancy.declare(queue, upsert=True)
                worker = Worker(chancy, register_signal_handlers=False)
                worker.send_outgoing_interval = FLUSH
                protocol.ready()
                async with worker:
                    await protocol.stopping()

        asyncio.run(main())


if __name__ == "__main__":
    protocol.main(ChancyPeer())
