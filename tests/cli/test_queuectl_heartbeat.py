"""queuectl heartbeat: what it shows, and its exit status for monitors."""

from __future__ import annotations

from cli.conftest import Program
from queued.storage import heartbeats
from queued.storage.store import Store


def beat(store: Store, *hosts: str) -> None:
    for host in hosts:
        with store.transaction() as session:
            heartbeats.beat(session, "production", host, f"from {host}")


def test_without_a_heartbeat_it_is_unhealthy_and_says_how_to_have_one(ctl: Program) -> None:
    for verb in ("latest", "verify"):
        done = ctl("heartbeat", verb)
        assert done.status == 3
        assert "queued.heartbeat" in done.out
    assert ctl("heartbeat", "recent").status == 0
    assert ctl("heartbeat", "verify", "--json").json == {"healthy": False, "within_seconds": 600.0, "heartbeat": None}


def test_a_young_heartbeat_is_healthy_and_an_old_one_is_not(ctl: Program, store: Store) -> None:
    beat(store, "one")
    done = ctl("heartbeat", "verify", "--within", "10m")
    assert done.status == 0
    assert done.out.startswith("healthy: ")
    assert ctl("heartbeat", "verify", "--within", "0").status == 3
    assert ctl("heartbeat", "verify", "--within", "soon").status == 2


def test_the_newest_first_and_by_host(ctl: Program, store: Store) -> None:
    beat(store, "one", "two", "one")
    assert "from one" in ctl("heartbeat", "latest").out
    assert ctl("heartbeat", "latest", "--json").json["heartbeat"]["hostname"] == "one"
    told = ctl("heartbeat", "recent", "--limit", 2, "--json").json["heartbeats"]
    assert [beat["hostname"] for beat in told] == ["one", "two"]
    hosts = ctl("heartbeat", "by-host", "--json").json["hosts"]
    assert [(host["hostname"], host["count"]) for host in hosts] == [("one", 2), ("two", 1)]
    assert len(ctl("heartbeat", "by-host").out.splitlines()) == 3
