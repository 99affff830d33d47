"""The language for choosing jobs: what it says, and what it answers to mistakes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queued.domain.errors import QueryError
from queued.domain.query import FIELDS, Query, Range, Term, Text, parse, term

STORED = '{"args":[7,"a b"],"kwargs":{"user_id":42,"user":{"name":"Ana","tags":["x","y"]},"ok":true,"none":null}}'
MARKED = '{"args":[],"kwargs":{"when":{"$queued":"uuid","value":"1234"}}}'


def matches(query: str, arguments: str = STORED) -> bool:
    return parse(query).exact("app.work", None, {"arguments": arguments, "backtrace": None})


def test_the_example_of_the_manual_is_read_term_by_term() -> None:
    query = parse("state:failed queue:mail class:*Import* error:Timeout args.user_id:42 since:1h")
    assert query.terms == (
        Term("state", (Text("failed"),)),
        Term("queue", (Text("mail"),)),
        Term("class", (Text("*Import*", wild=True),)),
        Term("error", (Text("Timeout"),)),
        Term("args", (Text("42"),), path=("user_id",)),
        Term("since", (timedelta(hours=1),)),
    )
    assert query.states == ("failed",)


def test_commas_are_alternatives_and_quotes_take_everything_as_it_is() -> None:
    assert parse("queue:a,b").terms[0].values == (Text("a"), Text("b"))
    assert parse('queue:"a,b"').terms[0].values == (Text("a,b"),)
    assert parse('class:"a*"').terms[0].values == (Text("a*"),)
    assert parse(r'class:"a\"b"').terms[0].values == (Text('a"b'),)
    assert parse("since:'2h ago'").terms[0].values == (timedelta(hours=2),)


def test_a_word_without_a_field_is_looked_for_as_it_is() -> None:
    assert parse('broken "state:failed"').terms == (Term("", (Text("broken"),)), Term("", (Text("state:failed"),)))


@pytest.mark.parametrize(
    ("query", "states"),
    [
        ("-state:finished,discarded", ("ready", "scheduled", "blocked", "running", "failed", "cancelled")),
        ("state:ready,failed state:failed,running", ("failed",)),
        ("error:Timeout", ("failed",)),
        ("-error:Timeout state:ready", ("ready",)),
        ("fingerprint:0a", ("failed",)),
        ("state:ready error:x", ()),
    ],
)
def test_the_states_that_can_match_are_told(query: str, states: tuple[str, ...]) -> None:
    assert parse(query).states == states


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("5", 5, 5), ("1..3", 1, 3), ("-2", -2, -2), ("<=4", None, 4), ("<4", None, 3), (">4", 5, None)],
)
def test_numbers_are_ranges(text: str, low: int | None, high: int | None) -> None:
    (found,) = parse(f"priority:{text}").terms[0].values
    assert isinstance(found, Range)
    assert low is None or found.low == low
    assert high is None or found.high == high
    assert (found.low < -(2**60)) == (low is None)
    assert (found.high > 2**60) == (high is None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stat:failed", "did you mean state?"),
        ("status:failed", "did you mean state?"),
        ("state:faild", "did you mean failed?"),
        ("queue:", "a value is missing"),
        ("queue:a,,b", "a value is missing"),
        ('queue:"a', "does not end"),
        ("since:yesterdayish", "is no moment"),
        ("id:abc", "is no whole number"),
        ("id:9..3", "no number lies in 9..3"),
        ("sort:class", "jobs have no such order; write sort:-id, sort:-failed_at or sort:run_at"),
        ("sort:run_at", "add state:scheduled"),
        ("sort:-id sort:-id", "is given twice"),
        ("queue.x:1", "there is no field 'queue.x'"),
        ("args..x:1", "there is no field"),
    ],
)
def test_a_mistake_is_named_with_what_was_probably_meant(text: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("args.user_id:42", True),
        ("args.user_id:43", False),
        ("-args.user_id:43", True),
        ("args.user_id:4*", True),
        ("args.user.name:Ana", True),
        ("args.user.tags:y", True),
        ("args.user.tags.0:y", False),
        ("args.0:7", True),
        ('args.1:"a b"', True),
        ("args.2:7", False),
        ("args.ok:true", True),
        ("args.none:null", True),
        ("args.missing:*", False),
        ("args.user_id:*", True),
        ("args.user_id:41,42", True),
    ],
)
def test_a_value_inside_the_arguments_is_found_by_its_path(query: str, expected: bool) -> None:
    assert matches(query) is expected


def test_a_value_of_another_type_is_compared_as_it_is_stored() -> None:
    assert matches("args.when:1234", MARKED)
    assert not matches("args.when:uuid", MARKED)
    assert not matches("args.when:1234", "no json")


def test_an_option_takes_its_value_whole() -> None:
    assert term("queue", "a,b") == Term("queue", (Text("a,b"),))
    assert term("class", "app.*") == Term("class", (Text("app.*", wild=True),))
    with pytest.raises(QueryError, match="is no moment"):
        term("since", "soon")


def test_every_field_takes_a_value() -> None:
    values = {"state": "failed", "pattern": "x", "part": "x", "number": "1", "moment": "1h"}
    for name, field in FIELDS.items():
        (found,) = parse(f"{name}:{values[field.kind]}").terms
        assert found.field == name


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(
    st.lists(
        st.builds(
            lambda field, texts, negated: Term(field, tuple(map(Text, texts)), negated),
            st.sampled_from(["queue", "class", "error", "args", "fingerprint"]),
            st.lists(TEXTS, min_size=1, max_size=3),
            st.booleans(),
        )
    )
)
def test_what_is_written_from_a_query_is_read_as_the_same(terms: list[Term]) -> None:
    query = Query(tuple(terms))
    assert parse(str(query)) == query


@given(TEXTS, st.booleans())
def test_a_word_without_a_field_is_written_so_that_it_stays_one(text: str, negated: bool) -> None:
    query = Query((Term("", (Text(text),), negated),))
    assert parse(str(query)) == query


@given(st.text(max_size=40))
def test_any_text_is_a_query_or_a_mistake_that_is_told(text: str) -> None:
    try:
        query = parse(text)
    except QueryError:
        return
    assert parse(str(query)) == query
