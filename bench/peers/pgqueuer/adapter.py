"""PgQueuer, by asyncpg."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import asyncpg
import protocol
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.models import Job

#: Jobs of one claim, and of one flush of outcomes. Ten at once for waits.
CLAIM = 1000
AT_ONCE = 10
CONNECTIONS = 4


class Pgqueuer(protocol.Adapter):
    settings = (
        f"asyncpg, a pool of {CONNECTIONS}, uvloop; durability 'durable'; batch_size {CLAIM} "
        f"(for waits {AT_ONCE // 2}, max_concurrent_tasks {AT_ONCE}); "
        f"enqueue of {protocol.BATCH} jobs a call"
    )

    def version(self) -> str:
        return f"pgqueuer {version('pgqueuer')}, asyncpg {version('asyncpg')}, uvloop {version('uvloop')}"

    def left(self, database: str) -> str:
        return "SELECT id FROM pgqueuer ORDER BY id DESC LIMIT 1"

    def stored(self, database: str) -> str:
        return "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"

    def setup(self, url: str) -> None:
        async def install() -> None:
            await Queries.from_asyncpg_connection(await asyncpg.connect(url)).install()

        uvloop.run(install())

    def fill(self, url: str, job: str, count: int) -> float:
        async def calls(queries: Queries) -> None:
            for size in protocol.batches(count):
                await queries.enqueue([job] * size, [None] * size, [0] * size)

        async def main() -> float:
            return await protocol.timed_async(calls(Queries.from_asyncpg_connection(await asyncpg.connect(url))))

        return uvloop.run(main())

    def single(self, url: str, count: int) -> float:
        async def calls(queries: Queries) -> None:
            for _ in range(count):
                await queries.enqueue("nothing", None)

        async def main() -> float:
            return await protocol.timed_async(calls(Queries.from_asyncpg_connection(await asyncpg.connect(url))))

        return uvloop.run(main())

    def pick_up(self, url: str, count: int) -> list[float]:
        async def main() -> list[float]:
            queries = Queries.from_asyncpg_connection(await asyncpg.connect(url))
            ear = protocol.Ear()
            for number in ear.numbers(count):
                asked = time.monotonic()
                await queries.enqueue("tell", json.dumps([ear.port, number]).encode())
                ear.hear(number, asked)
            return ear.milliseconds()

        return uvloop.run(main())

    def work(self, url: str, row: str, workers: int) -> None:
        async def main() -> None:
            # A pool: claims need not wait for the outcomes that are being stored.
            pool = await asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS)
            queuer = PgQueuer.from_asyncpg_pool(pool)

            @queuer.entrypoint("nothing")
            async def nothing(job: Job) -> None:
                protocol.nothing()

            @queuer.entrypoint("compute")
            async def compute(job: Job) -> None:
                protocol.compute()

            @queuer.entrypoint("wait")
            async def wait(job: Job) -> None:
                await protocol.await_()

            @queuer.entrypoint("tell")
            async def tell(job: Job) -> None:
                protocol.tell(*json.loads(job.payload or b""))

            protocol.ready()
            if row == "wait":
                running = queuer.run(batch_size=AT_ONCE // 2, max_concurrent_tasks=AT_ONCE)
            else:
                running = queuer.run(batch_size=CLAIM)
            task = asyncio.create_task(running)
            await protocol.stopping()
            queuer.shutdown.set()
            await task

        uvloop.run(main())


if __name__ == "__main__":
    protocol.main(Pgqueuer())
