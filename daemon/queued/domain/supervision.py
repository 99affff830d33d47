"""What a supervisor does next: `step(state, event, now) -> (state, effects)`. No process, no clock, no log in here.

An actor (the application's fork server, a dispatcher, a worker, the scheduler, the exporter) is in one of six states:

    STOPPED  ──start──►  STARTING  ──registered/loaded──►  RUNNING
       ▲                    │                                │
       │                    ├────────── exit ────────────────┤
       │                    ▼                                ▼
    STOPPING          BACKOFF ──too many quick exits──►    FATAL
       ▲                    │ time                           │ reload
       │ stop               └──────────► STARTING ◄──────────┘

`MOVES` is that picture as a table; a move that is not in it raises. What the table cannot say:

- Quick exits (before `STEADY_AFTER` seconds of RUNNING) wait 1, 2, 4, 8, 16 s; one more than `start_retries` of them in a
  row is FATAL. FATAL is said again every minute, and ends only with a reload or a stop. The others run on.
- Workers start only while the application is loaded. Running ones stay when it dies: they ask the next one for a runner.
- A reload loads the application beside the old one. When that works the actors are replaced one by one, and the next only
  when the last is RUNNING; when it fails the old generation stays as it was.
- A stop is graceful first; a second one, or the deadline, kills. The application goes last.
- An actor that has been silent for too long is killed and then treated as any other that exited. Threads cannot be
  killed, only told to drop what they have: when that does not help, the whole process gives up (`Abandon`), and whatever
  watches over it starts it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal

Kind = Literal["application", "dispatcher", "worker", "scheduler", "exporter"]
ActorState = Literal["STOPPED", "STARTING", "RUNNING", "BACKOFF", "FATAL", "STOPPING"]
Stage = Literal["running", "stopping", "killing", "finished"]

MOVES: Mapping[ActorState, frozenset[ActorState]] = {
    "STOPPED": frozenset({"STARTING", "STOPPED"}),
    "STARTING": frozenset({"RUNNING", "BACKOFF", "FATAL", "STOPPING"}),
    "RUNNING": frozenset({"BACKOFF", "FATAL", "STOPPING"}),
    "BACKOFF": frozenset({"STARTING", "STOPPED"}),
    "FATAL": frozenset({"STOPPED"}),
    "STOPPING": frozenset({"STOPPED"}),
}
ALIVE: frozenset[ActorState] = frozenset({"STARTING", "RUNNING", "STOPPING"})

#: Seconds of RUNNING after which an exit is bad luck rather than a bad start.
STEADY_AFTER = 10.0
#: Seconds between the reminders of a FATAL actor, and of one that is still starting.
REMIND_EVERY = 60.0
#: Seconds of starting after which that is worth a line: most applications load in less.
SLOW_AFTER = 10.0
#: Seconds the application has to go once it was told to, after everybody else has gone.
APPLICATION_GRACE = 5.0
#: Seconds that threads have, once told to drop everything, before the whole process is given up.
THREAD_GRACE = 5.0
#: Seconds a scheduler holds back at boot so that workers come before it, as long as the application is still loading.
SCHEDULER_PATIENCE = 10.0
#: The longest wait before a start is tried again.
LONGEST_BACKOFF = 16.0

#: Exit statuses of the supervisor: all stopped by themselves; some had to be killed; an actor hung in thread mode.
GRACEFUL, CUT_OFF, HUNG = 0, 1, 70


@dataclass(frozen=True, slots=True)
class Place:
    """One actor that a configuration asks for. `key` is its name in the plan: `worker-2`."""

    key: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts. `stop_grace` is `shutdown_timeout` and what a worker needs beyond it to give its jobs back."""

    start_retries: int = 5
    stop_grace: float = 10.0
    silence: float = 30.0


