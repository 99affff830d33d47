"""Where an enqueue goes: a test's sink, the caller's transaction, the runner's port, or the database itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from queued.client.steps import StepsPort
from queued.domain.batches import NewBatch
from queued.domain.errors import ConfigurationError
from queued.domain.jobs import NewJob

if TYPE_CHECKING:
    from queued.domain.settings import DatabaseSettings
    from queued.storage.store import Store


class Port(StepsPort, Protocol):
    """The runner's way to the worker, which has the database."""

    def enqueue(self, jobs: list[dict[str, Any]], batches: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Store jobs now; their `ids`, and `notes` on what else became of some: (position, note) pairs.

        `batches` are opened for them; the answer's `batches` are then (number, id) pairs.
        """


class Sink(Protocol):
    """What takes the place of the database in a test."""

    def accept(self, jobs: Sequence[NewJob], batches: Sequence[NewBatch] = ()) -> Receipts:
        """Take the jobs, and the batches that are opened for them. Raises `BatchFinished`."""


class _Destination(threading.local):
    """This thread's connection. A thread that ends closes it."""

    def __init__(self) -> None:
        self.holder: _Holder | None = None


class _Holder:
    def __init__(self, store: Store, generation: int) -> None:
        self.store = store
        self.pid = os.getpid()
        self.generation = generation

    def __del__(self) -> None:
        try:
            if self.pid == os.getpid():
                self.store.close()
            else:
                self.store.forget()
        except Exception:
            pass  # the connection is gone one way or the other


_destination = _Destination()
_configured: DatabaseSettings | None = None
_generation = 0
_port: Port | None = None
_sinks: list[Sink] = []


def configure(database: str | DatabaseSettings) -> None:
    """Say which database jobs are stored in: a URL, `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`.

    Without it the URL comes from `QUEUED_DATABASE_URL`, else from `database:` of the file that `QUEUED_CONFIG` names. A
    `queued.domain.settings.DatabaseSettings` sets the schema and the rest as well. Does not connect; each thread that enqueues
    has a connection of its own, opened when first used.
    """
    global _configured, _generation
    from queued.domain.settings import DatabaseSettings

    if isinstance(database, DatabaseSettings):
        _configured = database
    elif isinstance(database, str) and database.partition(":")[0] in {"sqlite", "postgresql", "postgres"}:
        _configured = DatabaseSettings(url=database)
    else:
        # Only the scheme is shown: the rest may hold a password.
        shown = f"{database.partition(':')[0]}:…" if isinstance(database, str) else repr(database)
        raise ConfigurationError(f"configure({shown}): write sqlite:///PATH or postgresql://USER@HOST/DATABASE")
    _generation += 1


def database_settings(environment: Mapping[str, str] = os.environ) -> DatabaseSettings:
    """The database in force: `configure`, `QUEUED_DATABASE_URL`, or the file of `QUEUED_CONFIG`. Raises `ConfigurationError`."""
    from queued.domain.settings import DatabaseSettings

    if _configured is not None:
        return _configured
    url, path = environment.get("QUEUED_DATABASE_URL"), environment.get("QUEUED_CONFIG")
    if path:
        from queued.configuration import database_from_file

        return database_from_file(path, None, environment)
    if url:
        return DatabaseSettings(url=url)
    raise ConfigurationError(
        "queued does not know its database: call queued.configure(url), or set QUEUED_DATABASE_URL to a URL, or set "
        "QUEUED_CONFIG to the path of the queue.yml whose `database:` says it"
    )


def bind_port(port: Port | None) -> None:
    """From now on this process is a runner: enqueues go to its worker, with no driver and no credentials here."""
    global _port
    _port = port


def bound_port() -> Port | None:
    """The runner's port, when this process is one."""
    return _port


def push_sink(sink: Sink) -> None:
    """Send every enqueue of this process to `sink`, until it is removed; the one pushed last is asked."""
    _sinks.append(sink)


def remove_sink(sink: Sink) -> None:
    """Undo `push_sink`."""
    _sinks.remove(sink)


@dataclass(slots=True)  # not frozen: one is made for each call
class Receipts:
    """The ids of stored jobs in order, None for those that are stored later, and notes by position on what else became of them."""

    ids: Sequence[int | None]
    notes: Mapping[int, str] = field(default_factory=dict)
    #: The ids of the batches that were opened, by their numbers.
    batches: Mapping[int, int] = field(default_factory=dict)


def submit(jobs: Sequence[NewJob], connection: Any = None, batches: Sequence[NewBatch] = ()) -> Receipts:
    """Store jobs. With a connection: in its open transaction, and durable only once that commits. `batches`: opened for them.

    Raises `DatabaseError` or `EnqueueError`; then none of them is stored.
    """
    if not jobs and not batches:
        return Receipts([])
    if _sinks:
        return _sinks[-1].accept(jobs, batches)
    if connection is not None:
        from queued.storage import adopt

        stored = adopt.submit(connection, jobs, schema=schema(), batches=batches)
    elif _port is not None:
        frames = [as_frame(job) for job in jobs]
        answer = _port.enqueue(frames, [asdict(batch) for batch in batches]) if batches else _port.enqueue(frames)
        return Receipts(answer["ids"], dict(answer.get("notes") or ()), dict(answer.get("batches") or ()))
    else:
        stored = store().submit(jobs, batches)
    return Receipts(stored.ids, stored.notes, stored.batches)


async def asubmit(jobs: Sequence[NewJob], connection: Any = None, batches: Sequence[NewBatch] = ()) -> Receipts:
    """As `submit`, without holding up the event loop; a connection that is not async is used right here, as its owner would."""
    if connection is not None and not _sinks:
        from queued.storage import adopt

        if adopt.is_async(connection):
            stored = await adopt.asubmit(connection, jobs, schema=schema(), batches=batches)
            return Receipts(stored.ids, stored.notes, stored.batches)
        return submit(jobs, connection, batches)
    if _sinks:
        return submit(jobs, batches=batches)
    import asyncio

    return await asyncio.to_thread(submit, jobs, batches=batches)


def as_frame(job: NewJob) -> dict[str, Any]:
    """A job as the runner's wire carries it: `run_at` in epoch seconds."""
    frame = asdict(job)
    frame["run_at"] = None if job.run_at is None else job.run_at.timestamp()
    return frame


def store() -> Store:
    """This thread's store; after a fork the parent's is let go without a word to the database."""
    from queued.storage.store import open_store

    holder = _destination.holder
    if holder is not None and holder.pid != os.getpid():
        holder.store.forget()
        holder = None
    if holder is None or holder.generation != _generation:
        store = open_store(database_settings(), label="client", create=False)
        holder = _destination.holder = _Holder(store, _generation)
    return holder.store


def schema() -> str:
    """The schema for a caller's connection: a job stored there needs no other setting."""
    try:
        return database_settings().schema
    except ConfigurationError:
        return "queued"


def _after_fork() -> None:
    # The holders of other threads go with those threads, and let go of their stores in the same way.
    holder = _destination.holder
    if holder is not None:
        holder.store.forget()
        _destination.holder = None


os.register_at_fork(after_in_child=_after_fork)
