"""What a job declares of limits, uniqueness and expiry, and what is stored of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import queued
from queued.client.sending import prepare
from queued.domain.errors import ConfigurationError, EnqueueError
from queued.domain.jobs import NewJob
from queued.domain.limits import Limit
from queued.domain.rates import Rate
from queued.domain.unique import Unique
from queued.storage.jobs import plain


def prepared(*args: Any, **options: Any) -> NewJob:
    """A job of that declaration, as it would be stored."""

    def work(*args: Any) -> None:
        """Nothing."""

    return prepare(queued.Job(work, name="app.work", **options).bind(*args))


@pytest.mark.parametrize(
    ("key", "args", "expected"),
    [
        (None, (7,), "app.work"),
        ("printer", (7,), "app.work/printer"),
        (lambda account: account, ("ada",), "app.work/ada"),
        (lambda account: account, (7,), "app.work/7"),
        (lambda account: None, (7,), "app.work"),
        (lambda account: ("a", account), (7,), 'app.work/{"$queued":"tuple","value":["a",7]}'),
    ],
)
def test_a_key_is_the_group_and_what_the_function_says(key: Any, args: tuple[Any, ...], expected: str) -> None:
    assert prepared(*args, limits=queued.limits_concurrency(key=key)).limits == (Limit(expected, 1),)


def test_a_group_is_shared_and_the_rest_is_stored_with_the_job() -> None:
    declared = queued.limits_concurrency(
        to=3, key="k", group="imports", duration=timedelta(minutes=5), on_conflict="discard"
    )
    assert prepared(limits=declared).limits == (Limit("imports/k", 3, 300.0, "discard"),)


def test_of_two_limits_with_one_key_the_smaller_holds() -> None:
    both = [queued.limits_concurrency(to=5), queued.limits_concurrency(to=2), queued.limits_concurrency(key="x")]
    assert prepared(limits=both).limits == (Limit("app.work", 2), Limit("app.work/x", 1))


def test_without_a_key_the_arguments_are_what_is_unique() -> None:
    held = prepared(7, unique=queued.unique()).unique
    assert held == Unique('app.work({"args":[7],"kwargs":{}})')
    long = prepared("x" * 1000, unique=queued.unique(period=60)).unique
    assert long is not None
    assert len(long.key) < 100
    assert (long.until, long.period) == (None, 60.0)


def test_ties_say_which_tables_know_the_job() -> None:
    assert plain([prepared()])
    assert prepared().ties == 0
    assert prepared(limits=queued.limits_concurrency()).ties == 1
    assert prepared(unique=queued.unique()).ties == 2
    assert prepared(unique=queued.unique(until="start")).ties == 6
    assert prepared(expires=5).ties == 8
    assert prepared(rate=queued.rate_limit(3, per=60)).ties == 16
    by_period = prepared(unique=queued.unique(period=5))
    assert (by_period.ties, plain([by_period])) == (0, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": 0}, "to=0"),
        ({"to": True}, "to=True"),
        ({"key": 7}, "key=7"),
        ({"group": ""}, "group=''"),
        ({"duration": -1}, "duration=-1"),
        ({"duration": float("nan")}, "duration=nan"),
        ({"on_conflict": "wait"}, '"block" or "discard"'),
    ],
)
def test_a_limit_that_cannot_be_is_refused_with_what_is_wrong(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        queued.limits_concurrency(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": 7}, "key=7"),
        ({"until": "end"}, '"start", "waiting" or "finish"'),
        ({"until": "start", "period": 5}, "either until= or period="),
        ({"period": 0}, "period=0"),
        ({"on_conflict": "block"}, '"keep", "replace" or "raise"'),
    ],
)
def test_a_uniqueness_that_cannot_be_is_refused_with_what_is_wrong(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        queued.unique(**options)


@pytest.mark.parametrize(
    ("starts", "per", "words"),
    [(0, 1, "0 must be"), (1001, 1, "1 to 1000"), (1, 0, "per=0"), (1, None, "per=None"), (True, 1, "True must be")],
)
def test_a_rate_that_cannot_be_is_refused_with_what_is_wrong(starts: Any, per: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        queued.rate_limit(starts, per=per)


def test_a_rate_is_stored_with_its_key() -> None:
    assert prepared("a", rate=queued.rate_limit(3, per=timedelta(minutes=1), key=lambda host: host)).rate == Rate(
        "app.work/a", 3, 60.0
    )


def test_options_that_are_no_declarations_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="limits_concurrency"):
        prepared(limits=[1])
    with pytest.raises(ConfigurationError, match=r"queued\.unique"):
        prepared(unique=True)
    with pytest.raises(ConfigurationError, match="rate_limit"):
        prepared(rate=10)
    with pytest.raises(EnqueueError, match="expires=0"):
        prepared(expires=0)


@pytest.mark.parametrize("key", ["x" * 600, "a\0b", "\ud800"])
def test_a_key_that_cannot_be_stored_is_refused(key: str) -> None:
    with pytest.raises(EnqueueError):
        prepared(limits=queued.limits_concurrency(key=key))


def test_a_call_may_say_when_it_expires_in_place_of_the_declaration() -> None:
    def work() -> None:
        """Nothing."""

    declared = queued.Job(work, name="app.work", expires=60)
    assert prepare(declared.bind()).expires == 60
    assert prepare(declared.set(expires=timedelta(minutes=5)).bind()).expires == 300
    assert prepare(declared.set(expires=5).set(wait=1).bind()).expires == 5
    for wrong in (0, -1, "soon", float("nan")):
        with pytest.raises(EnqueueError, match="expires"):
            declared.set(expires=wrong)  # type: ignore[arg-type]


def test_how_long_a_unique_key_is_held_is_stored_with_the_job() -> None:
    for until in ("start", "waiting", "finish"):
        held = prepared(unique=queued.unique(until=until)).unique  # type: ignore[arg-type]
        assert held is not None
        assert held.until == until
    with pytest.raises(ConfigurationError, match="waiting"):
        queued.unique(until="sometime")  # type: ignore[arg-type]