@dataclass(frozen=True, slots=True)
class Actor:
    """What is known of one actor. `since` is when it came into its state; `generation` is the configuration it was started with."""

    key: str
    kind: Kind
    generation: int
    state: ActorState = "STOPPED"
    since: float = 0.0
    retries: int = 0
    retry_at: float = inf
    heard_at: float = 0.0
    #: Whether it was silent for too long and is to be killed for it; it counts as hung until it moves or has gone.
    silent: bool = False
    remind_at: float = inf
    reason: str = ""

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


@dataclass(frozen=True, slots=True)
class State:
    """The whole supervision. `candidate` is the plan of a reload whose application is still loading."""

    plan: tuple[Place, ...]
    threads: bool = False
    limits: Limits = field(default_factory=Limits)
    generation: int = 1
    stage: Stage = "running"
    actors: Mapping[str, Actor] = field(default_factory=dict)
    candidate: tuple[Place, ...] | None = None
    #: The number of the last generation that was tried, loaded or not.
    tried: int = 1
    rolling: bool = False
    deadline: float = inf
    cut_off: bool = False
    ticked_at: float | None = None


# Events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An actor has written itself into the database."""

    key: str


@dataclass(frozen=True, slots=True)
class Heard:
    """An actor's own loop has turned."""

    key: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The fork server has imported the application."""

    key: str


@dataclass(frozen=True, slots=True)
class Exited:
    """An actor has ended. `reason` is for people: `killed by SIGKILL`, or the application's error with file and line."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """TERM or INT (graceful, and immediate the second time), or QUIT (`immediate`)."""

    immediate: bool = False


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """HUP, after the new configuration was read without error."""

    plan: tuple[Place, ...]


Event = Tick | Registered | Heard | Loaded | Exited | StopAsked | ReloadAsked


# Effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Start this actor with the settings of that generation."""

    key: str
    kind: Kind
    generation: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask this actor to finish what it has and end."""

    key: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End this actor now; a thread is told to drop what it has."""

    key: str


@dataclass(frozen=True, slots=True)
class Switch:
    """From now on runners come from this application."""

    key: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Threads are left that cannot be killed: give their jobs back and end the process with this status."""

    status: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Everybody has gone: end with this status."""

    status: int


@dataclass(frozen=True, slots=True)
class Say:
    """An event for the log."""

    event: str
    data: Mapping[str, Any]


Effect = Start | Stop | Kill | Switch | Abandon | Finish | Say


def initial(plan: Iterable[Place], *, threads: bool = False, limits: Limits | None = None) -> State:
    """Nothing runs yet; the first `Tick` starts what the plan asks for."""
    places = tuple(plan)
    actors = {key: Actor(key, kind, 1) for key, kind in expected(places, 1)}
    return State(places, threads, limits or Limits(), actors=actors)


def step(state: State, event: Event, now: float) -> tuple[State, list[Effect]]:
    """The state after `event`, and what has to be done for it, in order."""
    turn = _Turn(state, now)
    turn.take(event)
    turn.settle()
    return turn.result(), turn.effects


def rest(state: State, now: float, longest: float = 1.0) -> float:
    """Seconds until time alone changes something, at most `longest`."""
    moments = [state.deadline]
    for actor in state.actors.values():
        moments += [actor.retry_at, actor.remind_at]
    return max(0.0, min(longest, min(moments) - now))


def backoff(retries: int) -> float:
    """Seconds to wait before start number `retries` after a quick exit: 1, 2, 4, 8, 16, 16, …"""
    return float(min(2.0 ** (retries - 1), LONGEST_BACKOFF))


def application_key(generation: int) -> str:
    """The name of a generation's application; two of them live side by side during a reload."""
    return f"application-{generation}"


def expected(plan: tuple[Place, ...], generation: int) -> list[tuple[str, Kind]]:
    """The actors of a plan by key, in the order they start in."""
    # The exporter comes early: it answers for those that do not come.
    order: tuple[Kind, ...] = ("application", "exporter", "dispatcher", "worker", "scheduler")
    places = sorted(plan, key=lambda place: order.index(place.kind))
    return [(application_key(generation) if place.kind == "application" else place.key, place.kind) for place in places]


