"""queuectl top: queues, running jobs and what goes wrong, live on the whole terminal. Plain control sequences, so over ssh too."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.options import Subparsers, add_command, pause
from queued.cli.output import coloured, one_line, relative, span, style, table, warn
from queued.domain.errors import DatabaseUnavailable
from queued.domain.insights import Count, Finding, JobSummary, Overview, diagnose

if TYPE_CHECKING:
    from queued.cli.database import Target
    from queued.storage.session import Session

#: Another screen, without a cursor; and back. Home, clear a line's rest, clear the screen's rest.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, LINE_END, SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
#: Running jobs that are read, at most: no terminal has more lines.
MOST = 200
KEYS = "q leave   space hold   + faster   - slower"
FASTEST, SLOWEST = 0.5, 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the database has seen."""

    overview: Overview
    findings: Sequence[Finding]
    minute: Mapping[str, Count]
    running: Sequence[JobSummary]


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    live = add_command(commands, "top", top, "show queues and running jobs live on the whole terminal", [common])
    live.add_argument(
        "--interval", metavar="SECONDS", type=pause, default=2.0, help="between two looks (default %(default)s)"
    )
    live.add_argument("--once", action="store_true", help="print one screen and exit; for where there is no terminal")


def top(arguments: argparse.Namespace) -> int:
    """Show the screen until somebody leaves it; OK."""
    from queued.cli.database import target

    if arguments.once:
        with target(arguments) as database, database.store.reading() as session:
            seen = look(session, database.threshold)
        sys.stdout.write("\n".join(screen(seen, 120, 40)) + "\n")
        return exits.OK
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        warn("queuectl top: this is no terminal; use --once, or queuectl status --watch")
        return exits.USAGE
    with target(arguments) as database, taken_over() as resized:
        try:
            live(arguments.interval, lambda: seen_by(database), resized)
        except KeyboardInterrupt:
            pass
    return exits.OK


def seen_by(database: Target) -> Look | str:
    """What a look has seen, or why there was none to be had."""
    try:
        with database.store.reading() as session:
            return look(session, database.threshold)
    except DatabaseUnavailable as error:
        return str(error)


def look(session: Session, threshold: float) -> Look:
    """Read what the screen shows."""
    from queued.domain.query import parse
    from queued.processes.identity import is_gone
    from queued.storage import insights, search

    overview = insights.overview(session, threshold, is_gone)
    minute = insights.ends(session, overview.now - timedelta(minutes=1))
    running = search.search(session, parse("state:running"), MOST).jobs
    return Look(overview, diagnose(overview), minute, running)


@contextmanager
def taken_over() -> Iterator[int]:
    """The terminal for ourselves: each key at once, another screen. As it was before, whatever happens.

    Gives a descriptor that becomes readable when the terminal's size has changed.
    """
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    wakeup = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    resized = signal.signal(signal.SIGWINCH, lambda *_: None)
    try:
        tty.setcbreak(keyboard)
        sys.stdout.write(ENTER)
        sys.stdout.flush()
        yield ours
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, resized)
        signal.set_wakeup_fd(wakeup)
        os.close(ours)
        os.close(theirs)


def live(interval: float, seen: Callable[[], Look | str], resized: int) -> None:
    """Look, paint, listen to keys, until somebody leaves."""
    keyboard = sys.stdin.fileno()
    held, found = False, seen()
    due = time.monotonic() + interval
    while True:
        paint(found, interval, held)
        ready, _, _ = select.select([keyboard, resized], [], [], None if held else max(0.0, due - time.monotonic()))
        if resized in ready:
            os.read(resized, 100)
        keys = os.read(keyboard, 100).decode("utf-8", "replace") if keyboard in ready else ""
        if keyboard in ready and (not keys or "q" in keys or "Q" in keys):
            return
        held ^= keys.count(" ") % 2 == 1
        if "+" in keys or "-" in keys:
            interval = min(max(interval * 2.0 ** (keys.count("-") - keys.count("+")), FASTEST), SLOWEST)
        if not held and time.monotonic() >= due:
            found = seen()
            due = time.monotonic() + interval


