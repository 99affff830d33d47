"""What travels with a job: the request id, tenant or locale of whoever enqueued it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_context: ContextVar[Mapping[str, Any]] = ContextVar("queued_context", default=_NOTHING)


def current_context() -> Mapping[str, Any]:
    """The context of this thread or asyncio task: what jobs enqueued here will carry; inside a job, what it carries."""
    return _context.get()


def set_context(**values: Any) -> None:
    """Add `values` to the context of this thread or asyncio task, from now on.

    Each job enqueued afterwards carries the context and has it while it runs, and so do the jobs that it enqueues. Values may be
    whatever can be an argument. A web application sets it at the start of each request; `context` ends by itself.
    """
    _context.set(MappingProxyType({**_context.get(), **values}))


@contextmanager
def context(**values: Any) -> Iterator[Mapping[str, Any]]:
    """Add `values` to the context inside the `with` block.

        with queued.context(tenant="acme"):
            send_invoice.enqueue(17)      # runs with queued.current_context()["tenant"] == "acme"

    See `set_context` for what is carried where.
    """
    with replaced_context({**_context.get(), **values}) as inside:
        yield inside


@contextmanager
def replaced_context(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Have exactly `values` as the context inside the `with` block: the jobs of a runner do not see each other's."""
    token = _context.set(MappingProxyType(dict(values)))
    try:
        yield _context.get()
    finally:
        _context.reset(token)
