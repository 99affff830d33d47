"""Events: facts first, words last.

Code that does something says so with `emit("name", key=value, …)`; whoever wants to know calls `subscribe`. The words of
the log live in `queued.log` alone. A subscriber that raises is dropped from that event only: telling must not break doing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Subscriber = Callable[[str, dict[str, Any]], None]
#: Whether a subscriber has any use for an event of this name: asked before an event is put together tens of thousands of times a
#: second.
Interest = Callable[[str], bool]
_subscribers: list[Subscriber] = []
_interests: dict[Subscriber, Interest] = {}


def subscribe(subscriber: Subscriber, interest: Interest = lambda name: True) -> Callable[[], None]:
    """Call `subscriber(name, data)` for every event; the returned function ends it.

    `interest` may say, once for each name, that an event is of no use to it: the busiest places then do not put it together.
    """
    _subscribers.append(subscriber)
    _interests[subscriber] = interest
    _wanted.clear()

    def unsubscribe() -> None:
        if subscriber in _subscribers:
            _subscribers.remove(subscriber)
            _interests.pop(subscriber, None)
            _wanted.clear()

    return unsubscribe


_wanted: dict[str, bool] = {}


def wanted(name: str) -> bool:
    """Whether anybody has a use for events of this name."""
    known = _wanted.get(name)
    if known is None:
        known = _wanted[name] = any(_interests[subscriber](name) for subscriber in _subscribers)
    return known


def emit(name: str, **data: Any) -> None:
    """Tell every subscriber that `name` happened."""
    for subscriber in tuple(_subscribers):
        try:
            subscriber(name, data)
        except Exception as error:  # the fact stands whether or not somebody could write it down
            print(f"queued: subscriber {subscriber!r} failed on {name}: {error!r}", file=sys.stderr)
