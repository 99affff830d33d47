"""Batches: jobs that belong together, and jobs that follow when all of them have ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from queued.domain.jobs import NewJob, parse_options
from queued.domain.limits import Limit
from queued.domain.rates import Rate

#: Ids of failed members that a batch remembers.
FAILURES = 20


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch about to be opened. All are texts: `metadata` JSON, and the callbacks as `stored_callback` writes them."""

    description: str | None = None
    metadata: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    on_finish: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How the members of a batch have ended so far."""

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
    """The job, knowing its batch."""
    options = {**parse_options(job.options, json.loads), "batch": dict(facts)}
    return replace(job, options=json.dumps(options, separators=(",", ":")))


def facts_of(batch_id: int, description: str | None, metadata: str | None) -> dict[str, Any]:
    """What each member knows of its batch."""
    facts: dict[str, Any] = {"id": batch_id}
    if description is not None:
        facts["description"] = description
    if metadata is not None:
        facts["metadata"] = json.loads(metadata)
    return facts
