"""queuectl db: migrate, backup, verify, size, prune."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from typing import Any

from queued.cli import exits
from queued.cli.database import Target, database_settings, target
from queued.cli.jobs import positive
from queued.cli.listing import Listing, show
from queued.cli.moments import length
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import say, say_json
from queued.cli.progress import Bar
from queued.domain.errors import NotAllowed

#: How many copies are kept, and how old the newest may be, unless told otherwise: as for the recurring tasks.
KEEP, MAX_AGE = 7, 26 * 3600.0


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    noun = commands.add_parser(
        "db", help="look after the database", description="Look after the database: its schema, copies, size, old jobs."
    )
    verbs = subcommands(noun, "verb")
    add_command(verbs, "migrate", migrate, "create the database's schema or bring it up to date", [common])
    copying = add_command(verbs, "backup", backup, "copy a SQLite database while it is in use", [common])
    copying.add_argument("--directory", metavar="PATH", help="where the copies are (else beside the database)")
    copying.add_argument(
        "--keep", metavar="N", type=positive, default=KEEP, help="how many copies are kept (default %(default)s)"
    )
    checking = add_command(verbs, "verify", verify, "restore the newest copy for a test and check it", [common])
    checking.add_argument("--directory", metavar="PATH", help="where the copies are (else beside the database)")
    checking.add_argument(
        "--max-age", metavar="LENGTH", type=length, default=MAX_AGE, help="how old it may be (default 26h)"
    )
    add_command(verbs, "size", size, "list the tables with their rows and the room they take", [common], lists=True)
    add_command(verbs, "prune", prune, "delete what retention: in queue.yml gives up", [common])


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the schema up to date and say what was applied."""
    from queued.configuration import masked
    from queued.storage.store import open_store

    settings = database_settings(arguments)
    store = open_store(settings, label="queuectl db migrate")
    try:
        applied = store.migrate()
    finally:
        store.close()
    if arguments.json:
        say_json({"applied": applied})
        return exits.OK
    for name in applied:
        say(f"applied {name}")
    if not applied:
        say(f"{masked(settings.url)} is up to date")
    return exits.OK


def backup(arguments: argparse.Namespace) -> int:
    """Copy the database. Raises BackupError, and NotAllowed on PostgreSQL."""
    from queued.storage import backup as copies

    with target(arguments) as database:
        _only_sqlite(database, "back it up with pg_dump or the server's own means")
        made = copies.make(database.store, arguments.directory, arguments.keep, lambda: False)
    if arguments.json:
        say_json({"path": made.path, "bytes": made.size, "rows": made.rows})
    else:
        say(f"copied to {made.path} ({made.size} bytes, {made.rows} rows)")
    return exits.OK


def verify(arguments: argparse.Namespace) -> int:
    """Check the newest copy. Raises BackupError with what is wrong, and NotAllowed on PostgreSQL."""
    from queued.storage import backup as copies

    with target(arguments) as database:
        _only_sqlite(database, "verify its backups where they are made")
        found = copies.verify(database.store, arguments.directory, arguments.max_age, lambda: False)
    if arguments.json:
        say_json({"path": found.path, "bytes": found.size, "rows": found.rows, "age_seconds": found.age})
    else:
        say(f"{found.path} is whole ({found.size} bytes, {found.rows} rows, {found.age / 3600:.1f} hours old)")
    return exits.OK


def _only_sqlite(database: Target, remedy: str) -> None:
    if database.store.dialect != "sqlite":
        raise NotAllowed(f"the database is PostgreSQL; {remedy}")


def size(arguments: argparse.Namespace) -> int:
    """Print the tables."""
    from queued.domain.checks.verdict import size as bytes_
    from queued.storage import doctor
    from queued.storage.store import sqlite_path

    with target(arguments) as database, database.store.reading() as session:
        tables = doctor.sizes(session, database.store.settings.schema)
        server, _ = doctor.server(session)
        log = 0
        if database.store.dialect == "sqlite":
            path = f"{sqlite_path(database.store.settings.url)}-wal"
            log = os.path.getsize(path) if os.path.exists(path) else 0
    listing = Listing(
        key="tables",
        headers=("TABLE", "ROWS", "SIZE"),
        rows=[(table.name, table.rows, bytes_(table.size) if table.size is not None else None) for table in tables],
        right=("ROWS", "SIZE"),
        records=[
            {"name": table.name, "rows": table.rows.value, "capped": table.rows.capped, "bytes": table.size}
            for table in tables
        ],
        names=[table.name for table in tables],
        around={"bytes": server["bytes"], "log_bytes": log},
        footer=f"{bytes_(server['bytes'])} in all" + (f", {bytes_(log)} of write-ahead log" if log else ""),
    )
    return show(arguments, listing)


def prune(arguments: argparse.Namespace) -> int:
    """Delete jobs whose time is over by the configuration on this host; it must have one."""
    from queued.cli.who import operator
    from queued.configuration import load
    from queued.storage import retention
    from queued.storage.audit import Record

    periods = load(arguments.config, environment=arguments.env).settings.retention
    deleted: Counter[str] = Counter()
    record = Record(operator(), "db prune", "by retention")
    bar = Bar("prune", None)
    with target(arguments) as database:
        place, more = retention.Place(), True
        while more:
            found = retention.prune(database.store, periods, place, batches=1, also=record.note)
            more = found.more
            deleted.update(found.deleted)
            bar.reach(sum(deleted.values()))
    bar.clear()
    if arguments.json:
        say_json({"deleted": deleted})
    else:
        told: Any = ", ".join(f"{count} {state}" for state, count in deleted.items())
        say(f"deleted {told or 'nothing'}")
    return exits.OK
