"""queuectl status: the health of the whole on one screen, problems first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from queued.cli import exits
from queued.cli.database import reaching, target
from queued.cli.options import Subparsers, add_command
from queued.cli.output import moment, one_line, say, say_json, span, style, table
from queued.domain.insights import Finding, Overview, QueueInfo, diagnose, uncounted


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    shown = add_command(
        commands,
        "status",
        status,
        "show the health of the whole; exit with 3 when jobs cannot run",
        [common],
        watched=True,
    )
    shown.add_argument(
        "--check", action="store_true", help="only say whether all is well and why not, as /health does: for monitoring"
    )


def status(arguments: argparse.Namespace) -> int:
    """Print the overview; OK when nothing keeps jobs from running, else UNHEALTHY."""
    if arguments.check:
        return check(arguments)
    from queued.configuration import masked
    from queued.processes.identity import is_gone
    from queued.storage import insights

    with target(arguments) as database:
        with database.store.reading() as session:
            overview = replace(insights.overview(session, database.threshold, is_gone), free=database.store.free())
            schema = insights.schema(session)
        where = masked(database.store.settings.url)
    findings = [
        finding if finding.hint is None else replace(finding, hint=reaching(arguments, finding.hint))
        for finding in diagnose(overview)
    ]
    healthy = all(finding.severity != "problem" for finding in findings)
    if arguments.json:
        say_json(as_json(overview, findings, healthy, where, schema))
    else:
        say("\n".join(screen(overview, findings, healthy, where, schema)))
    return exits.OK if healthy else exits.UNHEALTHY


def check(arguments: argparse.Namespace) -> int:
    """The verdict of /health: one line for each reason, or one that all is well."""
    from queued.cli.metrics import monitoring
    from queued.domain.health import as_json as verdict_json
    from queued.domain.health import whole
    from queued.processes.identity import is_gone
    from queued.storage import gauges

    targets = monitoring(arguments).metrics.latency_targets
    with target(arguments) as database, database.store.reading() as session:
        sample = gauges.read(session, database.threshold, gone=is_gone)
        overview = replace(sample.overview, free=database.store.free())
    verdict = whole(overview, targets)
    if arguments.json:
        say_json(verdict_json(verdict))
    else:
        say("\n".join(one_line(reason) for reason in verdict.reasons) or "healthy")
    return exits.OK if verdict.ok else exits.UNHEALTHY


def screen(overview: Overview, findings: Sequence[Finding], healthy: bool, where: str, schema: str) -> list[str]:
    """The lines of the screen."""
    dot = style("●", "green" if healthy else "red")
    lines = [f"{dot} {style('queued', 'bold')} – {'healthy' if healthy else 'jobs cannot run as they should'}"]
    for finding in findings:
        mark = style("✗", "red") if finding.severity == "problem" else style("!", "yellow")
        lines.append(f"  {mark} {one_line(finding.text)}")
        if finding.hint:
            lines.append(f"      {finding.hint}")
    alive = sum(process.alive for process in overview.processes)
    kinds: dict[str, int] = {}
    for process in overview.processes:
        if process.alive:
            kinds[process.kind] = kinds.get(process.kind, 0) + 1
    told = f" ({', '.join(f'{kind} {number}' for kind, number in sorted(kinds.items()))})" if kinds else ""
    oldest = ""
    if overview.oldest_ready_at is not None:
        oldest = f", the oldest for {span((overview.now - overview.oldest_ready_at).total_seconds())}"
    hour = ", ".join(f"{count} {state}" for state, count in overview.last_hour.items())
    lines += [
        f"   Database: {where} (schema {schema})",
        f"  Processes: {alive} alive, {len(overview.processes) - alive} dead{told}",
        f"       Jobs: {overview.ready} ready{oldest}; {overview.scheduled} scheduled, {overview.blocked} blocked, "
        f"{overview.running} running, {overview.failed} failed",
        f"  Last hour: {hour}",
        *([f"             {left_out}"] if (left_out := uncounted(overview.processes)) else []),
        f"    Seen at: {moment(overview.now)}",
    ]
    if overview.queues:
        lines += ["", queue_table(overview.queues)]
    return lines


def queue_table(queues: Sequence[QueueInfo]) -> str:
    """The table of queues, as `queuectl queues list` shows it too."""
    from queued.cli.queues import queue_rows

    headers, rows = queue_rows(queues)
    return table(headers, rows, right=headers[1:-1])


def as_json(overview: Overview, findings: Sequence[Finding], healthy: bool, where: str, schema: str) -> dict[str, Any]:
    """The documented object of `queuectl status --json`."""
    from queued.cli.processes import process_json
    from queued.cli.queues import queue_json

    counts = {name: getattr(overview, name) for name in ("ready", "scheduled", "blocked", "running", "failed")}
    oldest = overview.oldest_ready_at
    return {
        "healthy": healthy,
        "now": overview.now,
        "database": {"url": where, "schema": schema},
        "findings": [
            {"severity": finding.severity, "text": finding.text, "hint": finding.hint} for finding in findings
        ],
        "jobs": {name: count.value for name, count in counts.items()},
        "capped": [name for name, count in counts.items() if count.capped],
        "last_hour": {state: count.value for state, count in overview.last_hour.items()},
        "oldest_ready_at": oldest,
        "oldest_ready_seconds": (overview.now - oldest).total_seconds() if oldest is not None else None,
        "queues": [queue_json(queue) for queue in overview.queues],
        "processes": [process_json(process) for process in overview.processes],
    }
