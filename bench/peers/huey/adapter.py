"""Huey, on SQLite or PostgreSQL."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import protocol
from huey import PostgresHuey, SqliteHuey

#: Seconds that an idle worker of SQLite rests: it has no wake-up, and the least rest is the least latency.
REST = 0.01
AT_ONCE = 10


def open_huey(url: str) -> Any:
    """A queue that stores no results, each commit of which is flushed."""
    if url.startswith("sqlite:///"):
        return SqliteHuey("contest", filename=url.removeprefix("sqlite:///"), fsync=True, results=False)
    return PostgresHuey("contest", dsn=url, results=False)


def tasks(huey: Any) -> dict[str, Callable[..., Any]]:
    """The jobs, which a process that enqueues must know as well as one that works."""
    return {
        job.__name__: huey.task(name=job.__name__)(job)
        for job in (protocol.nothing, protocol.compute, protocol.wait, protocol.tell)
    }


class Huey(protocol.Adapter):
    settings = (
        f"results=False, fsync=True; one thread a consumer ({AT_ONCE} for waits); on SQLite polls every {1000 * REST:.0f} ms, "
        "on PostgreSQL woken by NOTIFY"
    )

    def version(self) -> str:
        return f"huey {version('huey')}, psycopg {version('psycopg')}"

    def left(self, database: str) -> str:
        return f"SELECT id FROM {'task' if database == 'sqlite' else 'huey_task'} ORDER BY id DESC LIMIT 1"

    def setup(self, url: str) -> None:
        open_huey(url).storage.close()

    def fill(self, url: str, job: str, count: int) -> float:
        made = tasks(open_huey(url))[job]

        def calls() -> None:
            for _ in range(count):
                made()

        return protocol.timed(calls)

    def single(self, url: str, count: int) -> float:
        return self.fill(url, "nothing", count)

    def pick_up(self, url: str, count: int) -> list[float]:
        tell = tasks(open_huey(url))["tell"]
        ear = protocol.Ear()
        for number in ear.numbers(count):
            asked = time.monotonic()
            tell(ear.port, number)
            ear.hear(number, asked)
        return ear.milliseconds()

    def work(self, url: str, row: str, workers: int) -> None:
        # Every job is worth a line in its log otherwise.
        logging.getLogger("huey").setLevel(logging.ERROR)
        huey = open_huey(url)
        tasks(huey)
        consumer = huey.create_consumer(
            workers=AT_ONCE if row == "wait" else 1, initial_delay=REST, max_delay=REST, periodic=False
        )
        protocol.ready()
        consumer.start()
        protocol.asked_to_stop()
        consumer.stop(graceful=True)


if __name__ == "__main__":
    protocol.main(Huey())
