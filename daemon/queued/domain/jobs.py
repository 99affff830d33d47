"""A job's values: what is stored at enqueue, what a worker claims, how an attempt ends.

State is which table holds the row; `STATES` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from queued.domain.limits import Limit
from queued.domain.rates import Rate
from queued.domain.unique import Unique

#: Where a job can be, in the order of its life.
State = Literal["ready", "scheduled", "blocked", "running", "failed", "finished", "discarded", "cancelled"]
STATES: tuple[State, ...] = (
    "ready",
    "scheduled",
    "blocked",
    "running",
    "failed",
    "finished",
    "discarded",
    "cancelled",
)

#: How an attempt can end. `done`, `discarded` and `cancelled` end the job well; `failed` ends it badly;
#: `retry` schedules another attempt; `released` gives the job back untouched.
OutcomeKind = Literal["done", "failed", "retry", "discarded", "released", "cancelled"]
OUTCOME_KINDS: frozenset[str] = frozenset({"done", "failed", "retry", "discarded", "released", "cancelled"})

#: Bits of `ties`: which side tables know a job. A job without any is moved without a look at them.
LIMITED = 1
UNIQUE = 2
#: The key of a unique job is freed when it starts, and with `WAITING` taken again when it goes back to wait.
UNTIL_START = 4
EXPIRING = 8
RATED = 16
WAITING = 32
BATCHED = 64
#: The job is a program, which a worker without an application can run too.
PROGRAM = 128
#: How often the job was cut short because its runner was killed for another job, up to three times: two bits, the
#: lower one of which is worth `CUT`. Who has been hit so often is run alone.
CUT, CUTS = 256, 768

#: The class of jobs that are programs.
SHELL = "queued.shell"
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 0


@dataclass(slots=True)  # not frozen: that would treble the price of making one, and thousands are made for one call
class NewJob:
    """A job about to be stored.

    `arguments` and `options` are JSON texts. `run_at` is an aware moment; `wait` (seconds) is counted from the
    database's clock. With neither, the job is ready at once.
    """

    class_name: str
    arguments: str = '{"args":[],"kwargs":{}}'
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    run_at: datetime | None = None
    wait: float | None = None
    options: str | None = None
    limits: tuple[Limit, ...] = ()
    unique: Unique | None = None
    #: Seconds from when it is due in which it must have started.
    expires: float | None = None
    rate: Rate | None = None
    #: The batch that it joins: its id, or the number of one that is opened with it.
    batch: int | None = None

    @property
    def special(self) -> bool:
        """Whether something has to be looked up before the job may be ready, or be stored at all; or it is a program."""
        tied = self.limits or self.unique is not None or self.expires is not None or self.rate is not None
        return bool(tied) or self.class_name == SHELL

    @property
    def ties(self) -> int:
        """Which side tables are to know the job."""
        until = self.unique.until if self.unique is not None else None
        unique = _UNIQUE[until]
        limited = (LIMITED if self.limits else 0) | (RATED if self.rate is not None else 0)
        batched = BATCHED if self.batch is not None else 0
        program = PROGRAM if self.class_name == SHELL else 0
        return limited | unique | batched | program | (EXPIRING if self.expires is not None else 0)


_UNIQUE = {
    "start": UNIQUE | UNTIL_START,
    "waiting": UNIQUE | UNTIL_START | WAITING,
    "finish": UNIQUE,
    None: 0,
}


@dataclass(slots=True)  # not frozen: that would treble the price of making one, and one is made for each job
class ClaimedJob:
    """A job in a worker's hands. `lease` is the fence: every later word about this attempt must name it."""

    id: int
    lease: int
    class_name: str
    queue: str
    priority: int
    attempt: int
    arguments: str
    options: str | None
    #: Seconds since 1970, by the database's clock.
    enqueued: float
    #: How often each retry policy was used before, and how often the job's process crashed (key `crash`).
    counters: Mapping[str, int] = field(default_factory=dict)
    #: Which side tables know the job; its end is told to them in the same transaction.
    ties: int = 0
    #: Where an earlier attempt came to, as it stored it; None for a job without steps.
    steps: str | None = None
    #: Seconds that it was ready before it was claimed.
    waited: float = 0.0

    @property
    def weight(self) -> int:
        """Characters of it that a runner is sent."""
        return len(self.arguments) + len(self.options or "") + len(self.steps or "")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far an attempt has come. `steps` is a JSON text of the client's; `done` of `total`, with a message, is for people.

    None in `steps` or `done`: it does not tell, and what an earlier one told stands.
    """

    job_id: int
    lease: int
    steps: str | None = None
    done: float | None = None
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Entrant:
    """A job with ties that would be ready now, if they let it."""

    job_id: int
    queue: str
    priority: int
    attempt: int
    ties: int
    #: An operator runs it again.
    failed_before: bool = False


#: What became of an enqueue that stored no job to be run: it is `discarded` on arrival, or there is one with its unique key
#: already, whose id is told: it is `existing`, or that is `refused`.
Note = Literal["discarded", "existing", "refused"]


@dataclass(slots=True)  # not frozen: one is made for each call
class Stored:
    """What came of an enqueue: the ids in the order given, what to announce after the commit, and notes by position."""

    ids: list[int]
    arrivals: list[Arrival]
    notes: Mapping[int, Note] = field(default_factory=dict)
    #: The ids of the batches that were opened with it, by their numbers.
    batches: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: the error's class, its message, and the traceback as text lines."""

    error_class: str
    message: str
    backtrace: tuple[str, ...] = ()


@dataclass(slots=True)  # not frozen: that would treble the price of making one, and one is made for each job
class Outcome:
    """How one attempt ended.

    `ended_ago` and `duration` are seconds measured where the job ran; the database's clock turns them into moments.
    `policy` names the retry policy whose counter this attempt spends. `enqueue` are jobs to be stored in the same
    transaction as the end itself, and so is `checkpoint`.
    """

    job_id: int
    lease: int
    kind: OutcomeKind
    duration: float = 0.0
    ended_ago: float = 0.0
    failure: Failure | None = None
    wait: float = 0.0
    policy: str | None = None
    queue: str | None = None
    priority: int | None = None
    enqueue: tuple[NewJob, ...] = ()
    #: As `ClaimedJob.ties`; where it is not known, the claim itself tells.
    ties: int = 0
    #: How far it came, where that is not stored yet.
    checkpoint: Checkpoint | None = None
    #: Which attempt it was; told of those that were cut short, whose `failure` then says by what.
    attempt: int = 1
    #: False: it is done, and nothing is to be left of the job, whose `ties` must then be told.
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Arrival:
    """New work in a lane: a queue, a priority, and the smallest new `seq`. What NOTIFY and the doorbell carry."""

    queue: str
    priority: int
    seq: int

    def encode(self) -> str:
        """One line of text; the queue comes last because it alone may hold any character."""
        return f"{self.priority} {self.seq} {self.queue}"

    @classmethod
    def decode(cls, text: str) -> Arrival | None:
        """The arrival, or None when the text is not one: a stranger may ring the bell, and then it only wakes."""
        priority, _, rest = text.partition(" ")
        seq, _, queue = rest.partition(" ")
        try:
            return cls(queue, int(priority), int(seq)) if queue else None
        except ValueError:
            return None


def parse_options(text: str | None, load: Any) -> dict[str, Any]:
    """The options of a stored job; an unreadable text counts as none, for a job must never be lost to its options."""
    if not text:
        return {}
    try:
        options = load(text)
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}
