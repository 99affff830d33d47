"""How many jobs may wait in a runner."""

from __future__ import annotations

from queued.domain.pace import HORIZON, MOST, Pace


def paced(*durations: float) -> Pace:
    pace = Pace()
    for duration in durations:
        pace.observe(duration)
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


def test_one_slow_job_ends_it_at_once() -> None:
    pace = paced(*[0.000_1] * 500)
    assert pace.allowance(3) > 100
    pace.observe(1.0)
    assert pace.allowance(3) == 0


def test_after_a_reset_experience_has_to_be_made_again() -> None:
    pace = paced(*[0.000_1] * 500)
    pace.reset()
    assert pace.allowance(3) == 0
