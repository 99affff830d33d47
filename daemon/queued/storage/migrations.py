"""Creates the schema and brings it up to date: idempotent, and safe when two hosts start at once.

A migration is a numbered script for each database. One that older releases cannot live with says `-- breaking` in its first line;
a release refuses a schema that a newer one has changed in that way, and works on with any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queued.domain.errors import DatabaseMisconfigured, SchemaTooNew
from queued.storage.session import Session
from queued.storage.sql import migrations

if TYPE_CHECKING:
    from queued.storage.postgresql import Postgresql
    from queued.storage.sqlite import Sqlite

#: "queued" in ASCII: the advisory lock that lets one migrator at a time into a PostgreSQL database.
LOCK = 0x717565756564


def migrate(backend: Postgresql | Sqlite, schema: str) -> list[str]:
    """Apply what is missing, in one transaction; the names of what was applied.

    Raises SchemaTooNew when a newer release has changed the schema in a way that this one does not know.
    """
    known = migrations(backend.dialect, schema)
    with backend.transaction() as session:
        session.run("migrations.patience")
        session.run("migrations.lock", lock=LOCK)
        prepare(backend, schema)
        applied = _applied(session)
        refuse_newer(applied, known[-1][0])
        names = []
        for version, name, script in known:
            if version not in applied:
                backend.script(script)
                session.run("migrations.record", version=version, name=name, breaking=script.startswith("-- breaking"))
                names.append(name)
    return names


def prepare(backend: Postgresql | Sqlite, schema: str) -> None:
    """Make the migration table itself, where it is missing."""
    if backend.exists():
        return
    if backend.dialect == "postgresql":
        quoted = '"' + schema.replace('"', '""') + '"'
        # IF NOT EXISTS asks for the right to create schemas first, which who owns this one does not need to have.
        name = "'" + quoted.replace("'", "''") + "'"
        backend.script(
            f"DO $do$ BEGIN IF to_regnamespace({name}) IS NULL THEN CREATE SCHEMA {quoted}; END IF; END $do$"
        )
        table, moment, truth = f"{quoted}.migrations", "timestamptz NOT NULL DEFAULT clock_timestamp()", "boolean"
    else:
        table, moment, truth = "queued_migrations", "INTEGER NOT NULL", "INTEGER"
    backend.script(
        f"CREATE TABLE {table} (version integer PRIMARY KEY, name text NOT NULL, breaking {truth} NOT NULL, applied_at {moment});"
    )


def check(backend: Postgresql | Sqlite, schema: str) -> None:
    """Raise DatabaseMisconfigured where migrations are missing, SchemaTooNew where there are unknown, breaking ones."""
    known = migrations(backend.dialect, schema)
    if not backend.exists():
        raise DatabaseMisconfigured(
            "the database has no queued tables; run `queued migrate`, or start the daemon, which does it"
        )
    with backend.reading() as session:
        applied = _applied(session)
    refuse_newer(applied, known[-1][0])
    missing = [name for version, name, _ in known if version not in applied]
    if missing:
        raise DatabaseMisconfigured(f"the database lacks {', '.join(missing)}; run `queued migrate`")


def refuse_newer(applied: dict[int, tuple[str, bool]], newest: int) -> None:
    """Raise SchemaTooNew where a newer release has made a breaking change."""
    unknown = [name for version, (name, breaking) in sorted(applied.items()) if version > newest and breaking]
    if unknown:
        raise SchemaTooNew(
            f"the database was migrated by a newer release of queued ({', '.join(unknown)}), "
            "which this one cannot work with; upgrade queued on this host"
        )


def _applied(session: Session) -> dict[int, tuple[str, bool]]:
    return {row["version"]: (row["name"], bool(row["breaking"])) for row in session.all("migrations.applied")}
