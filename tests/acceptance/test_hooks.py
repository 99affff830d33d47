"""The application's hooks in the life of a daemon: each runs once for each actor, in order, and a failing one stops nothing."""

from __future__ import annotations

from collections import Counter

from acceptance.service import Service, named
from fixtures.daemon import DaemonFactory
from fixtures.ledger import Ledger

APPLICATION = """
import ledger
import queued


def note(event):
    def hook(info):
        ledger.note(event, 0, kind=info.get("kind"), name=info.get("name"))
    return hook


for actor in ("", "worker_", "dispatcher_"):
    for moment in ("start", "stop", "exit"):
        getattr(queued, f"on_{actor}{moment}")(note(f"{actor}{moment}"))


@queued.on_start
def broken(info):
    raise OSError("this hook has a bad day")


@queued.job()
def work():
    ledger.note("worked", queued.current_job().id)
"""


def test_hooks_run_once_for_each_actor_and_a_failing_one_stops_nothing(
    daemon: DaemonFactory, ledger: Ledger, sqlite_url: str, mode: str
) -> None:
    service = Service(daemon(sqlite_url, mode=mode, app=APPLICATION, workers=[{"threads": 1, "processes": 2}]), ledger)
    [job] = service.enqueue(named("jobs.work").bind())
    service.wait(job)
    for event, count in (("start", 1), ("worker_start", 2), ("dispatcher_start", 1)):
        ledger.wait_for(event, count)
    service.daemon.wait_for_log("this hook has a bad day")
    workers = set(service.processes())
    assert service.daemon.stop() == 0
    events = Counter(entry["event"] for entry in ledger.entries())
    for moment in ("start", "stop", "exit"):
        assert (events[moment], events[f"worker_{moment}"], events[f"dispatcher_{moment}"]) == (1, 2, 1), events
        assert {entry["name"] for entry in ledger.entries(f"worker_{moment}")} == workers
    order = [entry["event"] for entry in ledger.entries()]
    assert order.index("start") < order.index("stop") < order.index("exit")
    assert order[-1] == "exit"
    service.close()
