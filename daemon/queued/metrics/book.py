"""Book: the sum of all tallies of a daemon.

The tally of a process that has ended is added to one file for all of them, so that sums do not fall and files do not pile
up. That file names those it has taken in last: killed between taking one in and removing it, it is not taken in twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from queued.metrics.counting import SUFFIX
from queued.metrics.tally import Tally, parse, write

#: The file of all processes that have ended.
ENDED = f"ended{SUFFIX}"

#: Whether the process that left these facts beside its tally has certainly ended.
Gone = Callable[[Mapping[str, object]], bool]


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as it was when its stamp was read."""

    stamp: tuple[int, int, int]
    tally: Tally
    facts: Mapping[str, object]


class Book:
    """Reads the tallies of a directory. Only one process may `close_accounts`; any may read."""

    def __init__(self, directory: str, gone: Gone) -> None:
        self._directory = directory
        self._gone = gone
        self._pages: dict[str, Page] = {}

    def total(self) -> Tally:
        """What all processes have counted together, and the gauges of those that live."""
        self._read()
        total = Tally()
        taken_in = self._taken_in()
        for name, page in self._pages.items():
            if name in taken_in:
                continue
            total.add(page.tally)
            if name != ENDED and not self._gone(page.facts):
                total.gauges.update(page.tally.gauges)
        return total

    def close_accounts(self) -> None:
        """Add the files of processes that have ended to the one for all of them, and remove them. Raises OSError."""
        self._read()
        ended = [name for name, page in self._pages.items() if name != ENDED and self._gone(page.facts)]
        # Again: the last words of a process that has ended may have come after the first look at its file.
        self._read()
        fresh = [name for name in ended if name in self._pages and name not in self._taken_in()]
        if fresh:
            total = Tally()
            for name in (ENDED, *fresh):
                if name in self._pages:
                    total.add(self._pages[name].tally)
            write(os.path.join(self._directory, ENDED), total.text(taken_in=ended))
        for name in ended:
            os.unlink(os.path.join(self._directory, name))
            self._pages.pop(name, None)

    def _taken_in(self) -> frozenset[object]:
        page = self._pages.get(ENDED)
        names = page.facts.get("taken_in") if page is not None else None
        return frozenset(names) if isinstance(names, list) else frozenset()

    def _read(self) -> None:
        found = dict(self._stamps())
        for name in set(self._pages) - set(found):
            del self._pages[name]
        for name, stamp in found.items():
            page = self._pages.get(name)
            if page is None or page.stamp != stamp:
                try:
                    with open(os.path.join(self._directory, name), encoding="utf-8") as file:
                        tally, facts = parse(file.read())
                except (OSError, ValueError):
                    continue  # gone meanwhile; or none of ours, and what was known of it holds
                self._pages[name] = Page(stamp, tally, facts)

    def _stamps(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        try:
            entries = list(os.scandir(self._directory))
        except OSError:
            return
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                try:
                    found = entry.stat()
                except OSError:
                    continue
                yield entry.name, (found.st_ino, found.st_mtime_ns, found.st_size)