def paint(found: Look | str, interval: float, held: bool) -> None:
    """Paint the whole screen over the last one."""
    width, height = os.get_terminal_size(sys.stdout.fileno())
    body = [one_line(found, width)] if isinstance(found, str) else screen(found, width, height - 1)
    body += [""] * (height - 1 - len(body))
    foot = style(f"{KEYS}   every {interval:g} s{'   held' if held else ''}"[:width], "dim")
    sys.stdout.write(
        HOME + "".join(f"{line}{LINE_END}\n" for line in body[: height - 1]) + foot + LINE_END + SCREEN_END
    )
    sys.stdout.flush()


def screen(seen: Look, width: int, height: int) -> list[str]:
    """The lines of the screen, no more than `height` of them, none wider than `width`."""
    overview = seen.overview
    healthy = all(finding.severity != "problem" for finding in seen.findings)
    minute = ", ".join(f"{count} {state}" for state, count in seen.minute.items())
    clock = f"{overview.now:%H:%M:%S} UTC"
    head = _cut(f"queued – {'healthy' if healthy else 'jobs cannot run as they should'}", width - 2)
    room = width - 2 - len(head)
    right = f"{clock:>{room}}" if room > len(clock) else ""
    lines = [
        f"{style('●', 'green' if healthy else 'red')} {style(head, 'bold')}{right}",
        _cut(
            f"Jobs: {overview.ready} ready, {overview.scheduled} scheduled, {overview.blocked} blocked, "
            f"{overview.running} running, {overview.failed} failed",
            width,
        ),
        _cut(f"Last minute: {minute}", width),
    ]
    for finding in seen.findings[:3]:
        mark = style("✗", "red") if finding.severity == "problem" else style("!", "yellow")
        lines.append(f"{mark} {_cut(finding.text, width - 2)}")
    room = height - len(lines)
    # A third for queues, the rest for jobs; what one does not need the other has.
    for_queues = max(min(len(overview.queues), room - 4 - min(len(seen.running), 2 * room // 3)), 0)
    if for_queues:
        lines += ["", *_queues(seen, for_queues, width)]
    for_jobs = height - len(lines) - 2
    if seen.running and for_jobs > 0:
        lines += ["", *_jobs(seen, for_jobs, width)]
    return lines[:height]


def _queues(seen: Look, most: int, width: int) -> list[str]:
    # What waits longest, and then what holds most, comes first.
    queues = sorted(seen.overview.queues, key=lambda queue: (-(queue.latency or 0), -queue.ready.value, queue.name))
    rows = [
        (
            queue.ready,
            span(queue.latency),
            queue.scheduled,
            queue.blocked,
            queue.running,
            queue.failed,
            queue.workers,
            f"{queue.name}{' (paused)' if queue.paused_at is not None else ''}",
        )
        for queue in queues[:most]
    ]
    headers = ("READY", "OLDEST", "SCHEDULED", "BLOCKED", "RUNNING", "FAILED", "WORKERS", "QUEUE")
    return _fitted(headers, rows, headers[:-1], width)


def _jobs(seen: Look, most: int, width: int) -> list[str]:
    # The one that has run longest first.
    running = sorted(seen.running, key=lambda job: job.state_at or seen.overview.now)
    rows = [
        (
            job.id,
            relative(job.state_at, seen.overview.now).removesuffix(" ago"),
            job.attempt,
            "" if job.progress is None or job.progress.percent is None else f"{job.progress.percent} %",
            job.queue,
            job.class_name,
        )
        for job in running[:most]
    ]
    headers = ("JOB", "RUNS FOR", "ATTEMPT", "DONE", "QUEUE", "CLASS")
    return _fitted(headers, rows, ("JOB", "RUNS FOR", "ATTEMPT", "DONE"), width)


def _fitted(headers: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str], width: int) -> list[str]:
    heading, *lines = table(headers, rows, right, cut=False).splitlines()
    bare = heading.removeprefix("\x1b[1m").removesuffix("\x1b[0m") if coloured() else heading
    return [style(_cut(bare, width), "bold"), *(_cut(line, width) for line in lines)]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"
