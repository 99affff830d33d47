"""What a service manager is told of the daemon: `notices(told, outlook, now) -> (told, lines)`. No socket, no clock in here.

The protocol is that of sd_notify(3). The promises:

- READY=1 once every actor is registered. One that is FATAL is not waited for, nor are workers whose application is: the
  service is up with what works, and STATUS says what does not.
- WATCHDOG=1 only while the loop of each actor that is starting or running turns. One that hangs has `Limits.silence` seconds before
  the supervisor replaces it; a watchdog of twice that bites only when that fails, or when the supervisor itself hangs.
- STATUS is one line, trouble first, and changes at most every `STATUS_EVERY` seconds.
- RELOADING=1 and READY=1 stand around each reload, also one that is refused.
- EXTEND_TIMEOUT_USEC while a stop goes on: the supervisor has its own deadlines, and when it hangs the last one runs out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf

from queued.domain.insights import Backlog
from queued.domain.supervision import Actor, State, application_key, expected

#: Seconds between two changes of the status line, and between two extensions of a stop.
STATUS_EVERY = 2.0
EXTEND_EVERY = 2.0
#: Seconds that a stop may go on after the last word of the supervisor. It may be held up by a database for ten.
EXTENSION = 20.0
#: Seconds without a turn of its loop after which an actor counts as hung for the watchdog. A statement may take 22.
QUIET = 24.0
#: Characters of a reason that stand in the status line.
REASON = 160


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that a service manager may be told of: the supervision, and what stands beside it.

    `running` and `backlog` are None while they are not known; `outage` is why the database cannot be reached.
    `reloads` counts the reloads asked for, and `refused` says why the last of them did nothing.
    """

    state: State
    role: str | None = None
    running: int | None = None
    backlog: Backlog | None = None
    outage: str | None = None
    reloads: int = 0
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the service manager knows. `watchdog` is the seconds between two signs of life; None where it wants none."""

    watchdog: float | None = None
    ready: bool = False
    reloads: int = 0
    reloading: bool = False
    stopping: bool = False
    status: str = ""
    status_at: float = -inf
    watchdog_at: float = -inf
    extended_at: float = -inf


@dataclass(slots=True)
class _Message:
    told: Told
    lines: list[str] = field(default_factory=list)

    def add(self, *lines: str, **facts: object) -> None:
        self.lines += lines
        self.told = replace(self.told, **facts)  # type: ignore[arg-type]


def notices(told: Told, outlook: Outlook, now: float) -> tuple[Told, list[str]]:
    """The lines to send, none most of the time, and what is known once they are sent. `now` is CLOCK_MONOTONIC in seconds."""
    message = _Message(told)
    state = outlook.state
    if state.stage == "running":
        if told.ready:
            _reload(message, outlook, now)
        elif is_ready(state):
            message.add("READY=1", ready=True, reloads=outlook.reloads)
    else:
        if not told.stopping:
            message.add("STOPPING=1", stopping=True)
        if now - told.extended_at >= EXTEND_EVERY and state.stage != "finished":
            message.add(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}", extended_at=now)
    if told.watchdog is not None and now - told.watchdog_at >= told.watchdog and hung(state, now) is None:
        message.add("WATCHDOG=1", watchdog_at=now)
    status = status_line(outlook, now, message.told.ready)
    if status != told.status and (message.lines or now - told.status_at >= STATUS_EVERY):
        message.add(f"STATUS={status}", status=status, status_at=now)
    return message.told, message.lines


def _reload(message: _Message, outlook: Outlook, now: float) -> None:
    going_on = outlook.state.candidate is not None or outlook.state.rolling
    if outlook.reloads > message.told.reloads:
        # The moment lets newer service managers tell this reload from an older one; it has to come with RELOADING.
        message.add("RELOADING=1", f"MONOTONIC_USEC={now * 1e6:.0f}", reloads=outlook.reloads, reloading=True)
    elif message.told.reloading and not going_on:
        message.add("READY=1", reloading=False)


def is_ready(state: State) -> bool:
    """Whether everybody is registered who can be."""
    application = state.actors.get(application_key(state.generation))
    for key, kind in expected(state.plan, state.generation):
        actor = state.actors.get(key)
        waits_in_vain = kind == "worker" and application is not None and application.state == "FATAL"
        if actor is None or not (actor.state in ("RUNNING", "FATAL") or waits_in_vain):
            return False
    return state.ticked_at is not None


def hung(state: State, now: float) -> Actor | None:
    """An actor whose own loop does not turn, the longest silent one; None when all do."""
    silent = [
        actor
        for actor in state.actors.values()
        if actor.state in ("STARTING", "RUNNING")
        and actor.kind != "application"
        and (actor.silent or now - actor.heard_at > QUIET)
    ]
    return min(silent, key=lambda actor: actor.heard_at, default=None)


def status_line(outlook: Outlook, now: float, ready: bool) -> str:
    """One line: trouble first, then who works and what waits. `ready`: the start is over."""
    state = outlook.state
    parts = [*_trouble(outlook, now), ", ".join([*_actors(state, outlook.role), *_work(outlook)])]
    if state.stage != "running":
        parts.insert(0, "stopping")
    elif state.candidate is not None or state.rolling:
        parts.insert(0, "reloading")
    elif not ready:
        parts.insert(0, "starting")
    return "; ".join(part for part in parts if part)


def _trouble(outlook: Outlook, now: float) -> list[str]:
    said = []
    for actor in outlook.state.actors.values():
        if actor.state == "FATAL":
            said.append(f"{actor.key} is FATAL: {_short(actor.reason)}")
        elif actor.state == "BACKOFF":
            said.append(f"{actor.key} is started again, it ended: {_short(actor.reason)}")
    silent = hung(outlook.state, now)
    if silent is not None:
        said.append(f"{silent.key} hangs")
    if outlook.outage is not None:
        said.append(f"no database: {_short(outlook.outage)}")
    if outlook.refused is not None:
        said.append(f"not reloaded: {_short(outlook.refused)}")
    return said


def _actors(state: State, role: str | None) -> list[str]:
    """`3 workers`, with how many of them there should be while some are missing; without workers, who else there is."""
    planned = Counter[str](kind for _, kind in expected(state.plan, state.generation) if kind != "application")
    running = Counter[str](actor.kind for actor in state.actors.values() if actor.state == "RUNNING")
    stopping = Counter[str](actor.kind for actor in state.actors.values() if actor.state == "STOPPING")
    kinds = ["worker"] if planned["worker"] else [kind for kind in planned if planned[kind]]
    if not kinds:
        return [f"role {role}: no worker here" if role else "no worker here"]
    if state.stage != "running":
        return [_several(stopping[kind], kind) for kind in kinds]
    return [
        _several(planned[kind], kind)
        if running[kind] >= planned[kind]
        else f"{running[kind]} of {_several(planned[kind], kind)}"
        for kind in kinds
    ]


def _work(outlook: Outlook) -> list[str]:
    said = []
    if outlook.running is not None and any(place.kind == "worker" for place in outlook.state.plan):
        said.append(f"{_number(outlook.running)} running")
    backlog = outlook.backlog
    if backlog is not None:
        said.append(f"{_number(backlog.ready)}{'+' if backlog.capped else ''} ready")
        if backlog.oldest is not None:
            said.append(f"oldest {_span(backlog.oldest)}")
    return said


def _several(number: int, kind: str) -> str:
    return f"{number} {kind}" + ("" if number == 1 else "s")


def _number(number: int) -> str:
    """`1 204`."""
    return f"{number:,}".replace(",", " ")


def _span(seconds: float) -> str:
    """`2 s`, `5 min`, `3 h`, `12 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= REASON else line[: REASON - 1] + "…"
