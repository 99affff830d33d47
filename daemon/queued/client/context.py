"""What travels with a job: the request id, tenant or locale of whoever enqueued it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
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
    token = replace_context({**_context.get(), **values})
    try:
        yield _context.get()
    finally:
        restore_context(token)


def replace_context(values: Mapping[str, Any]) -> Token[Mapping[str, Any]]:
    """Have exactly `values` as the context from now on; the token undoes it."""
    return _context.set(MappingProxyType(dict(values)) if values else _NOTHING)


def restore_context(token: Token[Mapping[str, Any]]) -> None:
    """Undo `replace_context`."""
    _context.reset(token)
