"""How many jobs may wait in a runner."""

from __future__ import annotations

from queued.domain.pace import FIRST, HORIZON, MOST, WEIGHT, Pace, fitting


def paced(*durations: float) -> Pace:
    pace = Pace()
    for duration in durations:
        pace.observe(duration)
    pace.claimed(asked=MOST, found=MOST, characters=MOST)
    return pace


def test_without_experience_nothing_waits() -> None:
    assert Pace().allowance(3) == 0


def test_short_jobs_wait_in_numbers_up_to_a_tenth_of_a_second_of_work() -> None:
    millisecond = paced(*[0.001] * 500)
    assert 3 * HORIZON / 0.001 * 0.9 <= millisecond.allowance(3) <= 3 * HORIZON / 0.001
    assert paced(*[0.000_001] * MOST).allowance(3) == MOST


def test_slow_jobs_never_wait() -> None:
    assert paced(*[1.0] * 50).allowance(10) == 0
    assert paced(*[HORIZON] * 50).allowance(10) == 0


def test_the_allowance_grows_with_experience() -> None:
    assert paced(*[0.000_001] * 100).allowance(3) <= 200


def test_the_first_short_job_is_believed() -> None:
    assert paced(0.001).allowance(1) == 2
    assert paced(0.001, 0.001).allowance(1) == 4


def test_a_slow_job_after_the_first_short_ones_is_believed_too() -> None:
    assert paced(0.001, 0.001, 1.0).allowance(1) == 0


def test_one_slow_job_ends_it_at_once() -> None:
    pace = paced(*[0.000_1] * 500)
    assert pace.allowance(3) > 100
    pace.observe(1.0)
    assert pace.allowance(3) == 0


def test_after_a_reset_experience_has_to_be_made_again() -> None:
    pace = paced(*[0.000_1] * 500)
    pace.reset()
    assert pace.allowance(3) == 0


def test_large_jobs_wait_in_such_numbers_that_memory_holds_them() -> None:
    pace = paced(*[0.000_001] * MOST)
    pace.claimed(100, 100, 100 * 100_000)
    assert pace.allowance(3) == WEIGHT // 100_000
    pace.claimed(3, 3, 3 * 10 * WEIGHT)
    assert pace.allowance(3) == 0


def test_small_jobs_are_not_held_back_by_their_weight() -> None:
    pace = paced(*[0.000_001] * MOST)
    pace.claimed(1000, 1000, 1000 * (WEIGHT // MOST))
    assert pace.allowance(3) == MOST


def test_after_large_jobs_the_numbers_grow_again_slowly() -> None:
    pace = paced(*[0.000_001] * MOST)
    pace.claimed(1, 1, 1_000_000)
    assert pace.allowance(3) == 8
    pace.claimed(10, 10, 1000)
    assert pace.allowance(3) == 9
    for _ in range(100):
        pace.claimed(10, 10, 1000)
    assert pace.allowance(3) == MOST


def test_after_a_pause_it_begins_with_few_for_they_may_be_large() -> None:
    pace = paced(*[0.000_001] * MOST)
    pace.claimed(MOST, MOST - 1, 1000)
    assert pace.allowance(3) == FIRST
    pace.claimed(FIRST, FIRST, 1000)
    assert pace.allowance(3) == 2 * FIRST
    pace.claimed(FIRST, 0, 0)
    assert pace.allowance(3) == FIRST


def test_a_claim_takes_in_what_fits_together() -> None:
    assert fitting([100] * 50, starting=0) == 50
    assert fitting([WEIGHT // 2] * 5, starting=0) == 2
    assert fitting([100, WEIGHT, 100], starting=0) == 1


def test_a_claim_takes_in_what_starts_at_once_and_the_very_first_whatever_they_weigh() -> None:
    assert fitting([WEIGHT] * 5, starting=3) == 3
    assert fitting([WEIGHT + 1, 100], starting=0) == 1
    assert fitting([], starting=3) == 0
