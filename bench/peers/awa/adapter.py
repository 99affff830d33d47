"""Awa for Python: a runtime in Rust that calls handlers in Python."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import protocol
from awa import AsyncClient

#: Handlers at once, loops that claim for them, and jobs of one claim.
WORKERS = 1000
CLAIMERS = 1
CLAIM = 512
AT_ONCE = 10
#: In one COPY.
COPY = 5000


@dataclass
class Nothing:
    pass


@dataclass
class Compute:
    pass


@dataclass
class Wait:
    pass


@dataclass
class Tell:
    port: int
    number: int


DONE = (
    "(SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)"
    " + (SELECT coalesce(sum(pruned_completed_count), 0) FROM awa.queue_terminal_rollups)"
    " + (SELECT count(*) FROM awa.done_entries WHERE state = 'completed')"
)
JOBS = {"nothing": Nothing, "compute": Compute, "wait": Wait}


class Awa(protocol.Adapter):
    settings = (
        f"max_workers {WORKERS} (for waits {AT_ONCE}), claimers {CLAIMERS}, claim_batch_size {CLAIM}; "
        f"enqueue_many_copy of {COPY}"
    )

    def version(self) -> str:
        return f"awa-pg {version('awa-pg')}"

    def left(self, database: str) -> str:
        # Its view of all jobs takes half a second to ask; every outcome is in the receipts, and later in a count of those pruned.
        return f"SELECT 1 WHERE ({DONE}) < {{count}}"

    def stored(self, database: str) -> str:
        return f"SELECT {DONE}"

    def setup(self, url: str) -> None:
        async def main() -> None:
            client = AsyncClient(url)
            await client.migrate()
            await client.install_queue_storage()
            await client.close()

        asyncio.run(main())

    def fill(self, url: str, job: str, count: int) -> float:
        async def calls(client: AsyncClient) -> None:
            for size in protocol.batches(count, COPY):
                await client.enqueue_many_copy([JOBS[job]()] * size)

        async def main() -> float:
            client = await _connected(url)
            return await protocol.timed_async(calls(client))

        return asyncio.run(main())

    def single(self, url: str, count: int) -> float:
        async def calls(client: AsyncClient) -> None:
            for _ in range(count):
                await client.insert(Nothing())

        async def main() -> float:
            client = await _connected(url)
            return await protocol.timed_async(calls(client))

        return asyncio.run(main())

    def pick_up(self, url: str, count: int) -> list[float]:
        async def main() -> list[float]:
            client = await _connected(url)
            ear = protocol.Ear()
            for number in ear.numbers(count):
                asked = time.monotonic()
                await client.insert(Tell(ear.port, number))
                ear.hear(number, asked)
            return ear.milliseconds()

        return asyncio.run(main())

    def work(self, url: str, row: str, workers: int) -> None:
        async def main() -> None:
            client = await _connected(url)

            @client.task(Nothing)
            async def nothing(job: Any) -> None:
                protocol.nothing()

            @client.task(Compute)
            async def compute(job: Any) -> None:
                protocol.compute()

            @client.task(Wait)
            async def wait(job: Any) -> None:
                await protocol.await_()

            @client.task(Tell)
            async def tell(job: Any) -> None:
                protocol.tell(job.args.port, job.args.number)

            protocol.ready()
            if row == "wait":
                queue = {"name": "default", "max_workers": AT_ONCE}
            else:
                queue = {"name": "default", "max_workers": WORKERS, "claimers": CLAIMERS, "claim_batch_size": CLAIM}
            await client.start([queue])
            await protocol.stopping()
            await client.shutdown()

        asyncio.run(main())


async def _connected(url: str) -> AsyncClient:
    client = AsyncClient(url)
    await client.storage_status()
    return client


if __name__ == "__main__":
    protocol.main(Awa())
