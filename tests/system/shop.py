"""The shop on three hosts: its application on web, its jobs on worker, its database on db."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

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

    def order(self, first: int, last: int, seconds: float = 0.0) -> list[int]:
        """Enqueue the orders of these numbers, both included."""
        return self.enqueue(
            f"jobs = queued.enqueue_many([shop.order.bind(n, {seconds}) for n in range({first}, {last + 1})])"
        )

    def sql(self, query: str) -> str:
        """What the database answers, unaligned, asked on db itself."""
        return self.db.run("psql", "-XAtq", "-c", query, "shop", user="postgres").stdout.strip()
