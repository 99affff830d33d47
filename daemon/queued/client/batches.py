"""Batches: jobs that belong together, and jobs that follow when all of them have ended."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass, fields, replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from queued.client import route, sending
from queued.client.arguments import decode_value, encode_value
from queued.client.current import running
from queued.domain.batches import DEPTH, NewBatch, stored_callback
from queued.domain.errors import ArgumentError, EnqueueError
from queued.domain.jobs import NewJob

if TYPE_CHECKING:
    from queued.client.unsent import EnqueuedJob, UnsentJob

#: What stands for the ids of batches until they are stored; and the order in which jobs were given to them.
_numbers, _orders = itertools.count(1), itertools.count()


AT_ONCE = (
    "a job that joins a stored batch is stored at once: leave out connection= and at_finish= (a batch that is opened with "
    "queued.batch(connection=…) is stored in that transaction, with the jobs of its block)"
)


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


def _refuse_late(connection: Any, at_finish: bool) -> None:
    if connection is not None or at_finish:
        raise EnqueueError(AT_ONCE)


def _members(jobs: Iterable[UnsentJob], batch_id: int) -> sending.Batch:
    members = sending.Batch(list(jobs), batch=batch_id)
    _refuse_late(members.connection, members.at_finish)
    return members


@dataclass(frozen=True)
class CurrentBatch(_Joining):
    """The batch of the job that is running, as the job sees it: `queued.current_job().batch`.

    A callback of the batch sees how its members have ended: `total`, `done`, `failed`, `discarded`. For a member these are None.
    A member may `add` further jobs: the batch cannot finish before that member has ended. `parent` is the batch that this one lies
    in, None if it lies in none; a callback is a member of that one, and may add to it.
    """

    id: int
    description: str | None = None
    metadata: Any = None
    total: int | None = None
    done: int | None = None
    failed: int | None = None
    discarded: int | None = None
    parent: CurrentBatch | None = None

    @property
    def _batch_id(self) -> int:
        return self.id

    @property
    def depth(self) -> int:
        """How many batches lie around this one, itself counted."""
        return 1 if self.parent is None else 1 + self.parent.depth

    @property
    def joined(self) -> CurrentBatch | None:
        """The batch of which the job is a member: what follows a batch is one of the batch around that, if there is any."""
        return self if self.total is None else self.parent

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CurrentBatch:
        """The batch of what a stored job says of it."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in facts.items() if name in known}
        if values.get("parent") is not None:
            values["parent"] = cls.of(values["parent"])
        metadata = decode_value(facts.get("metadata"), "metadata")
        if isinstance(metadata, dict):
            metadata = MappingProxyType(metadata)
        return cls(**{**values, "metadata": metadata})


@dataclass(slots=True)
class _Piece:
    """Jobs that were given to a batch together, and the handles that were given out for them."""

    order: int
    jobs: sending.Batch
    handles: list[EnqueuedJob]


