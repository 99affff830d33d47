"""Procrastinate, by psycopg."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))

import protocol
from procrastinate import App, PsycopgConnector

#: Jobs at once, and connections for them: beyond these it gets no faster.
CONCURRENCY = 5
AT_ONCE = 10


def application(url: str, connections: int = 1) -> App:
    """The application with its jobs, which a process that enqueues must know as well as one that works."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=connections, max_size=connections))

    @app.task(name="nothing")
    async def nothing() -> None:
        protocol.nothing()

    @app.task(name="compute")
    async def compute() -> None:
        protocol.compute()

    @app.task(name="wait")
    async def wait() -> None:
        await protocol.await_()

    @app.task(name="tell")
    async def tell(port: int, number: int) -> None:
        protocol.tell(port, number)

    return app


class Procrastinate(protocol.Adapter):
    settings = (
        f"concurrency {CONCURRENCY} (for waits {AT_ONCE}) and as many connections and two; delete_jobs never; "
        f"batch_defer of {protocol.BATCH}"
    )

    def version(self) -> str:
        return f"procrastinate {version('procrastinate')}, psycopg {version('psycopg')} (binary)"

    def left(self, database: str) -> str:
        return "SELECT id FROM procrastinate_jobs WHERE status IN ('todo', 'doing') ORDER BY id DESC LIMIT 1"

    def stored(self, database: str) -> str:
        return "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"

    def setup(self, url: str) -> None:
        async def install() -> None:
            app = application(url)
            async with app.open_async():
                await app.schema_manager.apply_schema_async()

        asyncio.run(install())

    def fill(self, url: str, job: str, count: int) -> float:
        app = application(url)

        async def calls() -> None:
            for size in protocol.batches(count):
                await app.tasks[job].batch_defer_async(*({} for _ in range(size)))

        async def main() -> float:
            async with app.open_async():
                return await protocol.timed_async(calls())

        return asyncio.run(main())

    def single(self, url: str, count: int) -> float:
        app = application(url)

        async def calls() -> None:
            for _ in range(count):
                await app.tasks["nothing"].defer_async()

        async def main() -> float:
            async with app.open_async():
                return await protocol.timed_async(calls())

        return asyncio.run(main())

    def pick_up(self, url: str, count: int) -> list[float]:
        app = application(url)

        async def main() -> list[float]:
            ear = protocol.Ear()
            async with app.open_async():
                for number in ear.numbers(count):
                    asked = time.monotonic()
                    await app.tasks["tell"].defer_async(port=ear.port, number=number)
                    ear.hear(number, asked)
            return ear.milliseconds()

        return asyncio.run(main())

    def work(self, url: str, row: str, workers: int) -> None:
        # Every job is worth several lines in its log otherwise.
        logging.getLogger("procrastinate").setLevel(logging.ERROR)
        concurrency = AT_ONCE if row == "wait" else CONCURRENCY
        app = application(url, concurrency + 2)

        async def main() -> None:
            async with app.open_async():
                protocol.ready()
                working = asyncio.create_task(
                    app.run_worker_async(concurrency=concurrency, install_signal_handlers=False)
                )
                await protocol.stopping()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

        asyncio.run(main())


if __name__ == "__main__":
    protocol.main(Procrastinate())
