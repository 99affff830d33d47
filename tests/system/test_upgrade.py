"""An upgrade by apt while jobs run, on one host with SQLite."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.ledger import Ledger
from system.conftest import NewHost
from system.host import Host
from system.repository import Repository
from system.shop import APPLICATION, deploy

UNIT = "queued@worker"


@pytest.fixture(scope="module")
def solo(new_host: NewHost, wheel: Path) -> Host:
    """One host with the shop, whose jobs run as its user, on the database that the package comes with."""
    host = new_host(APPLICATION, "solo", "10.0.0.4").boot()
    deploy(host, wheel)
    host.apt("install", "queued-worker", "python3-queued")
    host.shell(
        """
        sed -i 's|^production:|&\\n  app: {path: /srv/shop, import: shop}\\n  shutdown_timeout: 60|' /etc/queued/queue.yml
        install -D -m 644 -t /etc/systemd/system/queued@worker.service.d \\
            /usr/share/doc/queued/examples/systemd/application-user.conf
        usermod -a -G queued shop
        systemctl daemon-reload
        systemctl restart queued@worker
        """
    )
    return host


@pytest.fixture
def ledger(solo: Host) -> Ledger:
    """What the jobs of this host wrote down."""
    return Ledger(solo.root / "srv/shop/var/ledger.jsonl")


@pytest.fixture
def gate(solo: Host) -> Iterator[str]:
    """A file that jobs wait for; it is opened in the end in any case."""
    path = "/srv/shop/var/open"
    yield path
    solo.shell(f"touch {path}")


def enqueue(host: Host, code: str) -> None:
    """Run Python of the application with Debian's interpreter and the package python3-queued, on the database of the host."""
    url = "sqlite:////var/lib/queued/queue.sqlite3"
    program = f"import shop\n{code}"
    host.run("env", "-C", "/srv/shop", f"QUEUED_DATABASE_URL={url}", "/usr/bin/python3", "-c", program, user="shop")


def test_an_upgrade_returns_at_once_and_loses_nothing(
    solo: Host, ledger: Ledger, gate: str, newer_repository: Repository
) -> None:
    edited = solo.read("/etc/queued/queue.yml")
    old_version, old_process = solo.shell("dpkg-query -W -f '${Version}' queued"), solo.show(UNIT, "MainPID")
    enqueue(solo, f"shop.gate.enqueue(1, {gate!r})\nfor n in range(2, 60): shop.order.enqueue(n, 0.2)")
    ledger.wait_for("end", job=2)
    ledger.wait_for("start", job=1)

    newer_repository.offer(solo)
    solo.apt("update")
    begun = time.monotonic()
    solo.apt("upgrade")
    took = time.monotonic() - begun
    version = solo.shell("dpkg-query -W -f '${Version}' queued")
    assert version == newer_repository.version() != old_version
    assert not ledger.ends(1), f"apt waited {took:.1f} s for the job that was running"

    # The old daemon is where it was, with the new files under it, until its job has ended.
    assert solo.show(UNIT, "MainPID") == old_process
    assert solo.show(UNIT, "ActiveState") == "deactivating"
    solo.shell(f"touch {gate}")
    ledger.wait_for("end", job=1)
    solo.wait_for(lambda: solo.show(UNIT, "MainPID") not in ("0", old_process), "the new daemon")
    solo.wait_for(lambda: len({entry["job"] for entry in ledger.ends()}) == 59, "all jobs to be done")
    assert set(ledger.jobs("start").values()) == {1}
    journal = solo.journal("-u", UNIT)
    assert "Traceback" not in journal
    assert "Error -3" not in journal
    assert solo.read("/etc/queued/queue.yml") == edited


def test_a_downgrade_is_refused_before_anything_is_changed(solo: Host, repository: Repository) -> None:
    version = solo.shell("dpkg-query -W -f '${Version}' queued")
    repository.offer(solo)
    older = sorted(
        f"/srv/repository/{deb.relative_to(repository.directory)}" for deb in repository.directory.glob("pool/queued*")
    )
    refused = solo.run(
        *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--allow-downgrades", *older), check=False
    )
    assert refused.returncode != 0
    assert "older" in refused.stdout + refused.stderr
    assert solo.shell("dpkg-query -W -f '${Version} ${Status}' queued") == f"{version} install ok installed"
    assert solo.systemctl("is-active", UNIT).strip() == "active"
