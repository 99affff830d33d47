"""queuectl stats: how many jobs ended how, and how long they waited and ran."""

from __future__ import annotations

import argparse
from typing import Any

from queued.cli.database import target
from queued.cli.listing import Listing, show
from queued.cli.moments import since
from queued.cli.options import Subparsers, add_command
from queued.cli.output import span
from queued.domain.figures import COLUMNS, Figure, percentile

#: The percentiles that programs are told.
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    listing = add_command(
        commands,
        "stats",
        stats,
        "show how jobs ended, how long they waited and ran",
        [common],
        lists=True,
        watched=True,
    )
    listing.add_argument(
        "--by", choices=tuple(COLUMNS), default="class", help="what is told apart: class, queue or host (default class)"
    )
    listing.add_argument(
        "--since", metavar="WHEN", type=since, default="1h", help="jobs that ended since then (default 1h)"
    )


def stats(arguments: argparse.Namespace) -> int:
    """Print the figures."""
    from queued.domain.insights import uncounted
    from queued.domain.moments import resolve
    from queued.storage import insights
    from queued.storage import stats as ended

    with target(arguments) as database, database.store.reading() as session:
        begin = resolve(arguments.since, insights.now(session))
        found, complete = ended.figures(session, arguments.by, begin)
        left_out = uncounted(insights.processes(session))
    figures = found.listed()
    footer = "" if figures else "no job ended in this time"
    if not complete:
        footer = f"{found.count} jobs were read, not all that ended in this time; ask for a shorter one: --since 10min"
    listing = Listing(
        key="figures",
        headers=(
            *("JOBS", "FAILED", "WAIT P50", "WAIT P95", "RUN P50", "RUN P95", "RUN P99", "BUSY"),
            arguments.by.upper(),
        ),
        rows=[
            (
                figure.count,
                f"{figure.failure_ratio:.1%}",
                *(short(percentile(figure.waits, share)) for share in (0.5, 0.95)),
                *(short(percentile(figure.runs, share)) for share in (0.5, 0.95, 0.99)),
                span(figure.busy),
                figure.name,
            )
            for figure in figures
        ],
        right=("JOBS", "FAILED", "WAIT P50", "WAIT P95", "RUN P50", "RUN P95", "RUN P99", "BUSY"),
        records=[as_json(figure) for figure in figures],
        names=[figure.name for figure in figures],
        inside=dict.fromkeys(("wait_seconds", "run_seconds"), tuple(SHARES)),
        around={"by": arguments.by, "since": begin, "complete": complete, "read": found.count},
        footer="\n".join(filter(None, (footer, left_out))),
    )
    return show(arguments, listing)


def short(seconds: float | None) -> str:
    """A short length of time in milliseconds, a longer one as elsewhere."""
    return f"{seconds * 1000:.0f} ms" if seconds is not None and seconds < 1 else span(seconds)


def as_json(figure: Figure) -> dict[str, Any]:
    """The documented object of one class, queue or host."""
    return {
        "name": figure.name,
        "count": figure.count,
        **{state: figure.states.get(state, 0) for state in ("finished", "failed", "discarded", "cancelled")},
        "failure_ratio": figure.failure_ratio,
        "wait_seconds": {name: percentile(figure.waits, share) for name, share in SHARES.items()},
        "run_seconds": {name: percentile(figure.runs, share) for name, share in SHARES.items()},
        "busy_seconds": figure.busy,
    }
