"""When the next look for old jobs is due."""

from __future__ import annotations

import pytest

from queued.domain.upkeep import EVERY, SOON, Looks


def test_where_little_is_found_a_minute_passes() -> None:
    looks = Looks(batch_size=500)
    assert looks.rest(0, False, took=0.001) == EVERY
    assert looks.rest(499, False, took=0.01) == EVERY


def test_where_they_come_in_numbers_it_looks_again_soon() -> None:
    looks = Looks(batch_size=500)
    looks.rest(2_500, True, took=0.01)
    assert looks.rest(10, False, took=0.01) == SOON
    assert looks.rest(10, False, took=0.01) == EVERY


@pytest.mark.parametrize("took", [0.001, 0.02, 3.0])
def test_a_backlog_takes_a_fifth_of_the_time_and_a_walk_that_finds_nothing_a_twentieth(took: float) -> None:
    looks = Looks(batch_size=500)
    assert took / (took + looks.rest(2_500, True, took)) == pytest.approx(1 / 5)
    assert took / (took + looks.rest(0, True, took)) == pytest.approx(1 / 20)


def test_a_look_that_costs_much_is_not_repeated_soon() -> None:
    looks = Looks(batch_size=500)
    assert looks.rest(600, False, took=2.0) == pytest.approx(38.0)


def test_passing_by_what_is_kept_for_ever_takes_half_a_percent_of_the_time_at_most() -> None:
    looks = Looks(batch_size=500)
    for _ in range(1000):
        looks.rest(0, True, took=0.002)
    assert looks.rest(0, False, took=0.002) >= 1000 * 0.002 * 199
