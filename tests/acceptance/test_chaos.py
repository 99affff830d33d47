"""Processes are killed at random while jobs flow. The ledger says what ran; only a kill may have made it run twice."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from types import ModuleType

import pytest

from acceptance.conftest import Serve
from acceptance.load import Producer
from acceptance.service import Service, kill

#: Seconds of killing.
CHAOS = 8.0


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
        killer.work(CHAOS)
        ids = [one.id for one in producer.stop() if one.id is not None]
    assert len(ids) > 100
    service.wait_all(ids, timeout=40)
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
    assert len(killer.killed) > 5
    assert "Traceback" not in service.daemon.log()
    assert service.daemon.stop() == 0
    assert service.daemon.processes() == []


class Killer:
    """Kills runners and, in fork mode, workers, and remembers which runners that took."""

    def __init__(self, service: Service, chance: random.Random, *, workers: bool) -> None:
        self.killed: set[int] = set()
        self._service = service
        self._chance = chance
        self._workers = workers

    def work(self, seconds: float) -> None:
        """Kill a runner several times a second, and a worker every three."""
        end = time.monotonic() + seconds
        worker_at = time.monotonic() + 2.0
        while time.monotonic() < end:
            time.sleep(self._chance.uniform(0.1, 0.6))
            if self._workers and time.monotonic() > worker_at:
                worker_at += 3.0
                self._kill_worker()
            else:
                self._kill_runner()

    def _kill_runner(self) -> None:
        runners = [pid for name in self._service.processes() for pid in self.runners_of(name)]
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
            self.killed.update(self.runners_of(name))
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
