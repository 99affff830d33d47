"""Batches: jobs that belong together, and jobs that follow when all of them have ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Literal

from queued.domain.errors import BatchFinished
from queued.domain.jobs import NewJob, parse_options
from queued.domain.limits import Limit
from queued.domain.rates import Rate

#: Ids of failed members that a batch remembers.
FAILURES = 20
#: How deep batches may lie in one another: what each knows of those above travels with every member.
DEPTH = 10

#: How a member can end, as a batch counts it.
End = Literal["done", "failed", "discarded"]


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch about to be opened. The texts: `metadata` JSON, and the callbacks as `stored_callback` writes them.

    `number`, below zero, stands for its id until it has one: in `NewJob.batch` of its members and in `parent` of batches inside it.
    """

    description: str | None = None
    metadata: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    on_finish: str | None = None
    number: int = -1
    #: The batch that it belongs to: the number of one that is opened with it and stands before it, or the id of a stored one.
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How the members of a batch, and of the batches inside it, have ended so far."""

    total: int
    done: int = 0
    failed: int = 0
    discarded: int = 0

    @property
    def ended(self) -> int:
        """How many have."""
        return self.done + self.failed + self.discarded

    @property
    def complete(self) -> bool:
        """Whether all have."""
        return self.ended == self.total


@dataclass(slots=True)
class BatchState:
    """A batch as it stands, and what is to follow it."""

    id: int
    parent: int | None = None
    description: str | None = None
    metadata: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    on_finish: str | None = None
    total: int = 0
    done: int = 0
    failed: int = 0
    discarded: int = 0
    failures: list[int] = field(default_factory=list)
    finished: bool = False

    @property
    def counts(self) -> Counts:
        """How its members have ended."""
        return Counts(self.total, self.done, self.failed, self.discarded)


#: Batches by their ids; with a batch all those that it lies in.
States = Mapping[int, BatchState]


def lineage(states: States, batch_id: int | None) -> list[BatchState]:
    """A batch and those that it lies in, from the inside out."""
    line = []
    while batch_id is not None and batch_id in states:
        line.append(states[batch_id])
        batch_id = line[-1].parent
    return line


def grow(states: States, members: Mapping[int, int]) -> set[int]:
    """Batches have so many more members, and so have those that they lie in; the ids of all of them."""
    grown = set()
    for batch_id, count in members.items():
        for state in lineage(states, batch_id):
            state.total += count
            grown.add(state.id)
    return grown


def end_members(states: States, ends: Iterable[tuple[int, int, End]]) -> set[int]:
    """Members, given as (job, batch, end), have ended for good; the ids of the batches that are changed by it."""
    changed = set()
    for job_id, batch_id, end in ends:
        for state in lineage(states, batch_id):
            setattr(state, end, getattr(state, end) + 1)
            if end == "failed" and len(state.failures) < FAILURES:
                state.failures.append(job_id)
            changed.add(state.id)
    return changed


def finish(states: States, suspects: Iterable[int]) -> tuple[list[int], list[NewJob]]:
    """Which of the batches have finished now, and what follows them.

    The inner ones come first, for what follows them is counted as a member of the batch that they lie in. So no batch finishes
    before those inside it and what follows those.
    """
    finished, following = [], []
    for batch_id in sorted(suspects, reverse=True):  # an outer batch is older than those inside it
        state = states[batch_id]
        if state.finished or not state.counts.complete:
            continue
        state.finished = True
        finished.append(batch_id)
        callbacks = _callbacks(states, state)
        if state.parent is not None:
            grow(states, {state.parent: len(callbacks)})
        following += callbacks
    return finished, following


def _callbacks(states: States, state: BatchState) -> list[NewJob]:
    facts = {**facts_of(states, state.id), **asdict(state.counts)}
    texts = (getattr(state, name) for name in due_callbacks(state.counts))
    return [replace(callback(text, facts), batch=state.parent) for text in texts if text is not None]


@dataclass(slots=True)
class Enrolment:
    """The batches that an enqueue has to do with: those it opens, by their numbers, and those it joins, as they were just now."""

    opened: dict[int, int] = field(default_factory=dict)
    states: dict[int, BatchState] = field(default_factory=dict)
    #: Stored batches that get members, or batches inside them.
    joined: set[int] = field(default_factory=set)

    def parent(self, batch: NewBatch) -> int | None:
        """The id of the batch that a new one lies in.

        None where that has finished: a member that an operator runs again is outside its batch, and so is all that it opens.
        """
        if batch.parent is None or batch.parent < 0:
            return None if batch.parent is None else self.opened[batch.parent]
        stored = self.states.get(batch.parent)
        return None if stored is None or stored.finished else stored.id

    def open(self, batch: NewBatch, batch_id: int) -> None:
        """A batch has been given its id."""
        parent = self.parent(batch)
        if parent is not None and parent == batch.parent:
            self.joined.add(parent)
        texts = (batch.description, batch.metadata, batch.on_success, batch.on_failure, batch.on_finish)
        self.opened[batch.number] = batch_id
        self.states[batch_id] = BatchState(batch_id, parent, *texts)

    def members(self, jobs: Sequence[NewJob]) -> list[NewJob]:
        """The jobs, those of them that join a batch knowing it. Raises BatchFinished."""
        self.joined |= {job.batch for job in jobs if job.batch is not None and job.batch > 0}
        self.refuse_finished()
        known: dict[int, dict[str | None, str | None]] = {}
        facts: dict[int, dict[str, Any]] = {}
        told = []
        for job in jobs:
            if job.batch is not None:
                batch_id = self.opened.get(job.batch, job.batch)
                if batch_id not in known:
                    known[batch_id], facts[batch_id] = {}, facts_of(self.states, batch_id)
                job = _member(job, batch_id, facts[batch_id], known[batch_id])
            told.append(job)
        return told

    def refuse_finished(self) -> None:
        """Raise BatchFinished where a batch that is joined is no longer open."""
        for batch_id in sorted(self.joined):
            if batch_id not in self.states:
                raise BatchFinished(f"there is no batch {batch_id} any more; open a new one for these jobs")
            if self.states[batch_id].finished:
                raise BatchFinished(
                    f"batch {batch_id} has finished, and its callbacks are under way; open a new one for these jobs"
                )


def referred(batches: Sequence[NewBatch], jobs: Sequence[NewJob]) -> set[int]:
    """The ids of the stored batches that these belong to."""
    named = {job.batch for job in jobs} | {batch.parent for batch in batches}
    return {batch_id for batch_id in named if batch_id is not None and batch_id > 0}


def _member(job: NewJob, batch_id: int, facts: Mapping[str, Any], known: dict[str | None, str | None]) -> NewJob:
    """The job as a member that knows its batch. The options of most members are the same, so `known` keeps them."""
    if job.options not in known:
        known[job.options] = with_facts(job, facts).options
    # dataclasses.replace takes twice as long, and a batch may have many thousands of members.
    return NewJob(
        job.class_name,
        job.arguments,
        job.queue,
        job.priority,
        job.run_at,
        job.wait,
        known[job.options],
        job.limits,
        job.unique,
        job.expires,
        rate=job.rate,
        batch=batch_id,
    )


def due_callbacks(counts: Counts) -> tuple[str, ...]:
    """Which callbacks follow the end of a batch, in their order."""
    return ("on_failure" if counts.failed else "on_success", "on_finish")


def stored_callback(job: NewJob) -> str:
    """A callback as the text that is kept until it is due."""
    return json.dumps(
        {**asdict(job), "run_at": None if job.run_at is None else job.run_at.timestamp()}, separators=(",", ":")
    )


def callback(text: str, facts: Mapping[str, Any]) -> NewJob:
    """The job of a stored callback; `facts` of its batch travel in its options."""
    fields = json.loads(text)
    run_at = fields["run_at"]
    fields["run_at"] = None if run_at is None else datetime.fromtimestamp(run_at, timezone.utc)
    fields["limits"] = tuple(Limit(**limit) for limit in fields["limits"])
    fields["rate"] = Rate(**fields["rate"]) if fields.get("rate") else None
    return with_facts(NewJob(**fields), facts)


def with_facts(job: NewJob, facts: Mapping[str, Any]) -> NewJob:
    """The job, knowing its batch. What follows a batch knows that one already."""
    options = {"batch": dict(facts), **parse_options(job.options, json.loads)}
    return replace(job, options=json.dumps(options, separators=(",", ":")))


def joined(facts: Any) -> int | None:
    """The batch of which a job is a member, by what it knows: what follows a batch is one of the batch around that."""
    if not isinstance(facts, dict):
        return None
    own = facts if "total" not in facts else facts.get("parent") or {}
    batch_id = own.get("id")
    return batch_id if isinstance(batch_id, int) else None


def facts_of(states: States, batch_id: int) -> dict[str, Any]:
    """What each member knows of its batch, and of those that it lies in."""
    known: dict[str, Any] | None = None
    for state in reversed(lineage(states, batch_id)):
        facts: dict[str, Any] = {"id": state.id}
        if state.description is not None:
            facts["description"] = state.description
        if state.metadata is not None:
            facts["metadata"] = json.loads(state.metadata)
        if known is not None:
            facts["parent"] = known
        known = facts
    assert known is not None
    return known
