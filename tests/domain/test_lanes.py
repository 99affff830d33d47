"""Where a worker looks for work."""

from __future__ import annotations

from queued.domain.jobs import Arrival
from queued.domain.lanes import FULL_SEARCH, Lane, Lanes, Mark
from queued.domain.queues import Selector


def lanes(*queues: str) -> Lanes:
    return Lanes(Selector.parse(queues or ("*",)))


def test_a_search_starts_every_lane_it_found_at_its_beginning() -> None:
    known = lanes()
    known.searched([Lane("b", 1), Lane("a", 2)], now=0.0, took=0.001)
    known.taken({Lane("b", 1): 41})
    assert known.marks() == [Mark(Lane("b", 1), 0, 42), Mark(Lane("a", 2), 0, 0)]
    known.searched([Lane("b", 1)], now=5.0, took=0.001)
    assert known.marks() == [Mark(Lane("b", 1), 0, 0)]


def test_lanes_come_by_rank_then_by_priority() -> None:
    known = lanes("urgent", "*")
    known.searched([Lane("x", -9), Lane("urgent", 5), Lane("urgent", 1), Lane("y", 0)], now=0.0, took=0.0)
    assert [mark.lane for mark in known.marks()] == [Lane("urgent", 1), Lane("urgent", 5), Lane("x", -9), Lane("y", 0)]


def test_an_arrival_opens_a_lane_and_lowers_a_mark_that_had_passed_it() -> None:
    known = lanes("mail*", "-mail_slow")
    assert known.arrived(Arrival("mail", 3, 100))
    assert not known.arrived(Arrival("mail_slow", 3, 100))
    assert not known.arrived(Arrival("other", 3, 100))
    known.taken({Lane("mail", 3): 120})
    known.arrived(Arrival("mail", 3, 130))
    assert known.marks() == [Mark(Lane("mail", 3), 0, 121)]
    known.arrived(Arrival("mail", 3, 90))
    assert known.marks() == [Mark(Lane("mail", 3), 0, 90)]


def test_a_mark_never_moves_left_by_taking() -> None:
    known = lanes()
    known.arrived(Arrival("q", 0, 50))
    known.taken({Lane("q", 0): 10})
    assert known.marks()[0].seq == 50


def test_a_full_search_is_due_at_once_then_when_it_costs_little_and_overdue_after_two_seconds() -> None:
    known = lanes()
    assert known.search_due(0.0)
    assert known.search_overdue(0.0)
    known.searched([], now=10.0, took=0.05)
    assert not known.search_due(10.9)
    assert known.search_due(11.0)
    assert not known.search_overdue(10.0 + FULL_SEARCH - 0.01)
    assert known.search_overdue(10.0 + FULL_SEARCH)
    known.searched([], now=20.0, took=0.5)
    assert not known.search_overdue(29.9)
    assert known.search_overdue(30.0)


def test_a_queue_that_was_paused_or_resumed_is_looked_for_again() -> None:
    known = lanes()
    known.searched([Lane("a", 0), Lane("a", 1), Lane("b", 0)], now=0.0, took=0.0)
    known.forget("a")
    assert [mark.lane for mark in known.marks()] == [Lane("b", 0)]
    assert known.search_overdue(0.001)
