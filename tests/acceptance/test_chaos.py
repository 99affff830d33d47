"""Processes and connections are killed at random while jobs flow. The ledger says what ran, and how often.

Only the death of the process that ran a job may have made it run twice.
"""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psycopg
import pytest

from acceptance.conftest import Serve
from acceptance.load import Producer
from acceptance.service import Service, kill

#: Seconds of killing.
CHAOS = 6.5


@pytest.mark.parametrize("combination", ["sqlite-fork", "postgresql-fork", "postgresql-async"])
def test_random_kills_lose_nothing_and_repeat_only_what_they_hit(
    serve: Serve, work: ModuleType, request: pytest.FixtureRequest, combination: str, tmp_path: Path
) -> None:
    database, _, mode = combination.partition("-")
    url = request.getfixturevalue(f"{database}_url")
    service = serve(
        url,
        mode=mode,
        workers=[{"threads": 3, "processes": 2, "polling_interval": 0.1}],
        settings={"crash_limit": 30, "start_retries": 100},
    )
    seed = random.randrange(10**6)
    killer = Killer(service, random.Random(seed), workers=mode == "fork")
    with Producer(url, tmp_path / "enqueued", pause=0.02) as producer:
        service.until(producer.enqueued, "the first job: the producer has to start too")
        killer.work(CHAOS)
        # On a busy machine it goes on until enough has happened.
        service.until(
            lambda: (len(producer.enqueued()) > 100 and len(killer.killed) > 5) or killer.work(0.5),
            "a hundred enqueues and six killed runners",
        )
        ids = [one.id for one in producer.stop() if one.id is not None]
    assert len(ids) > 50, "half of them were refused"
    service.wait_all(ids)
    explained = f"seed {seed}, killed {sorted(killer.killed)}"
    starts: dict[int, list[int]] = {}
    for entry in service.ledger.starts():
        starts.setdefault(entry["job"], []).append(entry["pid"])
    ends = service.ledger.jobs("end")
    for job in ids:
        assert ends[job] >= 1, f"job {job} is finished and never came to its end; {explained}"
        for pid in starts[job][:-1]:
            assert pid in killer.killed, (
                f"job {job} ran again after {pid}, which nobody killed; {explained}\n{service.report()}"
            )
    assert "Traceback" not in service.daemon.log()
    assert service.daemon.stop() == 0
    assert service.daemon.processes() == []


class Killer:
    """Kills runners, the loaded application, connections and, in fork mode, workers; remembers which runners that took."""

    def __init__(self, service: Service, chance: random.Random, *, workers: bool) -> None:
        self.killed: set[int] = set()
        self._service = service
        self._chance = chance
        self._workers = workers

    def work(self, seconds: float) -> None:
        """Kill a runner or a connection several times a second, now and then something larger."""
        end = time.monotonic() + seconds
        larger = [self._kill_application, self._kill_worker if self._workers else self._kill_application]
        larger_at = time.monotonic() + 2.0
        while time.monotonic() < end:
            time.sleep(self._chance.uniform(0.05, 0.5))
            if time.monotonic() > larger_at:
                larger_at += 2.0
                larger.reverse()
                larger[0]()
            elif self._service.url.startswith("postgresql") and self._chance.random() < 0.3:
                self._kill_connection()
            else:
                self._kill_runner()

    def _kill_connection(self) -> None:
        with psycopg.connect(self._service.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name ~ '^queued (worker|dispatcher|supervisor)' ORDER BY random() LIMIT 1"
            )

    def _kill_application(self) -> None:
        # Its runners cannot outlive it; they are counted while it stands still and can make no others.
        said = re.findall(r"Loaded the application \(pid: (\d+),", self._service.daemon.log())
        kill(int(said[-1]), signal.SIGSTOP)
        self._count(self._all_runners)
        kill(int(said[-1]))

    def _count(self, runners: Callable[[], list[int]]) -> None:
        """Note these runners as killed. One that was forked just now maps its slot file a moment later."""
        seen = {*runners()}
        while True:
            time.sleep(0.05)
            if seen >= (now := {*runners()}):
                break
            seen |= now
        self.killed |= seen

    def _all_runners(self) -> list[int]:
        return [pid for name in self._service.processes() for pid in self.runners_of(name)]

    def _kill_runner(self) -> None:
        runners = self._all_runners()
        if runners:
            pid = self._chance.choice(runners)
            self.killed.add(pid)
            kill(pid)

    def _kill_worker(self) -> None:
        workers = self._service.processes()
        if workers:
            name = self._chance.choice(sorted(workers))
            # It stands still while its runners are counted.
            kill(workers[name], signal.SIGSTOP)
            self._count(lambda: self.runners_of(name))
            kill(workers[name])

    def runners_of(self, worker: str) -> list[int]:
        """The processes that have one of the worker's slot files mapped."""
        found = []
        for pid in self._service.daemon.processes():
            try:
                if f"{worker}-" in Path(f"/proc/{pid}/maps").read_text():
                    found.append(pid)
            except OSError:
                pass  # it has just ended
        return found
