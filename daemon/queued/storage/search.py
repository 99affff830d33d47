"""Finding jobs by a query: page by page for those who look, all of them for those who act.

A list costs the same however many jobs there are: pages begin where the last one ended, by an index, and a search for what no
index tells stops after its budget and says where to go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from queued.domain.insights import COUNT_CAP, JobPage, JobSummary, Progress
from queued.domain.jobs import STATES, State
from queued.domain.query import Query
from queued.storage.conditions import conditions
from queued.storage.insights import LANES, now
from queued.storage.orders import ByDue, ByFailure, ById, ByTurn, Order, Position, window
from queued.storage.session import Condition, Row, Session

#: Seconds after which a search that has not filled its page stops. At least one stretch is looked at.
BUDGET = 0.15
#: Rows of the first stretch of a search, and of the longest; each is four times as long as the one before.
STRETCH, LONGEST = 1_000, 8_000
#: Ready jobs, of those that would be claimed first, that are looked at where something must be asked of each.
WINDOW = 25_000
#: Rows fetched at a time where every row must be looked at.
PAGE = 1_000

_SOURCES: dict[State, str] = {state: state for state in STATES} | dict.fromkeys(
    ("finished", "discarded", "cancelled"), "ended"
)
_SORTED: dict[str | None, type[ByFailure]] = {"-failed_at": ByFailure, "run_at": ByDue}


def search(session: Session, query: Query, limit: int, after: str | None = None, budget: float = BUDGET) -> JobPage:
    """Up to `limit` jobs that match, in the query's order, behind the place `after` that a page before has named.

    Looks at stretches of rows until the page is full or `budget` seconds are over; then `searched_to` says where to go on. Of
    ready jobs only the next `COUNT_CAP` to be claimed are looked at, or `WINDOW` where something is asked of them. Raises
    QueryError for a place that is none.
    """
    states, deadline = query.states, time.monotonic() + budget
    met = conditions(query, session.dialect, now(session))
    if query.sort in _SORTED:
        order: Order = _SORTED[query.sort]()
        return _page(session, order, query, met, limit, after, deadline)
    if states == STATES and not query.of("since", "until"):
        page = _page(session, ById("all"), query, met, limit, after, deadline)
        return _with_ready(session, page)
    pages = [
        _ready(session, query, met, limit, after)
        if source == "ready"
        else _page(session, ById(source), query, met, limit, after, deadline)
        for source in dict.fromkeys(_SOURCES[state] for state in states)
    ]
    return _merged(pages, limit)


def matching(session: Session, query: Query) -> Iterator[int]:
    """The ids of all jobs that match, however many, state by state; a job that moves meanwhile may come twice.

    Each stretch is a statement of its own: other statements of the session may run between two ids.
    """
    met = conditions(query, session.dialect, now(session))
    for source in dict.fromkeys(_SOURCES[state] for state in query.states):
        orders: list[Order] = [ById(source)]
        if source == "ready":
            lanes = session.all("insights.lanes", lanes=LANES)
            orders = [ByTurn(lane["queue"], lane["priority"]) for lane in lanes if query.queue(lane["queue"])]
        for order in orders:
            for rows in walk(session, order, query, met):
                yield from (row["id"] for row in rows)


def walk(session: Session, order: Order, query: Query, met: Sequence[Condition]) -> Iterator[list[Row]]:
    """The rows of one order that match, stretch by stretch, to its end; a stretch without any gives an empty list."""
    position: Position | None = order.begin(None)
    while position is not None:
        end = order.end(session, position, LONGEST)
        rows = order.rows(session, position, end, LONGEST, 2 * LONGEST, met, _wanted(query))
        yield [row for row in rows if _exact(query, row)]
        position = end


def _page(
    session: Session,
    order: Order,
    query: Query,
    met: Sequence[Condition],
    limit: int,
    after: str | None,
    deadline: float,
) -> JobPage:
    found: list[Row] = []
    position = order.begin(after)
    stretch = STRETCH
    while True:
        # Without conditions every row fits, and a page is all that has to be looked at.
        end = order.end(session, position, stretch) if met or query.needs else None
        full = True
        while full:
            page = PAGE if query.needs else limit + 1 - len(found)
            most = stretch if met or query.needs else page
            rows = order.rows(session, position, end, most, page, met, _wanted(query))
            for row in rows:
                if not _exact(query, row):
                    continue
                if len(found) == limit:
                    following = order.token(order.position(found[-1]))
                    return JobPage(tuple(map(summary, found)), more=True, following=following)
                found.append(row)
            full = len(rows) == page
            if full:
                position = order.position(rows[-1])
        if end is None:
            return JobPage(tuple(map(summary, found)))
        position = end
        if time.monotonic() >= deadline:
            told = order.token(position)
            return JobPage(tuple(map(summary, found)), searched_to=position[-1], following=told)
        stretch = min(4 * stretch, LONGEST)


def _ready(session: Session, query: Query, met: Sequence[Condition], limit: int, after: str | None) -> JobPage:
    queues: list[str | None] = [None]
    if query.of("queue"):
        lanes = session.all("insights.lanes", lanes=LANES)
        queues = list(dict.fromkeys(lane["queue"] for lane in lanes if query.queue(lane["queue"])))
    pages = []
    for queue in queues:
        found: list[Row] = []
        place, size = after, (WINDOW if met or query.needs else COUNT_CAP) // len(queues)
        page = PAGE if query.needs else limit + 1
        while len(found) <= limit:
            rows = window(session, queue, size, place, page, met, _wanted(query))
            found += [row for row in rows if _exact(query, row)]
            if len(rows) < page:
                break
            place = str(rows[-1]["id"])
        cut = len(found) <= limit and _beyond(session, queue, size)
        pages.append(JobPage(tuple(map(summary, found)), window=size if cut else None))
    return _merged(pages, limit)


def _beyond(session: Session, queue: str | None, size: int) -> bool:
    name, more = ("insights.count_ready", {}) if queue is None else ("insights.count_ready_in", {"queue": queue})
    row = session.one(name, cap=size + 1, **more)
    return row is not None and row["n"] > size


def _merged(pages: Sequence[JobPage], limit: int) -> JobPage:
    """Pages of several tables as one, the newest first. What lies beyond the place where one of them stopped is left out."""
    stopped = max((page.searched_to for page in pages if page.searched_to is not None), default=None)
    # A job that moved between two reads may be in both; it is shown once.
    jobs = {job.id: job for page in reversed(pages) for job in page.jobs}
    listed = [jobs[job_id] for job_id in sorted(jobs, reverse=True) if stopped is None or job_id >= stopped]
    told = [page.window for page in pages if page.window is not None]
    cut = sum(told) if told else None
    if len(listed) > limit or (len(listed) == limit and any(page.more for page in pages)):
        shown = tuple(listed[:limit])
        return JobPage(shown, more=True, following=str(shown[-1].id), window=cut)
    following = None if stopped is None else str(stopped)
    return JobPage(tuple(listed), searched_to=stopped, following=following, window=cut)


def _with_ready(session: Session, page: JobPage) -> JobPage:
    """Say when ready jobs became ready: those among the next `COUNT_CAP` to be claimed."""
    waiting = {job.id for job in page.jobs if job.state == "ready"}
    if not waiting:
        return page
    between = session.all("search.ready_between", low=min(waiting), high=max(waiting), cap=COUNT_CAP)
    since = {row["job_id"]: row["ready_at"] for row in between if row["job_id"] in waiting}
    return replace(page, jobs=tuple(replace(job, state_at=since.get(job.id, job.state_at)) for job in page.jobs))


def _wanted(query: Query) -> dict[str, Any]:
    return {text: int(text in query.needs) for text in ("arguments", "backtrace")}


def _exact(query: Query, row: Row) -> bool:
    return not query.needs or query.exact(row["class_name"], row["error_class"], row)


def summary(row: Row) -> JobSummary:
    """A row of a list as what it says."""
    return JobSummary(
        id=row["id"],
        class_name=row["class_name"],
        queue=row["queue"],
        priority=row["priority"],
        state=cast(State, row["state"]),
        attempt=row["attempt"],
        enqueued_at=row["enqueued_at"],
        state_at=row["state_at"],
        run_at=row["run_at"],
        error_class=row["error_class"],
        message=row["message"],
        progress=Progress(row["done"], row["total"]) if row["done"] is not None else None,
    )
