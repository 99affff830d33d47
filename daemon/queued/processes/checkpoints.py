"""How far a worker's jobs have come, on the way to the database: the latest of each attempt, kept until it is stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queued.domain.errors import DatabaseError
from queued.domain.jobs import Checkpoint
from queued.processes.outage import AWAY
from queued.storage import checkpoints
from queued.storage.store import Store
from queued.telemetry import emit

#: Seconds that a checkpoint waits for company. Runners send those of a job ten times a second.
LINGER = 0.02

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Save:
    """A job's wish to know its checkpoint stored; the runner waits for the answer."""

    number: int
    key: Key
    station: Any


class Checkpoints:
    """Those of one worker. While the database is away the latest of each attempt is kept, and whoever waits goes on waiting."""

    def __init__(self, store: Store, process_name: str) -> None:
        self._store = store
        self._process_name = process_name
        self._latest: dict[Key, Checkpoint] = {}
        self._saves: list[Save] = []
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._latest) + len(self._saves)

    def put(self, checkpoint: Checkpoint, save: Save | None = None) -> None:
        """A job has come this far. With `save` its runner waits until that is stored."""
        if not self._latest:
            self._since = time.monotonic()
        self._latest[checkpoint.job_id, checkpoint.lease] = checkpoint
        if save is not None:
            self._saves.append(save)

    def take(self, key: Key) -> Checkpoint | None:
        """The latest of an attempt that has ended: it is stored together with the end."""
        return self._latest.pop(key, None) if self._latest else None

    def drop_saves(self, station: Any) -> None:
        """The runner that asked is gone: nobody waits, but how far its jobs have come counts."""
        self._saves = [save for save in self._saves if save.station is not station]

    def rest(self, now: float) -> float | None:
        """Seconds until they must be stored; None when there are none."""
        if self._saves:
            return 0.0
        return max(0.0, self._since + LINGER - now) if self._latest else None

    def store(self) -> None:
        """Store them, and answer those that wait. Must come before the claims are given up. Raises what `AWAY` names."""
        if not self:
            return
        given = list(self._latest.values())
        try:
            told = self._save(given)
        except AWAY:
            raise
        except DatabaseError:
            told = self._save_singly(given)
        self._latest.clear()
        saves, self._saves = self._saves, []
        for save in saves:
            refused = told.get(save.key)
            if refused is not None:
                answer = {"t": "refused", "r": save.number, "message": refused}
            else:
                answer = {"t": "stored", "r": save.number, "ids": [save.key[0]] if save.key in told else []}
            save.station.runner.send(answer)

    def _save(self, given: Sequence[Checkpoint]) -> dict[Key, str | None]:
        """The attempts whose checkpoint is stored. Those that are missing are no longer ours."""
        # Progress is for people to look at, and may be lost with the power.
        with self._store.statement(durable=any(one.steps is not None for one in given)) as session:
            held = checkpoints.save(session, given)
        return {(one.job_id, one.lease): None for one in given if one.job_id in held}

    def _save_singly(self, given: Sequence[Checkpoint]) -> dict[Key, str | None]:
        """One that the database cannot hold does not keep it from the others; its job is told why, if it waits."""
        told: dict[Key, str | None] = {}
        for one in given:
            try:
                told |= self._save([one])
            except AWAY:
                raise
            except DatabaseError as error:
                told[one.job_id, one.lease] = str(error)
                emit("checkpoint_lost", job_id=one.job_id, error=str(error), process=self._process_name)
        return told


def checkpoint_of(frame: Mapping[str, Any], state: Mapping[str, Any] | None) -> Checkpoint | None:
    """What a runner said of how far the attempt that `frame` names has come."""
    if state is None:
        return None
    done, total, message = state.get("progress") or (None, None, None)
    return Checkpoint(frame["id"], frame["lease"], state.get("steps"), done, total, message)


def state_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The same as a runner tells it."""
    told = None if checkpoint.done is None else [checkpoint.done, checkpoint.total, checkpoint.message]
    return {"steps": checkpoint.steps, "progress": told}
