"""How long an operator waits for a page of a list when a million jobs are stored, from the connection on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from databases import Database

from queued.domain.query import parse
from queued.storage import insights, search
from queued.storage.store import Store, open_store

JOBS = 1_000_000
#: Looks at each page; the shortest counts, for the machine may do something else.
LOOKS = 3
#: Shares of the states in a hundred jobs, the oldest first.
SHARES = {"finished": 30, "failed": 30, "scheduled": 9, "claimed": 1, "ready": 30}
PLAIN = ("", *(f"state:{state}" for state in ("ready", "scheduled", "running", "failed", "finished", "blocked")))
PLAIN += ("state:failed sort:-failed_at", "state:scheduled sort:run_at", "state:failed,ready,running")
#: The first ones find a page, the others hardly anything: those are the dear ones.
ASKED = (
    "queue:q1",
    "class:app.C7*",
    "class:app.none",
    "args.user_id:424242",
    "-queue:q*",
    '"no such text"',
    "since:1s",
)
CHOSEN = [f"{state}{term}" for state in ("", *(f"{one} " for one in PLAIN[1:6])) for term in ASKED]
CHOSEN += ["error:Timeout", "error:nowhere", "state:failed sort:-failed_at class:app.none", "fingerprint:00000000"]

#: Written past the store, which would take an hour. `{t}` stands before the name of a table.
_FILL = {
    "jobs": """INSERT INTO {t}jobs (class_name, queue, priority, arguments, enqueued_at)
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {jobs})
        SELECT 'app.C' || (n % 50), 'q' || (n % 9), n % 3,
               '{{"args":["some text of a usual length"],"kwargs":{{"user_id":' || n || '}}}}', {now}
        FROM numbers""",
    "finished": """INSERT INTO {t}finished (job_id, state, attempt, finished_at)
        SELECT id, 'finished', 1, {now} FROM {t}jobs""",
    "failed": """INSERT INTO {t}failed (job_id, queue, attempt, error_class, message, backtrace, failed_at)
        SELECT id, queue, 1, 'app.E' || (id % 20), 'it broke', '  File "/srv/app/jobs.py", line 3, in work', {now} FROM {t}jobs""",
    "scheduled": "INSERT INTO {t}scheduled (job_id, queue, priority, run_at) SELECT id, queue, priority, {now} FROM {t}jobs",
    "claimed": """INSERT INTO {t}claimed (job_id, lease, process_id, queue, priority, attempt)
        SELECT id, id, 1, queue, priority, 1 FROM {t}jobs""",
    "ready": "INSERT INTO {t}ready (job_id, queue, priority) SELECT id, queue, priority FROM {t}jobs",
}
#: 100 seconds ago.
_CLOCK = {
    "SQLite": "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER) - 100000000",
    "PostgreSQL": "clock_timestamp() - interval '100 s'",
}


def fill(database: Database, jobs: int = JOBS) -> str:
    """A million jobs in a fresh database; its URL."""
    url = database.fresh()
    connection: Any = database._connection
    words = {"t": database._tables, "now": _CLOCK[database.name], "jobs": jobs}
    connection.execute("BEGIN")
    connection.execute(_FILL["jobs"].format(**words))
    low = 0
    for state, share in SHARES.items():
        high = low + jobs * share // 100
        connection.execute(f"{_FILL[state].format(**words)} WHERE id > {low} AND id <= {high}")
        low = high
    connection.execute("COMMIT")
    return url


def lists(database: Database, _size: object) -> dict[str, float]:
    """The longest waits, in ms: of lists by state, of lists by what no index tells, and of the overview."""
    url = fill(database)

    def page(text: str) -> Callable[[Store], object]:
        query = parse(text)

        def look(store: Store) -> object:
            with store.reading() as session:
                return search.search(session, query, 50)

        return look

    def overview(store: Store) -> object:
        with store.reading() as session:
            return insights.overview(session)

    return {
        "lists_plain": max(_measured(url, text, page(text)) for text in PLAIN),
        "lists_chosen": max(_measured(url, text, page(text)) for text in CHOSEN),
        "lists_overview": _measured(url, "status", overview),
    }


def _measured(url: str, name: str, look: Callable[[Store], object]) -> float:
    waits = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        store = open_store(url, create=False, joins=True)
        look(store)
        store.close()
        waits.append((time.perf_counter() - started) * 1000)
    print(f"  {name or 'all'}: {min(waits):.0f} ms", file=sys.stderr)
    return min(waits)
