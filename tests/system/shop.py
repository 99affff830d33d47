"""The shop on three hosts: its application on web, its jobs on worker, its database on db."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from fixtures.guest import ledger as guest_ledger
from fixtures.ledger import Ledger
from system.guide import follow
from system.host import Host
from system.tree import Tree

#: A Debian with an application: a user, and a virtual environment that has the database's driver.
APPLICATION = Tree(
    "bookworm",
    "shop",
    packages=("python3", "python3-venv"),
    wheels=("psycopg[binary]",),
    script="""
        useradd --system --user-group --home-dir /srv/shop shop
        install -d -o shop -g shop /srv/shop /srv/shop/var
        runuser -u shop -- python3 -m venv /srv/shop/.venv
        runuser -u shop -- /srv/shop/.venv/bin/pip install --quiet --no-index --find-links=/srv/wheels 'psycopg[binary]'
    """,
)
DATABASE = Tree("bookworm", "db", packages=("postgresql", "nftables"))
APP = Path(__file__).parent / "app"
#: What `gates` wait for.
GATE = "/srv/shop/var/open"
#: The application's login, as the guide has it.
URL = "postgresql://shop:secret-of-shop@10.0.0.3/shop?sslmode=require"


def deploy(host: Host, wheel: Path) -> None:
    """What a host must have before the guide: a fresh list of packages, the application, the client library in its environment."""
    host.apt("update")
    for source in (*APP.glob("*.py"), Path(guest_ledger.__file__)):
        host.write(f"/srv/shop/{source.name}", source.read_text())
    place = host.root / "srv/shop" / wheel.name
    place.write_bytes(wheel.read_bytes())
    host.shell(f"runuser -u shop -- /srv/shop/.venv/bin/pip install --quiet --no-index /srv/shop/{wheel.name}")
    place.unlink()


@dataclass(frozen=True)
class Shop:
    """The three hosts, running as docs/three-hosts.md says."""

    web: Host
    worker: Host
    db: Host
    _counter: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def hosts(self) -> tuple[Host, Host, Host]:
        """All of them."""
        return self.web, self.worker, self.db

    @property
    def ledger(self) -> Ledger:
        """What the jobs wrote down on worker."""
        return Ledger(self.worker.root / "srv/shop/var/ledger.jsonl")

    def build(self, wheel: Path) -> Shop:
        """Boot the hosts and follow the guide on each."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Host.boot, self.hosts))
            list(pool.map(lambda host: deploy(host, wheel), (self.web, self.worker)))
        for host in (self.db, self.worker, self.web):
            follow(host)
        return self

    def enqueue(self, code: str) -> list[int]:
        """Run Python of the application on web; gives the ids of the list of handles that the code calls `jobs`."""
        program = f"import json, queued, shop\n{code}\nprint(json.dumps([job.id for job in jobs]))"
        command = ["env", "-C", "/srv/shop", f"QUEUED_DATABASE_URL={URL}", "/srv/shop/.venv/bin/python", "-c", program]
        ids: list[int] = json.loads(self.web.run(*command, user="shop").stdout.splitlines()[-1])
        return ids

    def numbers(self, count: int) -> list[int]:
        """Numbers for orders that no other test has."""
        return [next(self._counter) for _ in range(count)]

    def order(self, numbers: list[int], seconds: float = 0.0) -> list[int]:
        """Enqueue an order of each number, which takes that long."""
        return self.enqueue(f"jobs = queued.enqueue_many([shop.order.bind(n, {seconds}) for n in {numbers}])")

    def gates(self, numbers: list[int]) -> list[int]:
        """Enqueue a job of each number that waits for `open`; returns when all run, and the database knows that they do.

        That is what a job's blame after the loss of its whole host depends on: until half a second after its start only the
        host itself knows that it has begun.
        """
        self.worker.shell(f"rm -f {GATE}")
        ids = self.enqueue(f"jobs = queued.enqueue_many([shop.gate.bind(n, {GATE!r}) for n in {numbers}])")
        known = f"SELECT count(*) FROM queued.claimed WHERE started_at IS NOT NULL AND job_id IN ({', '.join(map(str, ids))})"
        self.worker.wait_for(lambda: self.sql(known) == str(len(ids)), "all jobs to be known as started")
        return ids

    def open(self) -> None:
        """Let the jobs of `gates` end, also while the host of the worker is off."""
        (self.worker.root / GATE.lstrip("/")).touch()

    def crashes(self, ids: list[int]) -> list[int]:
        """How many attempts of each job are told to have crashed."""
        shown = [self.web.queuectl("jobs", "show", str(job))["attempts"] for job in ids]
        return [sum("JobCrashed" in attempt["error"]["class"] for attempt in attempts) for attempts in shown]

    def workers(self) -> list[dict[str, Any]]:
        """What the living workers say of themselves."""
        processes = self.worker.queuectl("processes")["processes"]
        return [process["metadata"] for process in processes if process["kind"] == "worker" and process["alive"]]

    def worker_processes(self) -> list[int]:
        """The process ids of the living workers."""
        processes = self.worker.queuectl("processes")["processes"]
        return [process["pid"] for process in processes if process["kind"] == "worker" and process["alive"]]

    def all_done(self, timeout: float = 90.0) -> None:
        """Return when no job is waiting or running."""
        left = " + ".join(
            f"(SELECT count(*) FROM queued.{table})" for table in ("ready", "claimed", "scheduled", "blocked")
        )
        self.worker.wait_for(lambda: self.sql(f"SELECT {left}") == "0", "all jobs to be done", timeout)

    def nothing_lost(self, numbers: list[int]) -> None:
        """Every order came to its end, and none was begun again but as another attempt, which says so."""
        starts = Counter(
            (entry["job"], entry["attempt"]) for entry in self.ledger.starts() if entry["job"] in set(numbers)
        )
        repeated = [start for start, times in starts.items() if times > 1]
        assert not repeated, f"begun more than once (order, attempt): {repeated}"
        ends = self.ledger.jobs("end")
        lost = [number for number in numbers if not ends[number]]
        assert not lost, f"orders that never came to an end: {lost}"

    def sql(self, query: str) -> str:
        """What the database answers, unaligned, asked on db itself."""
        return self.db.run("psql", "-XAtq", "-c", query, "shop", user="postgres").stdout.strip()
