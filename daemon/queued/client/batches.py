"""Batches: jobs that belong together, and jobs that follow when all of them have ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, fields
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from queued.client import route, sending
from queued.client.arguments import decode_value, encode_value
from queued.domain.batches import NewBatch, stored_callback
from queued.domain.errors import ArgumentError, EnqueueError
from queued.domain.jobs import NewJob

if TYPE_CHECKING:
    from queued.client.jobs import EnqueuedJob, UnsentJob


class _Joining:
    """What a batch that is stored can be asked, whoever asks."""

    __slots__ = ()

    @property
    def _batch_id(self) -> int:
        raise NotImplementedError

    def add(self, unsent: UnsentJob) -> EnqueuedJob:
        """Make a job, made by `f.bind(…)`, a member. Raises `queued.BatchFinished`, and as `Job.enqueue`."""
        return sending.only(self.add_many([unsent]))

    def add_many(self, jobs: Iterable[UnsentJob]) -> list[EnqueuedJob]:
        """Make many jobs members, in one round trip; a handle for each, as from `queued.enqueue_many`."""
        members = _members(jobs, self._batch_id)
        with members:
            members.stored(route.submit(members.to_store()))
        return members.handles()

    async def aadd(self, unsent: UnsentJob) -> EnqueuedJob:
        """As `add`, without holding up the event loop."""
        return sending.only(await self.aadd_many([unsent]))

    async def aadd_many(self, jobs: Iterable[UnsentJob]) -> list[EnqueuedJob]:
        """As `add_many`, without holding up the event loop."""
        members = _members(jobs, self._batch_id)
        with members:
            members.stored(await route.asubmit(members.to_store()))
        return members.handles()


def _members(jobs: Iterable[UnsentJob], batch_id: int) -> sending.Batch:
    members = sending.Batch(list(jobs), batch=batch_id)
    if members.connection is not None or members.at_finish:
        raise EnqueueError(
            "a job that joins a stored batch is stored at once: leave out connection= and at_finish= (a batch that is opened with "
            "queued.batch(connection=…) is stored in that transaction, with the jobs of its block)"
        )
    return members


@dataclass(frozen=True)
class CurrentBatch(_Joining):
    """The batch of the job that is running, as the job sees it: `queued.current_job().batch`.

    A callback of the batch sees how its members have ended: `total`, `done`, `failed`, `discarded`. For a member these are None.
    A member may `add` further jobs: the batch cannot finish before that member has ended.
    """

    id: int
    description: str | None = None
    metadata: Any = None
    total: int | None = None
    done: int | None = None
    failed: int | None = None
    discarded: int | None = None

    @property
    def _batch_id(self) -> int:
        return self.id

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CurrentBatch:
        """The batch of what a stored job says of it."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in facts.items() if name in known}
        metadata = decode_value(facts.get("metadata"), "metadata")
        if isinstance(metadata, dict):
            metadata = MappingProxyType(metadata)
        return cls(**{**values, "metadata": metadata})