class _Turn:
    """One step: a copy of the state that may be changed until it is handed back."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.actors = dict(state.actors)
        self.now = now
        self.effects: list[Effect] = []

    def result(self) -> State:
        return replace(self.state, actors=self.actors)

    # What an event says

    def take(self, event: Event) -> None:
        if isinstance(event, Tick):
            self.tick()
        elif isinstance(event, StopAsked):
            self.stop_asked(event.immediate)
        elif isinstance(event, ReloadAsked):
            self.reload_asked(event.plan)
        elif (actor := self.actors.get(event.key)) is None or not actor.alive:
            return  # the last word of an actor that is already done with
        elif isinstance(event, Exited):
            self.exited(actor, event.reason)
        elif isinstance(event, Heard):
            self.change(actor, heard_at=self.now, silent=False)
        elif actor.state == "STARTING":
            self.ready(actor)

    def ready(self, actor: Actor) -> None:
        self.move(actor, "RUNNING", heard_at=self.now, remind_at=inf)
        if actor.kind == "application":
            if self.state.candidate is not None and actor.generation == self.state.tried:
                self.adopt(self.state.candidate, actor.generation)
            self.effects.append(Switch(actor.key))

    def exited(self, actor: Actor, reason: str) -> None:
        if actor.state == "STOPPING":
            self.gone(actor)
        elif actor.kind == "application" and actor.generation > self.state.generation:
            del self.actors[actor.key]
            self.state = replace(self.state, candidate=None)
            self.say("reload_failed", reason=reason)
        elif actor.kind == "application" and actor.generation < self.state.generation:
            del self.actors[actor.key]  # the old generation's, while its last workers are being replaced
        elif self.state.stage != "running":
            self.gone(self.move(actor, "STOPPING", reason=reason))
        else:
            self.failed(actor, reason)

    def failed(self, actor: Actor, reason: str) -> None:
        """An actor ended that should have gone on: now, later, or not again?"""
        steady = actor.state == "RUNNING" and self.now - actor.since >= STEADY_AFTER
        retries = 0 if steady else actor.retries + 1
        if retries > self.state.limits.start_retries:
            remind_at = self.now + REMIND_EVERY
            self.move(actor, "FATAL", retries=retries, retry_at=inf, remind_at=remind_at, reason=reason)
            self.say("actor_fatal", actor, reason=reason, retries=self.state.limits.start_retries)
        else:
            wait = 0.0 if steady else backoff(retries)
            retry_at = self.now + wait
            self.move(actor, "BACKOFF", retries=retries, retry_at=retry_at, remind_at=inf, reason=reason)
            self.say("actor_died", actor, reason=reason, retry_in=wait)

    def gone(self, actor: Actor) -> None:
        """An actor ended because it was told to."""
        wanted = {key for key, _ in expected(self.state.plan, self.state.generation)}
        if actor.key in wanted:
            self.move(actor, "STOPPED", generation=self.state.generation, retries=0, retry_at=inf, remind_at=inf)
        else:
            del self.actors[actor.key]

    def tick(self) -> None:
        silence = self.state.limits.silence
        # When this process itself was stopped or starved, the others could not be heard: that is no proof against them.
        asleep = self.state.ticked_at is not None and self.now - self.state.ticked_at > silence / 2
        self.state = replace(self.state, ticked_at=self.now)
        for actor in list(self.actors.values()):
            if asleep:
                actor = self.change(actor, heard_at=self.now)
            if actor.state == "STOPPING":
                grace = APPLICATION_GRACE if actor.kind == "application" else self.state.limits.stop_grace
                if self.state.stage == "running" and self.now - actor.since > grace:
                    self.say("stop_exceeded", actor)
                    self.kill(self.change(actor, since=self.now))
            elif actor.alive and actor.kind != "application" and self.now - actor.heard_at > silence:
                self.say("actor_silent", actor, seconds=round(self.now - actor.heard_at, 1))
                self.kill(self.change(actor, heard_at=self.now, silent=True), HUNG)
            if self.now >= actor.remind_at:
                self.change(actor, remind_at=self.now + REMIND_EVERY)
                seconds = round(self.now - actor.since)
                said = "actor_still_fatal" if actor.state == "FATAL" else "actor_slow"
                self.say(said, actor, reason=actor.reason, seconds=seconds)

    def stop_asked(self, immediate: bool) -> None:
        if self.state.stage == "finished":
            return
        immediate = immediate or self.state.stage in ("stopping", "killing")
        already = self.state.stage == "killing"
        stage: Stage = "killing" if immediate else "stopping"
        deadline = self.now + self.state.limits.stop_grace
        self.state = replace(self.state, stage=stage, candidate=None, rolling=False, deadline=deadline)
        self.say("stopping", immediate=immediate)
        for actor in list(self.actors.values()):
            if actor.state in ("BACKOFF", "FATAL"):
                self.move(actor, "STOPPED", retry_at=inf, remind_at=inf)
            elif actor.state in ("STARTING", "RUNNING") and actor.kind != "application":
                self.move(actor, "STOPPING", remind_at=inf)
                if not immediate:
                    self.effects.append(Stop(actor.key))
        if immediate and not already:
            self.kill_actors()

    def reload_asked(self, plan: tuple[Place, ...]) -> None:
        if self.state.stage != "running":
            return
        self.drop_candidate()
        generation = self.state.tried + 1
        self.state = replace(self.state, tried=generation)
        self.say("reloading", generation=generation)
        for actor in list(self.actors.values()):
            if actor.state == "FATAL":
                self.move(actor, "STOPPED", retries=0, retry_at=inf, remind_at=inf)
        current = self.application(self.state.generation)
        if any(place.kind == "application" for place in plan):
            key = application_key(generation)
            self.actors[key] = Actor(key, "application", generation)
            if current is not None and current.state == "RUNNING":
                self.state = replace(self.state, candidate=plan)
                self.start(self.actors[key])
                return
        self.adopt(plan, generation)

    # What follows from the state

    def settle(self) -> None:
        if self.state.stage == "running":
            self.start_due()
            self.roll()
        elif self.state.stage in ("stopping", "killing"):
            self.wind_down()

    def start_due(self) -> None:
        for key, _ in expected(self.state.plan, self.state.generation):
            actor = self.actors[key]
            due = actor.state == "STOPPED" or (actor.state == "BACKOFF" and actor.retry_at <= self.now)
            if due and self.may_start(actor):
                self.start(actor, generation=self.state.generation)

    def may_start(self, actor: Actor) -> bool:
        application = self.application(self.state.generation)
        if application is None or actor.kind in ("application", "dispatcher", "exporter"):
            return True
        if actor.kind == "worker":
            return application.state == "RUNNING"
        first = application.state == "STOPPED" or (application.state == "STARTING" and application.retries == 0)
        return not first or self.now - application.since > SCHEDULER_PATIENCE

    def roll(self) -> None:
        """Replace the actors of older generations, one at a time, the next when the last one runs."""
        actors = [actor for actor in self.actors.values() if actor.kind != "application"]
        if not self.state.rolling or any(actor.state == "STOPPING" for actor in actors):
            return
        stale = [actor for actor in actors if actor.generation < self.state.generation]
        fresh = [actor for actor in actors if actor.generation == self.state.generation]
        idle = [actor for actor in stale if not actor.alive]
        if idle:
            for actor in idle:
                self.gone(self.change(actor, state="STOPPED"))
            self.settle()
        elif stale and all(actor.state == "RUNNING" for actor in fresh):
            self.move(stale[0], "STOPPING")
            self.effects.append(Stop(stale[0].key))
        elif not stale and all(actor.state != "STARTING" for actor in fresh):
            self.state = replace(self.state, rolling=False)
            self.say("reloaded", generation=self.state.generation)
            for actor in list(self.actors.values()):
                if actor.kind == "application" and actor.generation < self.state.generation:
                    self.stop_application(actor)

    def wind_down(self) -> None:
        alive = [actor for actor in self.actors.values() if actor.alive]
        others = [actor for actor in alive if actor.kind != "application"]
        if self.now >= self.state.deadline and self.state.stage == "stopping" and alive:
            if others:
                self.say("shutdown_timeout_exceeded", actors=[actor.key for actor in others])
            self.state = replace(self.state, stage="killing")
            self.kill_actors()
        elif self.now >= self.state.deadline and others and self.state.threads:
            self.state = replace(self.state, stage="finished", deadline=inf)
            self.effects.append(Abandon(CUT_OFF))
        elif not others and any(actor.state != "STOPPING" for actor in alive):
            self.state = replace(self.state, deadline=self.now + APPLICATION_GRACE)
            for actor in alive:
                self.stop_application(actor)
        elif not alive:
            status = CUT_OFF if self.state.cut_off else GRACEFUL
            self.state = replace(self.state, stage="finished", deadline=inf)
            self.effects.append(Finish(status))

    # The small moves

    def adopt(self, plan: tuple[Place, ...], generation: int) -> None:
        """Make `plan` the one that holds."""
        for actor in list(self.actors.values()):
            if actor.kind == "application" and actor.generation < generation and actor.state != "RUNNING":
                self.stop_application(actor)
        self.state = replace(self.state, plan=plan, generation=generation, candidate=None, rolling=True)
        for key, kind in expected(plan, generation):
            self.actors.setdefault(key, Actor(key, kind, generation))

    def drop_candidate(self) -> None:
        if self.state.candidate is not None:
            actor = self.actors.pop(application_key(self.state.tried))
            self.effects.append(Kill(actor.key))
            self.state = replace(self.state, candidate=None)

    def stop_application(self, actor: Actor) -> None:
        if actor.state in ("STARTING", "RUNNING"):
            self.move(actor, "STOPPING", remind_at=inf)
            self.effects.append(Stop(actor.key))
        elif not actor.alive:
            del self.actors[actor.key]

    def start(self, actor: Actor, **facts: Any) -> None:
        facts = {"heard_at": self.now, "silent": False, "remind_at": self.now + SLOW_AFTER, "retry_at": inf, **facts}
        actor = self.move(actor, "STARTING", **facts)
        self.effects.append(Start(actor.key, actor.kind, actor.generation))

    def kill_actors(self) -> None:
        """Kill whoever is left; the application as well, for nobody needs it any more."""
        alive = [actor for actor in self.actors.values() if actor.alive]
        cut_off = any(actor.kind != "application" for actor in alive)
        self.state = replace(self.state, cut_off=self.state.cut_off or cut_off, deadline=inf)
        if cut_off and self.state.threads:
            self.state = replace(self.state, deadline=self.now + THREAD_GRACE)
        for actor in alive:
            if actor.kind == "application" and cut_off and self.state.threads:
                continue  # threads that drop what they have still speak to it
            if actor.state != "STOPPING":
                actor = self.move(actor, "STOPPING", remind_at=inf)
            self.effects.append(Kill(actor.key))

    def kill(self, actor: Actor, status: int = CUT_OFF) -> None:
        if self.state.threads and actor.kind != "application":
            self.effects.append(Abandon(status))
        else:
            self.effects.append(Kill(actor.key))

    def application(self, generation: int) -> Actor | None:
        return self.actors.get(application_key(generation))

    def move(self, actor: Actor, state: ActorState, **facts: Any) -> Actor:
        if state not in MOVES[actor.state]:
            raise ValueError(f"{actor.key} cannot go from {actor.state} to {state}")
        return self.change(actor, state=state, since=self.now, **facts)

    def change(self, actor: Actor, **facts: Any) -> Actor:
        changed = replace(actor, **facts)
        self.actors[actor.key] = changed
        return changed

    def say(self, event: str, actor: Actor | None = None, **data: Any) -> None:
        if actor is not None:
            data = {"key": actor.key, "kind": actor.kind, **data}
        self.effects.append(Say(event, data))
