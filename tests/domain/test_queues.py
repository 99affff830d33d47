"""Queue selection: what `queues:` means, entry by entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queued.domain.errors import ConfigurationError
from queued.domain.queues import Selector


def groups(entries: list[str], queues: list[str]) -> list[tuple[str, ...]]:
    return Selector.parse(entries).groups(queues)


def test_a_star_gives_every_queue_the_same_rank() -> None:
    selector = Selector.parse(["*"])
    assert selector.everything
    assert {selector.rank(name) for name in ("backend", "default", "")} == {0}


def test_no_entry_at_all_is_a_star() -> None:
    assert Selector.parse([]).everything
    assert Selector.parse([]).entries == ("*",)


def test_a_list_is_strict_precedence_in_its_order() -> None:
    assert groups(["urgent", "backend"], ["backend", "other", "urgent"]) == [("urgent",), ("backend",)]


def test_a_queue_that_is_not_listed_is_not_served() -> None:
    assert Selector.parse(["backend"]).rank("backend2") is None
    assert Selector.parse(["backend"]).rank("Backend") is None


def test_a_prefix_serves_all_queues_that_begin_so_with_one_rank() -> None:
    assert groups(["mail*"], ["mail", "mail_fast", "mai", "gmail"]) == [("mail", "mail_fast")]


def test_a_prefix_that_nothing_matches_serves_nothing() -> None:
    assert groups(["nothing*"], ["backend", "default"]) == []


def test_an_exact_name_and_a_prefix_keep_the_listed_order() -> None:
    queues = ["backend", "mail_a", "mail_b"]
    assert groups(["mail*", "backend"], queues) == [("mail_a", "mail_b"), ("backend",)]
    assert groups(["backend", "mail*"], queues) == [("backend",), ("mail_a", "mail_b")]


def test_an_exact_name_before_a_prefix_comes_out_of_the_prefix() -> None:
    assert groups(["mail_b", "mail*"], ["mail_a", "mail_b"]) == [("mail_b",), ("mail_a",)]


def test_a_star_after_a_name_means_the_name_first_then_all_others_together() -> None:
    selector = Selector.parse(["urgent", "*"])
    assert not selector.everything
    assert selector.groups(["a", "urgent", "b"]) == [("urgent",), ("a", "b")]


def test_what_a_star_stands_before_is_never_reached() -> None:
    assert Selector.parse(["*", "urgent"]).rank("urgent") == 0


def test_a_paused_queue_is_not_offered_and_the_others_still_share_one_rank() -> None:
    assert groups(["*"], ["a", "c"]) == [("a", "c")]


def test_when_every_listed_queue_is_paused_nothing_is_left() -> None:
    assert groups(["a", "b"], []) == []


def test_an_excluded_queue_is_not_served_wherever_the_exclusion_stands() -> None:
    for entries in (["*", "-slow"], ["-slow", "*"], ["-slow"]):
        assert groups(entries, ["a", "slow", "slower"]) == [("a", "slower")]


def test_an_excluded_prefix_takes_all_its_queues_out() -> None:
    assert groups(["mail*", "-mail_slow*"], ["mail_a", "mail_slow", "mail_slow_b"]) == [("mail_a",)]


def test_exclusions_alone_are_all_queues_but_those() -> None:
    selector = Selector.parse(["-slow", "-cold*"])
    assert selector.entries == ("*", "-slow", "-cold*")
    assert not selector.everything


def test_wildcards_of_sql_and_shell_are_plain_letters() -> None:
    assert groups(["a_*"], ["a_b", "axb"]) == [("a_b",)]
    assert groups(["a%*"], ["a%b", "axb"]) == [("a%b",)]
    assert groups(["a?"], ["ab"]) == []


def test_blanks_around_an_entry_do_not_count() -> None:
    assert Selector.parse([" urgent ", " *"]).entries == ("urgent", "*")


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("*foo", "write *"),
        ("fo*o", "write fo*"),
        ("**", "write *"),
        ("-fo*o", "write fo*"),
        ("-*", "excludes every queue"),
        ("-", "names no queue"),
        ("", "names no queue"),
        ("  ", "names no queue"),
    ],
)
def test_an_entry_that_means_nothing_is_refused_with_a_remedy(entry: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=r".*") as caught:
        Selector.parse(["default", entry])
    assert len(caught.value.problems) == 1
    assert remedy in caught.value.problems[0]


def test_every_entry_that_means_nothing_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Selector.parse(["*a", "good", "b*c"])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("entries", [["a", "-a"], ["mail_fast", "-mail*"], ["mail*", "-mail*"], ["mail_f*", "-mail*"]])
def test_what_is_listed_and_excluded_at_once_is_refused(entries: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="both listed and excluded"):
        Selector.parse(entries)


def test_a_selector_shows_as_its_entries() -> None:
    assert str(Selector.parse(["urgent", "mail*", "-mail_slow"])) == "urgent,mail*,-mail_slow"


names = st.text(alphabet="ab_-%", min_size=1, max_size=4)


@given(st.lists(st.builds(lambda name, star: name + star, names, st.sampled_from(["", "*"]))), st.lists(names))
def test_groups_hold_each_served_queue_once_in_the_order_of_its_rank(entries: list[str], queues: list[str]) -> None:
    try:
        selector = Selector.parse(entries)
    except ConfigurationError:
        return
    served = [queue for group in selector.groups(queues) for queue in group]
    assert sorted(served) == sorted({queue for queue in queues if selector.rank(queue) is not None})
    ranks = [selector.rank(queue) for queue in served]
    assert ranks == sorted(ranks, key=lambda rank: -1 if rank is None else rank)


def test_a_selector_says_of_each_queue_whether_it_is_one_of_its_own() -> None:
    selector = Selector.parse(["clicks", "mail*", "-mail_audit"])
    assert [selector.serves(name) for name in ("clicks", "mail_bulk", "mail_audit", "click", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
