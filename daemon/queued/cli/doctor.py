"""queuectl doctor: what is wrong or about to be, what was looked at, and what to do. It changes nothing."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.database import reaching
from queued.cli.options import Subparsers, add_command
from queued.cli.output import one_line, say, say_json, style
from queued.domain.checks import Verdict, configuration, database, processes, queues, recurring
from queued.domain.errors import ConfigurationError, DatabaseError, DatabaseMisconfigured, SchemaTooNew

if TYPE_CHECKING:
    from queued.configuration import Loaded
    from queued.domain.insights import Overview
    from queued.domain.settings import AppSettings, DatabaseSettings
    from queued.storage.session import Row, Session
    from queued.storage.store import Store

#: Seconds that the application may take to be loaded.
PATIENCE = 60.0
MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red"), "skipped": ("-", "dim")}


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    doctor_ = add_command(
        commands, "doctor", doctor, "look for what is wrong and say what to do; exit with 3 if something is", [common]
    )
    doctor_.add_argument("--quiet", action="store_true", help="show only what is not in order")


def doctor(arguments: argparse.Namespace) -> int:
    """Print every check; OK when there is no problem, else UNHEALTHY."""
    verdicts = [
        verdict if verdict.advice is None else replace(verdict, advice=reaching(arguments, verdict.advice))
        for verdict in examined(arguments)
    ]
    healthy = all(verdict.outcome != "problem" for verdict in verdicts)
    if arguments.json:
        say_json({"healthy": healthy, "checks": [as_json(verdict) for verdict in verdicts]})
    else:
        say("\n".join(screen(verdicts, arguments.quiet)))
    return exits.OK if healthy else exits.UNHEALTHY


def screen(verdicts: list[Verdict], quiet: bool) -> list[str]:
    """The checks, one line each, with what to do below those that are not in order."""
    lines = []
    width = max(len(verdict.check) for verdict in verdicts)
    for verdict in verdicts:
        if quiet and verdict.outcome in {"ok", "skipped"}:
            continue
        mark, colour = MARKS[verdict.outcome]
        lines.append(
            f"{style(mark, colour)} {verdict.check:<{width}}  {one_line(verdict.found)}  "
            f"{style(f'({one_line(verdict.looked_at)})', 'dim')}"
        )
        if verdict.advice is not None:
            lines.append(f"  {'':<{width}}  → {one_line(verdict.advice)}")
    counts = {outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in MARKS}
    told = [f"{counts['problem']} problem{'' if counts['problem'] == 1 else 's'}"]
    told += [f"{counts['warning']} warning{'' if counts['warning'] == 1 else 's'}", f"{counts['ok']} in order"]
    return [*lines, ", ".join([*told, *([f"{counts['skipped']} skipped"] if counts["skipped"] else [])])]


def as_json(verdict: Verdict) -> dict[str, str | None]:
    """The documented object of one check."""
    return {
        "check": verdict.check,
        "outcome": verdict.outcome,
        "looked_at": verdict.looked_at,
        "found": verdict.found,
        "advice": verdict.advice,
    }


def examined(arguments: argparse.Namespace) -> Iterator[Verdict]:
    """Every check in its order. What cannot be looked at without the database is left out when that is away."""
    from queued.cli.database import alive_threshold, database_settings
    from queued.configuration import masked
    from queued.storage.store import open_store

    loaded, verdict = configured(arguments)
    try:
        settings = database_settings(arguments)
    except ConfigurationError as error:
        yield database.unreachable("no address", "; ".join(error.problems))
        yield from of_this_host(loaded, verdict)
        return
    where = masked(settings.url)
    store = open_store(settings, label="queuectl doctor", create=False, joins=True)
    try:
        yield from of_database(store, settings, where, alive_threshold(arguments))
    except DatabaseError as error:
        yield database.unreachable(where, str(error))
    finally:
        store.close()
    yield from of_this_host(loaded, verdict)


def of_database(store: Store, settings: DatabaseSettings, where: str, threshold: float) -> Iterator[Verdict]:
    """What the database knows. Raises DatabaseError where it does not answer."""
    from queued.processes.identity import is_gone
    from queued.storage import doctor as facts
    from queued.storage import heartbeats, insights

    with store.reading() as session:
        server, seconds = facts.server(session)
        here = datetime.now(timezone.utc)
        system = "SQLite" if store.dialect == "sqlite" else "PostgreSQL"
        yield database.reachable(where, f"{system} {server['version']}", seconds)
        yield database.clock((here - server["now_at"]).total_seconds() - seconds * 3.5)
        fault = _schema_fault(store)
        yield database.schema(fault, insights.schema(session) if fault is None else "")
        if fault is not None:
            return
        overview = insights.overview(session, threshold, is_gone)
        if store.dialect == "sqlite":
            yield from of_sqlite(settings, server)
        else:
            yield from of_postgresql(session, settings, server, overview)
        found, ran = facts.tasks(session)
        known, lines = overview.processes, overview.queues
        yield processes.silent(known)
        yield processes.crew(known, overview.ready, overview.scheduled, sum(not task.stopped for task in found))
        yield processes.applications(known)
        yield processes.orphans(*facts.orphans(session))
        yield processes.roles(known)
        yield queues.served(lines)
        yield queues.latency(lines)
        yield queues.paused(lines, overview.now)
        yield queues.dispatched(overview.oldest_due_at, overview.now)
        yield queues.limits(facts.free_lines(session), overview.blocked)
        yield queues.failures(overview.last_hour["failed"], overview.failed)
        beat = next(iter(heartbeats.recent(session, 1)), None)
        yield recurring.tasks(found, overview.now)
        since = (overview.now - ran).total_seconds() if ran is not None else None
        yield recurring.heartbeat(beat.age if beat is not None else None, since)


def _schema_fault(store: Store) -> str | None:
    try:
        store.check_schema()
    except (DatabaseMisconfigured, SchemaTooNew) as error:
        return str(error)
    return None


def of_sqlite(settings: DatabaseSettings, server: Row) -> Iterator[Verdict]:
    """What can be told of a file."""
    from queued.storage import doctor as facts
    from queued.storage.store import sqlite_path

    path = sqlite_path(settings.url)
    yield database.durability({"synchronous": str(settings.synchronous)})
    log = os.path.getsize(f"{path}-wal") if os.path.exists(f"{path}-wal") else 0
    readers = facts.log_readers(path) if log > database.LARGE_LOG else []
    yield database.journal(str(server["journal_mode"]), log, readers)
    waited = facts.wait_for_writer(settings)
    yield database.writer(waited, facts.lock_holders(path) if waited is None else [])
    room = shutil.disk_usage(os.path.dirname(path) or ".")
    yield database.space(path, room.free, room.total)


def of_postgresql(session: Session, settings: DatabaseSettings, server: Row, overview: Overview) -> Iterator[Verdict]:
    """What a server tells."""
    from queued.storage import doctor as facts

    yield database.durability({name: server[name] for name in ("fsync", "full_page_writes", "synchronous_commit")})
    yield database.transactions(facts.transactions(session, database.LONG_TRANSACTION))
    yield database.vacuum(server["autovacuum"] == "on", facts.tables(session, settings.schema))
    alive = [process for process in overview.processes if process.alive]
    threads = sum(int(process.metadata.get("threads") or 0) for process in alive if process.kind == "worker")
    yield database.connections(server["used"], server["allowed"], len(alive), threads)


def configured(arguments: argparse.Namespace) -> tuple[Loaded | None, Verdict]:
    """The configuration of this host, if it has one that can be used, and what is to be said of it."""
    from queued.configuration import find, load

    try:
        path = find(arguments.config, os.environ, os.getcwd())
    except ConfigurationError:
        return None, configuration.no_file()
    try:
        loaded = load(arguments.config, environment=arguments.env)
    except ConfigurationError as error:
        return None, configuration.file(path, error.problems, [])
    return loaded, configuration.file(path, [], loaded.warnings)


def of_this_host(loaded: Loaded | None, verdict: Verdict) -> Iterator[Verdict]:
    """The configuration, the application, and the disk of the runtime directory."""
    yield verdict
    if loaded is None:
        return
    settings = loaded.settings
    threads = sum(worker.threads * worker.processes for worker in settings.workers)
    yield configuration.threads(threads, len(os.sched_getaffinity(0)))
    if settings.app is None or not settings.workers:
        yield configuration.no_application("none runs on this host")
    else:
        yield loading(settings.app)
    directory = settings.runtime_directory
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory) or "/"
    room = shutil.disk_usage(directory)
    yield database.space(settings.runtime_directory, room.free, room.total, "host.space")


def loading(app: AppSettings) -> Verdict:
    """Load the application as the daemon does, and let it go again. Root does not: nothing of it is to run with root's rights."""
    from queued.processes.application import ApplicationError
    from queued.processes.knowing import unknown_jobs

    if os.geteuid() == 0 and os.path.isdir(app.path) and os.stat(app.path).st_uid != 0:
        owner = os.stat(app.path).st_uid
        return configuration.no_application(
            f"root does not import what user {owner} wrote; run doctor as the daemon's user"
        )
    began = time.monotonic()
    error = None
    try:
        unknown_jobs(app, [], PATIENCE)
    except (ApplicationError, OSError) as failed:
        error = str(failed)
    return configuration.application(app.imports, app.python, error, time.monotonic() - began)
