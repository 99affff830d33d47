"""queuectl processes: every registered process, under the supervisor that started it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from queued.cli.database import target
from queued.cli.listing import Listing, show
from queued.cli.options import Subparsers, add_command
from queued.cli.output import moment, one_line, say, span, style
from queued.domain.insights import ProcessInfo

#: Metadata that processes keep for each other and not for people; --json has it.
UNSAID = frozenset({"slots"})


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    add_command(
        commands, "processes", processes, "list supervisors and their children", [common], lists=True, watched=True
    )


def processes(arguments: argparse.Namespace) -> int:
    """Print the tree of processes."""
    from queued.processes.identity import is_gone
    from queued.storage import insights

    with target(arguments) as database, database.store.reading() as session:
        known = insights.processes(session, database.threshold, is_gone)
    listing = Listing(
        key="processes",
        headers=("PROCESS", "KIND", "PID", "HOST", "HEARTBEAT", "STATE", "DETAILS"),
        rows=[
            (
                prefix + process.name,
                process.kind,
                process.pid,
                process.hostname,
                f"{span(process.heartbeat_age)} ago",
                "alive" if process.alive else "DEAD",
                details(process),
            )
            for prefix, process in tree(known)
        ],
        right=("PID",),
        wide=("STARTED", "LAST HEARTBEAT"),
        wide_rows=[(moment(process.started_at), moment(process.last_heartbeat_at)) for _, process in tree(known)],
        records=[process_json(process) for process in known],
        names=[process.name for process in known],
        empty="no process is registered: the daemon does not run, or uses another database",
    )
    status = show(arguments, listing)
    if arguments.output in {None, "table", "wide"}:
        for process in known:
            state, error = process.application or ("", None)
            if state and error:
                say(f"{style('✗', 'red')} application of {process.name}: {state}: {one_line(error)}")
    return status


def tree(known: Sequence[ProcessInfo]) -> Iterator[tuple[str, ProcessInfo]]:
    """Each process with its branch: supervisors, their children below them, then those whose supervisor is gone."""
    names = {process.name for process in known}
    children: dict[str, list[ProcessInfo]] = {}
    roots = []
    for process in known:
        if process.supervisor in names and process.supervisor != process.name:
            children.setdefault(str(process.supervisor), []).append(process)
        else:
            roots.append(process)
    for root in roots:
        yield "", root
        yield from _branches(children.get(root.name, ()))


def _branches(children: Iterable[ProcessInfo]) -> Iterator[tuple[str, ProcessInfo]]:
    listed = list(children)
    for index, child in enumerate(listed):
        yield ("└─ " if index == len(listed) - 1 else "├─ "), child


def details(process: ProcessInfo) -> str:
    """What a process says of itself, in short."""
    parts = []
    for name, value in process.metadata.items():
        if name in UNSAID:
            continue
        if name == "application" and isinstance(value, Mapping):
            parts.append(f"application: {value.get('state', '?')}")
        elif isinstance(value, (list, tuple)):
            parts.append(f"{name}: {','.join(map(str, value))}")
        elif not isinstance(value, Mapping) and value is not None:
            parts.append(f"{name}: {value}")
    if process.supervisor is None and process.kind not in {"supervisor", ""}:
        parts.append("no supervisor")
    return one_line(", ".join(parts))


def process_json(process: ProcessInfo) -> dict[str, Any]:
    """The documented object of one process."""
    return {
        "id": process.id,
        "name": process.name,
        "kind": process.kind,
        "supervisor": process.supervisor,
        "pid": process.pid,
        "hostname": process.hostname,
        "started_at": process.started_at,
        "last_heartbeat_at": process.last_heartbeat_at,
        "heartbeat_age_seconds": process.heartbeat_age,
        "alive": process.alive,
        "metadata": dict(process.metadata),
    }
