"""How far a job has come, in the database: fenced by the lease, given to the next attempt, forgotten with the job."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from queued.domain.insights import Progress, Steps
from queued.domain.jobs import Checkpoint, ClaimedJob, Failure, Outcome, OutcomeKind
from queued.domain.query import parse
from queued.domain.settings import RetentionSettings
from queued.storage import checkpoints, claimed, insights, operators, retention, search
from queued.storage.store import Store
from storage.conftest import Claimer, job

HERE = claimed.Worker("here", "worker-1")
BOOM = Failure("app.Boom", "it broke")
STEPS = '{"finished":[["a",1]],"step":"b","cursor":[2,"\\u0000"]}'
FURTHER = '{"finished":[["a",1],["b",3]],"step":null,"cursor":null}'


def one_claimed(store: Store, claimer: Claimer) -> ClaimedJob:
    store.enqueue([job()])
    (found,) = claimer.claim()
    return found


def save(store: Store, *given: Checkpoint) -> set[int]:
    with store.transaction() as session:
        return checkpoints.save(session, given)


def finish(store: Store, *outcomes: Outcome) -> claimed.Report:
    with store.transaction() as session:
        return claimed.finish(session, outcomes, HERE)


def stored(store: Store, job_id: int) -> tuple[Steps | None, Progress | None]:
    with store.reading() as session:
        detail = insights.job(session, job_id)
    return detail.steps, detail.progress


def count(store: Store) -> int:
    prefix = "queued." if store.dialect == "postgresql" else "queued_"
    row = store.backend.connection().execute(f"SELECT count(*) FROM {prefix}checkpoints").fetchone()
    assert row is not None
    return int(row[0])


def test_a_job_without_steps_is_claimed_with_none(store: Store, claimer: Claimer) -> None:
    assert one_claimed(store, claimer).steps is None
    assert count(store) == 0


@pytest.mark.parametrize("kind", ["released", "retry"])
def test_the_next_attempt_is_handed_what_was_stored(store: Store, claimer: Claimer, kind: OutcomeKind) -> None:
    found = one_claimed(store, claimer)
    assert save(store, Checkpoint(found.id, found.lease, STEPS)) == {found.id}
    finish(store, Outcome(found.id, found.lease, kind, failure=BOOM if kind == "retry" else None))
    (again,) = claimer.claim()
    assert again.steps == STEPS
    assert again.attempt == (1 if kind == "released" else 2)


def test_a_crash_and_an_operators_retry_keep_it(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    save(store, Checkpoint(found.id, found.lease, STEPS))
    with store.transaction() as session:
        claimed.crash(session, [(found.id, found.lease)], "it died", 3, HERE)
    (again,) = claimer.claim()
    assert again.steps == STEPS
    finish(store, Outcome(again.id, again.lease, "failed", failure=BOOM))
    with store.transaction() as session:
        operators.retry(session, [found.id])
    (again,) = claimer.claim()
    assert again.steps == STEPS


@pytest.mark.parametrize("kind", ["done", "released", "retry", "failed", "discarded", "cancelled"])
def test_the_last_checkpoint_is_stored_with_the_end_of_the_attempt(
    store: Store, claimer: Claimer, kind: OutcomeKind
) -> None:
    found = one_claimed(store, claimer)
    save(store, Checkpoint(found.id, found.lease, STEPS, 1.0, 2.0))
    last = Checkpoint(found.id, found.lease, FURTHER, 2.0, 2.0, "all")
    failure = BOOM if kind in {"retry", "failed"} else None
    assert finish(store, Outcome(found.id, found.lease, kind, failure=failure, checkpoint=last)).stale == []
    assert stored(store, found.id) == (Steps(("a", "b")), Progress(2.0, 2.0, "all"))


def test_a_stale_lease_stores_nothing(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    finish(store, Outcome(found.id, found.lease, "released"))
    (again,) = claimer.claim()
    assert again.lease != found.lease
    save(store, Checkpoint(again.id, again.lease, FURTHER))
    late = Checkpoint(found.id, found.lease, STEPS)
    assert save(store, late) == set()
    assert len(finish(store, Outcome(found.id, found.lease, "done", checkpoint=late)).stale) == 1
    assert stored(store, found.id)[0] == Steps(("a", "b"))


def test_what_a_checkpoint_does_not_tell_stays_as_it_was(store: Store, claimer: Claimer) -> None:
    found = one_claimed(store, claimer)
    save(store, Checkpoint(found.id, found.lease, None, 1.0, 4.0, "a quarter"))
    assert stored(store, found.id) == (None, Progress(1.0, 4.0, "a quarter"))
    save(store, Checkpoint(found.id, found.lease, STEPS))
    current = Steps(("a",), "b", [2, "\0"])
    assert stored(store, found.id) == (current, Progress(1.0, 4.0, "a quarter"))
    save(store, Checkpoint(found.id, found.lease, None, 2.0))
    assert stored(store, found.id) == (current, Progress(2.0))


def test_many_are_stored_at_once(store: Store, claimer: Claimer) -> None:
    store.enqueue([job() for _ in range(50)])
    found = claimer.claim()
    given = [Checkpoint(one.id, one.lease, STEPS, float(n), 49.0) for n, one in enumerate(found)]
    stale = Checkpoint(found[0].id, found[0].lease - 1, FURTHER)
    assert save(store, stale, *given) == {one.id for one in found}
    with store.reading() as session:
        for query in ("", "state:running"):
            listed = search.search(session, parse(query), 100).jobs
            told = {one.id: one.progress for one in listed}
            assert told == {one.id: Progress(float(n), 49.0) for n, one in enumerate(found)}
    assert [Progress(float(n), 49.0).percent for n in (0, 48, 49)] == [0, 97, 100]
    assert Progress(1.0).percent is Progress(1.0, 0.0).percent is None


def test_a_late_checkpoint_waits_for_who_settles_the_claim_and_then_counts_for_nothing(
    store: Store, claimer: Claimer, open_another: Callable[[], Store]
) -> None:
    found = one_claimed(store, claimer)
    results: list[set[int]] = []
    other = open_another()
    late = threading.Thread(target=lambda: results.append(save(other, Checkpoint(found.id, found.lease, STEPS))))
    with store.transaction() as session:
        claimed.release(session, [(found.id, found.lease)], [])
        late.start()
        late.join(0.3)
        assert results == []
    late.join(60)
    assert results == [set()]
    assert count(store) == 0


@pytest.mark.parametrize("kind", ["done", "failed"])
def test_retention_forgets_them_with_the_job(store: Store, claimer: Claimer, kind: OutcomeKind) -> None:
    store.enqueue([job(), job()])
    found, kept = claimer.claim()
    failure = BOOM if kind == "failed" else None
    last = Checkpoint(found.id, found.lease, STEPS)
    finish(store, Outcome(found.id, found.lease, kind, failure=failure, ended_ago=5.0, checkpoint=last))
    save(store, Checkpoint(kept.id, kept.lease, STEPS))
    assert count(store) == 2
    assert retention.prune(store, RetentionSettings(finished=0.0, failed=0.0)).count == 1
    assert count(store) == 1
