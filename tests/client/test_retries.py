"""What becomes of a job whose attempt raised."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import queued
from queued.client.policies import policies_of
from queued.domain.errors import ConfigurationError
from queued.domain.retries import MAX_WAIT, Discard, Fail, Policy, Retry, decide


def nothing() -> float:
    return 0.0


def almost_one() -> float:
    return 0.999


def wait_of(decision: Any) -> float:
    assert isinstance(decision, Retry)
    return decision.wait


def test_the_default_backs_off_polynomially_and_gives_up_after_five_attempts() -> None:
    policy = queued.retry_on(ConnectionError)
    waits = [wait_of(decide([policy], ConnectionError(), {policy.key: used}, nothing)) for used in range(4)]
    assert waits == [3, 18, 83, 258]
    assert decide([policy], ConnectionError(), {policy.key: 4}, nothing) == Fail(exhausted=policy)


def test_jitter_adds_up_to_its_part_of_the_wait() -> None:
    assert wait_of(
        decide([queued.retry_on(OSError, wait=100, jitter=0.5)], OSError(), {}, almost_one)
    ) == pytest.approx(149.95)
    polynomial = queued.retry_on(OSError, jitter=0.15)
    assert wait_of(decide([polynomial], OSError(), {polynomial.key: 1}, almost_one)) == pytest.approx(
        18 + 16 * 0.15 * 0.999
    )
    assert wait_of(decide([queued.retry_on(OSError, wait=7, jitter=0)], OSError(), {}, almost_one)) == 7


def test_wait_may_be_a_timedelta_or_a_function_of_the_attempt_and_the_error() -> None:
    assert (
        wait_of(decide([queued.retry_on(OSError, wait=timedelta(minutes=1), jitter=0)], OSError(), {}, nothing)) == 60
    )
    by_attempt = queued.retry_on(OSError, wait=lambda attempt: attempt * 10)
    assert wait_of(decide([by_attempt], OSError(), {by_attempt.key: 2}, almost_one)) == 30
    by_error = queued.retry_on(OSError, wait=lambda attempt, error: timedelta(seconds=error.errno))
    assert wait_of(decide([by_error], OSError(5, "x"), {}, almost_one)) == 5


def test_unlimited_attempts_never_end_and_never_outgrow_the_calendar() -> None:
    policy = queued.retry_on(OSError, attempts="unlimited")
    assert wait_of(decide([policy], OSError(), {policy.key: 10**9}, almost_one)) == MAX_WAIT


def test_each_declaration_counts_by_itself() -> None:
    network, value = queued.retry_on(ConnectionError, attempts=2), queued.retry_on(ValueError, attempts=2)
    counters = {network.key: 1}
    assert isinstance(decide([network, value], ConnectionResetError(), counters, nothing), Fail)
    assert isinstance(decide([network, value], ValueError(), counters, nothing), Retry)


def test_the_declaration_nearest_to_the_error_decides_and_among_equals_the_last() -> None:
    everything, network = queued.discard_on(Exception), queued.retry_on(ConnectionError)
    orders: list[list[Policy]] = [[everything, network], [network, everything]]
    for order in orders:
        assert isinstance(decide(order, ConnectionResetError(), {}, nothing), Retry)
        assert isinstance(decide(order, KeyError(), {}, nothing), Discard)
        assert decide(order, KeyboardInterrupt(), {}, nothing) == Fail()
    once, twice = queued.retry_on(KeyError, wait=1, jitter=0), queued.retry_on(KeyError, wait=2, jitter=0)
    assert wait_of(decide([once, twice], KeyError(), {}, nothing)) == 2


def test_options_take_classes_declarations_and_lists_of_both() -> None:
    explicit = queued.retry_on(KeyError, wait=1)
    policies = policies_of([ConnectionError, explicit, TimeoutError], (LookupError,))
    assert [policy.key for policy in policies] == ["ConnectionError, TimeoutError", "KeyError", "LookupError"]
    assert policies_of(OSError, None)[0] == queued.retry_on(OSError)
    assert policies_of(None, None) == ()


def test_the_counter_is_named_by_the_errors_so_that_a_deploy_keeps_it() -> None:
    assert queued.retry_on((queued.JobTimedOut, ValueError)).key == "queued.JobTimedOut, ValueError"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"wait": -1}, "seconds from 0 up"),
        ({"wait": float("nan")}, "seconds from 0 up"),
        ({"wait": "exponential"}, '"polynomial"'),
        ({"attempts": 0}, "from 1 up"),
        ({"attempts": True}, "from 1 up"),
        ({"jitter": 2}, "from 0 to 1"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        queued.retry_on(OSError, **options)


def test_every_wrong_option_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        queued.retry_on(OSError, wait=-1, attempts=-1, jitter=-1)
    assert len(refused.value.problems) == 3


def test_what_is_no_error_class_is_refused() -> None:
    for errors in (int, (), "OSError", (OSError, 3)):
        with pytest.raises(ConfigurationError):
            queued.retry_on(errors)  # type: ignore[arg-type]
