"""What is in the database."""

from __future__ import annotations

from typing import Any

from queued.storage.store import Store


def stored(store: Store) -> list[dict[str, Any]]:
    """Every job in the database, with where it is, in the order of ids."""
    with store.reading() as session:
        connection = session._connection if store.dialect == "sqlite" else session._cursor.connection  # type: ignore[attr-defined]
        dot = "_" if store.dialect == "sqlite" else "."
        cursor = connection.execute(
            f"SELECT j.id, class_name, j.queue, j.priority, arguments, options, r.job_id IS NOT NULL, "
            f"s.job_id IS NOT NULL, s.run_at "
            f"FROM queued{dot}jobs j LEFT JOIN queued{dot}ready r ON r.job_id = j.id "
            f"LEFT JOIN queued{dot}scheduled s ON s.job_id = j.id ORDER BY j.id"
        )
        names = ("id", "class_name", "queue", "priority", "arguments", "options", "ready", "scheduled", "run_at")
        return [dict(zip(names, tuple(row), strict=True)) for row in cursor.fetchall()]
