"""What a service manager is told, decided: no socket, no clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queued.domain.insights import Backlog
from queued.domain.service import EXTENSION, QUIET, Outlook, Told, hung, is_ready, notices, status_line
from queued.domain.supervision import (
    Event,
    Exited,
    Heard,
    Limits,
    Loaded,
    Place,
    Registered,
    ReloadAsked,
    State,
    StopAsked,
    Tick,
    initial,
    step,
)

APPLICATION = Place("application", "application")
DISPATCHER = Place("dispatcher-1", "dispatcher")
WORKERS = tuple(Place(f"worker-{number}", "worker") for number in (1, 2, 3))


class Service:
    """A supervision that is told events, and the messages that a service manager has been sent."""

    def __init__(self, *plan: Place, watchdog: float | None = None, role: str | None = None) -> None:
        self.outlook = Outlook(state=initial(plan, limits=Limits(start_retries=1, stop_grace=7.0)), role=role)
        self.told = Told(watchdog=watchdog)
        self.now = 100.0

    @property
    def state(self) -> State:
        return self.outlook.state

    def tell(self, *events: Event, after: float = 0.0) -> Service:
        self.now += after
        for event in events:
            self.outlook = replace(self.outlook, state=step(self.state, event, self.now)[0])
        return self

    def knows(self, **facts: object) -> Service:
        self.outlook = replace(self.outlook, **facts)  # type: ignore[arg-type]
        return self

    def sent(self) -> list[str]:
        """What is sent now; nothing of it is sent twice."""
        self.told, lines = notices(self.told, self.outlook, self.now)
        return lines

    def status(self) -> str:
        return status_line(self.outlook, self.now, self.told.ready)

    def up(self) -> Service:
        """Every actor registered, and everything told."""
        self.tell(Tick())
        if "application-1" in self.state.actors:
            self.tell(Loaded("application-1"))
        self.tell(*(Registered(key) for key in self.state.actors if not key.startswith("application")))
        assert "READY=1" in self.sent()
        return self


def test_ready_is_said_once_and_only_when_every_actor_is_registered() -> None:
    service = Service(APPLICATION, DISPATCHER, *WORKERS)
    assert "READY=1" not in service.sent()
    for event in (Tick(), Loaded("application-1"), *(Registered(place.key) for place in WORKERS)):
        service.tell(event, after=1.0)
        assert "READY=1" not in service.sent()
    assert "READY=1" in service.tell(Registered("dispatcher-1")).sent()
    assert "READY=1" not in service.tell(Tick(), after=10.0).sent()


def test_a_role_where_nobody_works_is_ready_after_its_first_turn() -> None:
    service = Service(role="web", watchdog=15.0)
    assert not is_ready(service.state)
    assert service.tell(Tick()).sent() == ["READY=1", "WATCHDOG=1", "STATUS=role web: no worker here"]


def test_an_application_that_is_fatal_does_not_keep_the_rest_from_being_ready() -> None:
    service = Service(APPLICATION, DISPATCHER, WORKERS[0]).tell(Tick(), Registered("dispatcher-1"))
    service.tell(Exited("application-1", "jobs.py:3: NameError: no\nsecond line"), Tick())
    assert "READY=1" not in service.sent()
    service.tell(Tick(), after=1.0).tell(Exited("application-1", "jobs.py:3: NameError: no\nsecond line"))
    assert "READY=1" in service.sent()
    assert service.status() == "application-1 is FATAL: jobs.py:3: NameError: no second line; 0 of 1 worker"


def test_the_status_is_workers_running_ready_and_the_oldest() -> None:
    service = Service(APPLICATION, DISPATCHER, *WORKERS).up()
    service.knows(running=12, backlog=Backlog(1204, oldest=2.4))
    assert service.status() == "3 workers, 12 running, 1 204 ready, oldest 2 s"
    service.knows(running=1234567, backlog=Backlog(10_000, capped=True, oldest=7300.0))
    assert service.status() == "3 workers, 1 234 567 running, 10 000+ ready, oldest 2 h"
    service.knows(running=0, backlog=Backlog(0))
    assert service.status() == "3 workers, 0 running, 0 ready"


@pytest.mark.parametrize(
    ("seconds", "words"), [(-3.0, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "119 min"), (200_000.0, "2 d")]
)
def test_a_span_is_told_in_the_largest_unit_that_fits_twice(seconds: float, words: str) -> None:
    service = Service(WORKERS[0]).up().knows(backlog=Backlog(1, oldest=seconds))
    assert service.status().endswith(f"1 ready, oldest {words}")


def test_without_workers_the_status_names_who_else_is_there() -> None:
    service = Service(DISPATCHER, Place("scheduler-1", "scheduler")).up().knows(running=4)
    assert service.status() == "1 dispatcher, 1 scheduler"


def test_the_status_tells_trouble_first() -> None:
    service = Service(*WORKERS).up().tell(Exited("worker-2", "killed by SIGKILL"))
    service.knows(outage="PostgreSQL: gone", refused="queue.yml:3: workers: is a text")
    assert service.status() == (
        "worker-2 is started again, it ended: killed by SIGKILL; no database: PostgreSQL: gone; "
        "not reloaded: queue.yml:3: workers: is a text; 2 of 3 workers"
    )


def test_a_long_reason_is_cut_and_keeps_to_one_line() -> None:
    service = Service(*WORKERS).up().knows(outage="x" * 400 + "\nSTATUS=forged")
    assert len(service.status()) < 250
    assert "\n" not in service.status()


def test_the_status_is_sent_when_it_changes_and_at_most_every_two_seconds() -> None:
    service = Service(*WORKERS).up()
    service.now += 10.0
    assert service.sent() == []
    assert service.knows(running=1).sent() == ["STATUS=3 workers, 1 running"]
    assert service.knows(running=2).sent() == []
    service.now += 2.0
    assert service.sent() == ["STATUS=3 workers, 2 running"]


def test_signs_of_life_come_as_often_as_asked_and_not_at_all_when_nobody_asks() -> None:
    service = Service(*WORKERS, watchdog=5.0).up()
    alive = [Heard(place.key) for place in WORKERS]
    assert [bool(service.tell(*alive, after=1.0).sent()) for _ in range(10)] == [False, False, False, False, True] * 2
    quiet = Service(*WORKERS).up()
    assert quiet.tell(*alive, after=1000.0).sent() == []


def test_signs_of_life_stop_while_an_actor_hangs_and_return_when_it_is_replaced() -> None:
    service = Service(*WORKERS, watchdog=1.0).up()
    others = [Heard("worker-1"), Heard("worker-3"), Tick()]
    while service.now < 100.0 + QUIET:
        assert "WATCHDOG=1" in service.tell(*others, after=1.0).sent()
    said = service.tell(*others, after=1.0).sent()
    assert said == ["STATUS=worker-2 hangs; 3 workers"]
    # The supervisor kills it; it is not forgiven for that, but only for being gone.
    service.tell(*others, after=10.0)
    hanging = hung(service.state, service.now)
    assert hanging is not None
    assert hanging.key == "worker-2"
    assert "WATCHDOG=1" not in service.sent()
    service.tell(Exited("worker-2", "killed by SIGKILL"), Tick(), after=1.0)
    assert service.state.actors["worker-2"].state == "STARTING"
    assert "WATCHDOG=1" in service.sent()


def test_an_actor_that_survives_being_killed_keeps_the_watchdog_hungry() -> None:
    service = Service(*WORKERS, watchdog=1.0).up()
    for _ in range(100):
        service.tell(Heard("worker-1"), Heard("worker-3"), Tick(), after=1.0)
        if service.now > 100.0 + QUIET:
            assert "WATCHDOG=1" not in service.sent()
    assert "WATCHDOG=1" in service.tell(Heard("worker-2"), Tick(), after=1.0).sent()


def test_a_supervisor_that_was_held_up_itself_blames_nobody() -> None:
    service = Service(*WORKERS, watchdog=1.0).up()
    assert "WATCHDOG=1" in service.tell(Tick(), after=25.0).sent()


def test_a_reload_begins_with_its_moment_and_ends_with_ready() -> None:
    service = Service(DISPATCHER, WORKERS[0]).up().knows(reloads=1)
    service.tell(ReloadAsked((DISPATCHER, WORKERS[0])), after=1.5)
    assert service.sent()[:2] == ["RELOADING=1", "MONOTONIC_USEC=101500000"]
    for key in ("dispatcher-1", "worker-1"):
        assert "READY=1" not in service.sent()
        service.tell(Exited(key, "ended"), Tick(), Registered(key), Tick())
    assert "READY=1" in service.sent()
    assert service.tell(Tick(), after=10.0).sent() == []


def test_a_reload_that_is_refused_is_over_at_once_and_the_status_says_why() -> None:
    service = Service(WORKERS[0]).up().knows(reloads=1, refused="queue.yml:1: broken")
    first, second, third = service.sent(), service.sent(), service.sent()
    assert first[0] == "RELOADING=1"
    assert first[2] == "STATUS=not reloaded: queue.yml:1: broken; 1 worker"
    assert second == ["READY=1"]
    assert third == []


def test_a_reload_while_the_service_starts_is_part_of_the_start() -> None:
    service = Service(WORKERS[0]).tell(Tick()).knows(reloads=1)
    assert "RELOADING=1" not in service.sent()
    assert "READY=1" in service.tell(Registered("worker-1")).sent()
    assert service.sent() == []


def test_a_stop_is_announced_once_and_extended_until_everybody_has_gone() -> None:
    service = Service(WORKERS[0], WORKERS[1], watchdog=1.0).up().knows(running=2)
    extend = f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}"
    said = service.tell(StopAsked(), after=1.0).sent()
    assert said == ["STOPPING=1", extend, "WATCHDOG=1", "STATUS=stopping; 2 workers, 2 running"]
    assert service.tell(Tick(), after=1.0).sent() == ["WATCHDOG=1"]
    service.tell(Exited("worker-1", "ended"), Tick(), after=1.0).knows(running=1)
    assert service.sent() == [extend, "WATCHDOG=1", "STATUS=stopping; 1 worker, 1 running"]
    service.tell(Exited("worker-2", "ended"), Tick(), after=5.0).knows(running=0)
    assert service.state.stage == "finished"
    assert extend not in service.sent()