class Batch(_Joining):
    """A batch to be stored at the end of its `with` block, or of the outermost one that it lies in. Made by `batch`."""

    __slots__ = ("_connection", "_ended", "_inside", "_joined", "_nested", "_new", "_outer", "_pieces", "_token", "id")

    def __init__(self, new: NewBatch, connection: Any, nested: bool) -> None:
        self.id: int | None = None
        self._new = new
        self._connection = connection
        self._nested = nested
        #: The batch in whose block this one was opened, else the one of which the job that opens it is a member.
        self._outer: Batch | None = None
        self._joined: CurrentBatch | None = None
        #: Those that were opened in the block, have ended well, and are stored with this one.
        self._inside: list[Batch] = []
        self._pieces: list[_Piece] = []
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
            _refuse_late(connection, at_finish)
            return super().add_many(jobs)
        piece = sending.Batch(jobs, connection, at_finish, self._new.number)
        if piece.at_finish:
            raise EnqueueError("at_finish=True inside a batch: its jobs are stored together, at the end of its block")
        if piece.connection is not None and piece.connection is not self._connection:
            raise EnqueueError("connection= inside a batch: give it to queued.batch(connection=…), it is one for all")
        self._pieces.append(_Piece(next(_orders), piece.__enter__(), piece.handles()))
        return self._pieces[-1].handles

    async def acollect(
        self, jobs: Sequence[UnsentJob], connection: Any = None, at_finish: bool = False
    ) -> list[EnqueuedJob]:
        """As `collect`, without holding up the event loop."""
        if self._collects:
            return self.collect(jobs, connection, at_finish)
        _refuse_late(connection, at_finish)
        return await super().aadd_many(jobs)

    @property
    def _collects(self) -> bool:
        if self._ended:
            return self._outer is not None and self in self._outer._inside and self._outer._collects
        return self._token is not None

    def __enter__(self) -> Batch:
        if self._token is not None:
            raise EnqueueError("a batch has one `with` block; to add jobs after it, call its add or add_many")
        if self._nested:
            self._nest()
        self._token = sending.collecting.set(self)
        return self

    def _nest(self) -> None:
        """Find the batch that this one lies in: that of the block around it, else of the job that is running."""
        outer, now = sending.collecting.get(), running.get()
        if isinstance(outer, Batch):
            self._outer = outer
            if outer._collects:
                if self._connection not in (None, outer._connection):
                    raise EnqueueError(
                        "connection= inside a batch: give it to the outermost queued.batch(connection=…)"
                    )
                self._connection = outer._connection
        elif now is not None and now.batch is not None:
            self._joined = now.batch.joined
        if self._depth > DEPTH:
            raise EnqueueError(
                f"batches lie in one another {DEPTH} deep at most; write nested=False for one of its own"
            )
        if self._connection is not None and self._joined is not None:
            raise EnqueueError(
                "queued.batch(connection=…) in a member of a batch: that batch would be locked until your transaction ends; write "
                "nested=False for one of its own"
            )

    @property
    def _depth(self) -> int:
        if self._outer is not None:
            return 1 + self._outer._depth
        return 1 if self._joined is None else 1 + self._joined.depth

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed(error):
            return
        try:
            if error is None:
                self._stored(route.submit(self._jobs(), self._connection, self._opened()))
        except BaseException as raised:
            self._leave(raised)
            raise
        self._leave(error)

    async def __aenter__(self) -> Batch:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed(error):
            return
        try:
            if error is None:
                self._stored(await route.asubmit(self._jobs(), self._connection, self._opened()))
        except BaseException as raised:
            self._leave(raised)
            raise
        self._leave(error)

    def _closed(self, error: BaseException | None) -> bool:
        """The block has ended; whether the batch is to be stored with the one around it."""
        assert self._token is not None
        self._ended = True
        sending.collecting.reset(self._token)
        if error is not None or self._outer is None or not self._outer._collects:
            return False
        self._outer._inside.append(self)
        return True

    def _tree(self) -> list[Batch]:
        """This batch and those that are stored with it, each after the one that it lies in."""
        return [self, *(one for inner in self._inside for one in inner._tree())]

    def _opened(self) -> list[NewBatch]:
        first, *others = self._tree()
        parent = self._outer._batch_id if self._outer is not None else self._joined.id if self._joined else None
        inside = [replace(one._new, parent=one._outer._new.number) for one in others if one._outer is not None]
        return [replace(first._new, parent=parent), *inside]

    def _all(self) -> list[_Piece]:
        return sorted((piece for one in self._tree() for piece in one._pieces), key=lambda piece: piece.order)

    def _jobs(self) -> list[NewJob]:
        return [job for piece in self._all() for job in piece.jobs.to_store()]

    def _stored(self, receipts: route.Receipts) -> None:
        """Give every member its part of the receipts, and the handles that were given out what they lacked."""
        first = 0
        for piece in self._all():
            behind = first + len(piece.jobs.to_store())
            notes = {n - first: note for n, note in receipts.notes.items() if first <= n < behind}
            piece.jobs.stored(route.Receipts(receipts.ids[first:behind], notes))
            first = behind
        for one in self._tree():
            one.id = receipts.batches[one._new.number]

    def _leave(self, error: BaseException | None) -> None:
        for one in self._tree():
            pieces, one._pieces = one._pieces, []
            for piece in pieces:
                piece.jobs.__exit__(None if error is None else type(error), error, None)


def batch(
    description: str | None = None,
    *,
    metadata: Any = None,
    on_success: UnsentJob | None = None,
    on_failure: UnsentJob | None = None,
    on_finish: UnsentJob | None = None,
    connection: Any = None,
    nested: bool = True,
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
    travels with every member.

    A batch that is opened in another's block, or by a member of a stored one, belongs to it: the outer one finishes only after
    it, counts its members and failures as its own, and is its `parent` for members and callbacks. The callbacks of the inner one
    are members of the outer one, and may add to it. Blocks inside blocks are stored all together, at the end of the outermost; one
    that raises is left out, if the error is caught. `nested=False` opens a batch of its own. What is opened by a member that an
    operator runs again after its batch has finished is that too. Raises `EnqueueError` and `ArgumentError`.
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
            -next(_numbers),
        ),
        connection,
        nested,
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
