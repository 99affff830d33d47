"""An error as stored: readable, bounded, and holding nothing that a database refuses."""

from __future__ import annotations

from queued.client.failure import MAX_BACKTRACE, MAX_LINES, MAX_MESSAGE, describe
from queued.domain.errors import JobTimedOut


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def caught(raiser: object) -> BaseException:
    try:
        raiser()  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("did not raise")


def test_class_message_and_frames_with_the_cause_are_kept() -> None:
    def outer() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    described = describe(caught(outer))
    text = "\n".join(described["backtrace"])
    assert described["class"] == "ValueError"
    assert described["message"] == "outer"
    assert "KeyError: 'inner'" in text
    assert "direct cause" in text
    assert "in outer" in text


def test_errors_of_queued_have_their_public_names_in_backtraces_too() -> None:
    def fail() -> None:
        try:
            raise JobTimedOut("too slow")
        except JobTimedOut as error:
            raise ValueError("queued.domain.errors.Kept: stays") from error

    lines = describe(caught(fail))["backtrace"]
    assert "queued.JobTimedOut: too slow" in lines
    assert lines[-1] == "ValueError: queued.domain.errors.Kept: stays"


def test_bytes_that_a_database_refuses_are_shown_as_escapes() -> None:
    def fail() -> None:
        raise ValueError("nul \0 and \ud800 alone, é stays")

    described = describe(caught(fail))
    assert described["message"] == "nul \\x00 and \\ud800 alone, é stays"
    everything = described["message"] + "\n".join(described["backtrace"])
    assert "\0" not in everything
    everything.encode("utf-8")


def test_an_error_that_cannot_say_what_it_is_is_still_stored() -> None:
    def fail() -> None:
        raise Unspeakable

    described = describe(caught(fail))
    assert described["class"].endswith("test_failure.Unspeakable")
    assert "__str__ raised RuntimeError" in described["message"]
    assert described["backtrace"]


def test_a_long_message_keeps_both_ends() -> None:
    def fail() -> None:
        raise ValueError("head" + "é" * 200_000 + "tail")

    described = describe(caught(fail))
    message = described["message"]
    assert message.startswith("head")
    assert message.endswith("tail")
    assert "bytes left out" in message
    assert len(message.encode()) <= MAX_MESSAGE
    assert sum(len(line.encode()) + 1 for line in described["backtrace"]) <= MAX_BACKTRACE


def test_a_long_backtrace_keeps_both_ends() -> None:
    def fail() -> None:
        error: BaseException = ValueError("0")
        for n in range(400):
            try:
                raise ValueError(f"{n} " + "x" * 2000) from error
            except ValueError as raised:
                error = raised
        raise error

    lines = describe(caught(fail))["backtrace"]
    assert len(lines) <= MAX_LINES
    assert sum(len(line.encode()) + 1 for line in lines) <= MAX_BACKTRACE
    assert lines[0] == "ValueError: 0"
    assert lines[-1].startswith("ValueError: 399 ")
    assert any("left out" in line for line in lines)


def test_recursion_without_end_is_described() -> None:
    def deeper() -> None:
        deeper()

    described = describe(caught(deeper))
    assert described["class"] == "RecursionError"
    assert any("repeated" in line for line in described["backtrace"])


def test_an_exception_group_shows_its_parts() -> None:
    group = __import__("builtins").__dict__.get("ExceptionGroup")
    if group is None:  # Python 3.10 has none
        return

    def fail() -> None:
        raise group("several", [ValueError("one"), KeyError("two")])

    text = "\n".join(describe(caught(fail))["backtrace"])
    assert "ValueError: one" in text
    assert "KeyError: 'two'" in text
