"""A bar on a terminal for work that takes a while; nothing anywhere else."""

from __future__ import annotations

import sys
import time

from queued.cli.output import span

#: Characters of the bar, and seconds between two drawings.
WIDTH, EVERY = 24, 0.1
#: Below this many seconds nothing is drawn: a bar that flashes tells nothing.
PATIENCE = 0.5


class Bar:
    """How much of `total` is done, on standard error. Without a total it counts only."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._began = self._drawn = time.monotonic()
        self._shown = False
        self._terminal = sys.stderr.isatty()

    def reach(self, done: int) -> None:
        """Draw how far it is, if it is time to."""
        now = time.monotonic()
        if not self._terminal or now - self._began < PATIENCE or now - self._drawn < EVERY:
            return
        self._drawn, self._shown = now, True
        sys.stderr.write(f"\r{line(self._what, done, self._total, now - self._began)}\x1b[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away again."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False


def line(what: str, done: int, total: int | None, seconds: float) -> str:
    """`retry  [######------] 4500 of 9000, 1500 a second, 3.0 s left`."""
    rate = done / seconds if seconds > 0 else 0.0
    told = f"{rate:.0f} a second"
    if total is None:
        return f"{what}  {done}, {told}"
    full = WIDTH * done // total if total else WIDTH
    left = f", {span((total - done) / rate)} left" if rate else ""
    return f"{what}  [{'#' * full}{'-' * (WIDTH - full)}] {done} of {total}, {told}{left}"
