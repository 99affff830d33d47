"""Events: facts first, words last.

Code that does something says so with `emit("name", key=value, …)`; whoever wants to know calls `subscribe`. The words of
the log live in `queued.log` alone. A subscriber that raises is dropped from that event only: telling must not break doing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Subscriber = Callable[[str, dict[str, Any]], None]
_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call `subscriber(name, data)` for every event; the returned function ends it."""
    _subscribers.append(subscriber)

    def unsubscribe() -> None:
        if subscriber in _subscribers:
            _subscribers.remove(subscriber)

    return unsubscribe


def emit(name: str, **data: Any) -> None:
    """Tell every subscriber that `name` happened."""
    for subscriber in tuple(_subscribers):
        try:
            subscriber(name, data)
        except Exception as error:  # the fact stands whether or not somebody could write it down
            print(f"queued: subscriber {subscriber!r} failed on {name}: {error!r}", file=sys.stderr)
