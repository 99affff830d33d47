"""Which queues a worker serves, and which of them first.

An entry of `queues:` is a name, `prefix*`, `*`, or one of the first two with `-` before it, which takes those queues
out. Order is strict: as long as a queue of an earlier entry has a job, queues of later entries wait. Queues that the
same entry matches are one: their jobs are ordered by priority, whichever queue they are in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from queued.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Pattern:
    """A name, or the beginning of names when `prefix` is true. No letter of a name is special, `_` and `%` neither."""

    name: str
    prefix: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        return cls(text[:-1], True) if text.endswith("*") else cls(text)

    def matches(self, queue: str) -> bool:
        return queue.startswith(self.name) if self.prefix else queue == self.name

    def covers(self, other: Pattern) -> bool:
        """Whether every queue that `other` matches is matched by this one too."""
        return other.name.startswith(self.name) if self.prefix else self == other


@dataclass(frozen=True, slots=True)
class Selector:
    """The queues of one worker. Make it with `parse`."""

    entries: tuple[str, ...]
    wanted: tuple[Pattern, ...]
    excluded: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> Selector:
        """The selector that the entries describe; ConfigurationError names every entry that means nothing.

        No entry at all is `*`, and so is a list of exclusions alone: all queues but those.
        """
        texts = tuple(entry.strip() for entry in entries)
        faults = [fault for fault in map(entry_fault, texts) if fault]
        if faults:
            raise ConfigurationError(faults)
        excluded = tuple(Pattern.parse(text[1:]) for text in texts if text.startswith("-"))
        wanted = tuple(Pattern.parse(text) for text in texts if not text.startswith("-"))
        faults = [
            f"{text!r} is both listed and excluded; remove one of the two"
            for text in texts
            if not text.startswith("-") and any(pattern.covers(Pattern.parse(text)) for pattern in excluded)
        ]
        if faults:
            raise ConfigurationError(faults)
        if not wanted:
            texts, wanted = ("*", *texts), (Pattern("", True),)
        return cls(texts, wanted, excluded)

    @property
    def everything(self) -> bool:
        """Whether every queue is served with one rank, so that priority alone decides."""
        return self.wanted[0] == Pattern("", True) and not self.excluded

    def rank(self, queue: str) -> int | None:
        """The queue's precedence, the place of the first entry that matches, 0 first; None when it is not served."""
        if any(pattern.matches(queue) for pattern in self.excluded):
            return None
        for rank, pattern in enumerate(self.wanted):
            if pattern.matches(queue):
                return rank
        return None

    def serves(self, queue: str) -> bool:
        """Whether the queue is one of them."""
        return self.rank(queue) is not None

    def groups(self, queues: Iterable[str]) -> list[tuple[str, ...]]:
        """The served ones of these queues, those of one rank together, first rank first; names in order inside.

        Leave paused queues out of `queues`: the others keep their ranks, so priority stays global among them.
        """
        ranked: dict[int, set[str]] = {}
        for queue in queues:
            rank = self.rank(queue)
            if rank is not None:
                ranked.setdefault(rank, set()).add(queue)
        return [tuple(sorted(ranked[rank])) for rank in sorted(ranked)]

    def __str__(self) -> str:
        return ",".join(self.entries)


def entry_fault(text: str) -> str | None:
    """What is wrong with one entry, and what to write; None when it is right."""
    name = text[1:] if text.startswith("-") else text
    if not name:
        return f"{text!r} names no queue; write a queue's name, prefix* or *"
    if text.startswith("-") and not name.strip("*"):
        return f"{text!r} excludes every queue; write -name or -prefix*"
    if "*" in name[:-1]:
        remedy = name.partition("*")[0] + "*"
        return (
            f"{text!r} has a * that is not at its end, and only queues that begin alike can be matched; write {remedy}"
        )
    return None
