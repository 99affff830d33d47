"""What is deleted for age, and what is left, on both databases."""

from __future__ import annotations

from queued.domain.settings import RetentionSettings
from queued.storage import retention
from queued.storage.retention import Place
from queued.storage.store import Store

HOUR = 3600


def lay(store: Store, number: int, ended: float, state: str = "finished", enqueued: float | None = None) -> None:
    """A job with this id that ended, and was enqueued, so many hours ago."""
    if store.dialect == "sqlite":
        prefix, moments = "queued_", [f"{{now}} - {round(hours * HOUR * 1e6)}" for hours in (enqueued or ended, ended)]
        clock = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
        moments = [moment.format(now=clock) for moment in moments]
    else:
        prefix, moments = "queued.", [f"now() - interval '{hours} h'" for hours in (enqueued or ended, ended)]
    with store.transaction():
        store.backend.script(
            f"INSERT INTO {prefix}jobs (id, class_name, queue, priority, arguments, enqueued_at) "
            f"VALUES ({number}, 'a', 'q', 0, '', {moments[0]});"
        )
        store.backend.script(
            f"INSERT INTO {prefix}finished (job_id, state, attempt, finished_at) VALUES ({number}, '{state}', 1, {moments[1]});"
        )


def left(store: Store) -> list[int]:
    with store.reading() as session:
        return [number for number in range(1, 30) if session.one("insights.job", id=number) is not None]


def test_each_state_is_kept_for_its_own_time_and_none_is_for_ever(store: Store) -> None:
    for number, state in enumerate(("finished", "discarded", "cancelled"), 1):
        lay(store, number, 3, state)
        lay(store, number + 10, 1, state)
    pruned = retention.prune(store, RetentionSettings(2 * HOUR, None, 0.5 * HOUR))
    assert (pruned.deleted, pruned.more) == ({"finished": 1, "cancelled": 2}, False)
    assert left(store) == [2, 11, 12]
    assert retention.prune(store, RetentionSettings(None, None, None)).deleted == {}


def test_jobs_that_lasted_long_do_not_hide_older_ends_behind_them(store: Store) -> None:
    for number in range(1, 8):
        lay(store, number, 1, enqueued=9)  # scheduled far ahead, and ended lately
    for number in range(8, 15):
        lay(store, number, 5)
    lay(store, 15, 1)
    settings = RetentionSettings(finished=2 * HOUR, batch_size=3)
    place, rounds = Place(), 0
    while retention.prune(store, settings, place, batches=1).more:
        rounds += 1
    assert left(store) == [*range(1, 8), 15]
    assert rounds >= 2
    assert place.after == 0, "the next walk begins at the beginning"


def test_a_great_backlog_is_left_to_further_calls(store: Store) -> None:
    for number in range(1, 12):
        lay(store, number, 5)
    settings, place = RetentionSettings(finished=2 * HOUR, batch_size=2), Place()
    calls = []
    while not calls or calls[-1].more:
        calls.append(retention.prune(store, settings, place, batches=2))
    assert [call.count for call in calls][:3] == [4, 4, 3]
    assert left(store) == []