class Batch(_Joining):
    """A batch to be stored at the end of its `with` block. Made by `batch`."""

    __slots__ = ("_connection", "_ended", "_new", "_pieces", "_token", "id")

    def __init__(self, new: NewBatch, connection: Any) -> None:
        self.id: int | None = None
        self._new = new
        self._connection = connection
        self._pieces: list[tuple[sending.Batch, list[EnqueuedJob]]] = []
        self._token: Token[sending.Collector | None] | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"<queued.batch {self.id if self.id is not None else 'not stored'}>"

    @property
    def _batch_id(self) -> int:
        if self.id is None:
            raise EnqueueError(
                "this batch is not stored: add jobs to it inside its `with queued.batch(…) as b:` block, or after the block has "
                "ended well"
            )
        return self.id

    def add_many(self, jobs: Iterable[UnsentJob]) -> list[EnqueuedJob]:
        """Make many jobs members. Inside the block they are stored at its end, and their handles have no id before."""
        return self.collect(list(jobs)) if self._collects else super().add_many(jobs)

    async def aadd_many(self, jobs: Iterable[UnsentJob]) -> list[EnqueuedJob]:
        """As `add_many`, without holding up the event loop."""
        return self.collect(list(jobs)) if self._collects else await super().aadd_many(jobs)

    def collect(self, jobs: Sequence[UnsentJob], connection: Any = None, at_finish: bool = False) -> list[EnqueuedJob]:
        """Take jobs that are enqueued inside the block; those enqueued later by what the block has started join at once."""
        if not self._collects:
            return super().add_many(jobs)
        piece = self._piece(jobs, connection, at_finish)
        self._pieces.append((piece.__enter__(), piece.handles()))
        return self._pieces[-1][1]

    async def acollect(
        self, jobs: Sequence[UnsentJob], connection: Any = None, at_finish: bool = False
    ) -> list[EnqueuedJob]:
        """As `collect`, without holding up the event loop."""
        return self.collect(jobs, connection, at_finish) if self._collects else await super().aadd_many(jobs)

    @property
    def _collects(self) -> bool:
        return self._token is not None and not self._ended

    def _piece(self, jobs: Sequence[UnsentJob], connection: Any, at_finish: bool) -> sending.Batch:
        piece = sending.Batch(jobs, connection, at_finish)
        if piece.at_finish:
            raise EnqueueError("at_finish=True inside a batch: its jobs are stored together, at the end of its block")
        if piece.connection is not None and piece.connection is not self._connection:
            raise EnqueueError("connection= inside a batch: give it to queued.batch(connection=…), it is one for all")
        return piece

    def __enter__(self) -> Batch:
        if self._token is not None:
            raise EnqueueError("a batch has one `with` block; to add jobs after it, call its add or add_many")
        self._token = sending.collecting.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        try:
            if error is None:
                self._stored(route.submit(self._jobs(), self._connection, self._new))
        except BaseException as raised:
            self._leave(raised)
            raise
        self._leave(error)

    async def __aenter__(self) -> Batch:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        try:
            if error is None:
                self._stored(await route.asubmit(self._jobs(), self._connection, self._new))
        except BaseException as raised:
            self._leave(raised)
            raise
        self._leave(error)

    def _close(self) -> None:
        assert self._token is not None
        self._ended = True
        sending.collecting.reset(self._token)

    def _jobs(self) -> list[NewJob]:
        return [job for piece, _ in self._pieces for job in piece.to_store()]

    def _stored(self, receipts: route.Receipts) -> None:
        """Give every member its part of the receipts, and the handles that were given out what they lacked."""
        self.id = receipts.batch
        first = 0
        for piece, handles in self._pieces:
            behind = first + len(piece.to_store())
            notes = {n - first: note for n, note in receipts.notes.items() if first <= n < behind}
            piece.stored(route.Receipts(receipts.ids[first:behind], notes))
            for handle, now in zip(handles, piece.handles(), strict=True):
                handle.id, handle.error = now.id, now.error
                handle.discarded, handle.existing = now.discarded, now.existing
            first = behind

    def _leave(self, error: BaseException | None) -> None:
        pieces, self._pieces = self._pieces, []
        for piece, _ in pieces:
            piece.__exit__(None if error is None else type(error), error, None)


def batch(
    description: str | None = None,
    *,
    metadata: Any = None,
    on_success: UnsentJob | None = None,
    on_failure: UnsentJob | None = None,
    on_finish: UnsentJob | None = None,
    connection: Any = None,
) -> Batch:
    """Open a batch: jobs that belong together, and jobs that follow when all of them have ended.

        with queued.batch("Invoices of May", on_success=send_report.bind("May")) as invoices:
            invoices.add_many([make_invoice.bind(id) for id in accounts])

    Whatever is enqueued inside the block is a member, be it by `add`, `add_many`, `enqueue` or `queued.enqueue_many`. The batch
    and all its members are stored together at the end of the block, in one transaction, so handles get their ids only then; if
    the block raises, nothing is stored. `async with` spares the event loop. With `connection` it all goes into that open
    transaction.

    The callbacks are jobs, made by `f.bind(…)`, each enqueued exactly once, in the transaction in which the last member ends:
    `on_failure` if at least one member failed for good, else `on_success`; and `on_finish` in any case. Their
    `queued.current_job().batch` has the counts. Members that were discarded, were cancelled or have expired are no failures.
    A batch without members finishes at once. Retries and crashes keep a member a member; once it has failed for good it has
    ended, and when an operator retries it, it runs outside the batch.

    While the batch has not finished, more members can be added: by whoever holds it, or by a member through
    `queued.current_job().batch.add(…)`; afterwards that raises `queued.BatchFinished`. `metadata`, whatever can be an argument,
    travels with every member. Blocks inside blocks are batches of their own. Raises `EnqueueError` and `ArgumentError`.
    """
    if description is not None and not isinstance(description, str):
        raise EnqueueError(f"batch: description={description!r} must be text")
    return Batch(
        NewBatch(
            description,
            _metadata(metadata),
            _callback("on_success", on_success),
            _callback("on_failure", on_failure),
            _callback("on_finish", on_finish),
        ),
        connection,
    )


def _metadata(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(encode_value(value, "metadata"), separators=(",", ":"))
    if len(text) > sending.MAX_CONTEXT:
        raise ArgumentError(
            "metadata", f"takes {len(text):,} characters; at most {sending.MAX_CONTEXT:,}: it travels with every member"
        )
    return text


def _callback(name: str, unsent: UnsentJob | None) -> str | None:
    if unsent is None:
        return None
    if not hasattr(unsent, "job") or not hasattr(unsent, "options"):
        raise EnqueueError(f"batch: {name}={unsent!r} must be a job with its arguments; write {name}=f.bind(…)")
    if unsent.options.connection is not None or unsent.options.at_finish:
        raise EnqueueError(f"batch: {name} is stored when the batch ends, so it has neither connection= nor at_finish=")
    if unsent.job.unique is not None:
        raise EnqueueError(
            f"batch: {name} is enqueued exactly once, so {unsent.job.name} cannot be unique; use a job without unique="
        )
    return stored_callback(sending.prepare(unsent))
