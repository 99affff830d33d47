"""How moments, tables, arguments and backtraces are read and shown."""

from __future__ import annotations

import argparse
import io
from datetime import datetime, timedelta, timezone

import pytest

from queued.cli.arguments import call
from queued.cli.moments import since
from queued.cli.output import one_line, printable, relative, span, table
from queued.client import arguments as stored
from queued.domain.backtraces import folded, is_own
from queued.domain.moments import resolve

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOON - timedelta(hours=2)),
        ("1d 12h ago", NOON - timedelta(hours=36)),
        ("90 minutes ago", NOON - timedelta(minutes=90)),
        ("1.5h", NOON - timedelta(minutes=90)),
        ("2026-01-30", datetime(2026, 1, 30, tzinfo=timezone.utc)),
        ("2026-01-30T08:00+02:00", datetime(2026, 1, 30, 6, tzinfo=timezone.utc)),
        ("2026-01-30T08:00Z", datetime(2026, 1, 30, 8, tzinfo=timezone.utc)),
    ],
)
def test_a_moment_is_read_as_people_write_it(text: str, expected: datetime) -> None:
    assert resolve(since(text), NOON) == expected


@pytest.mark.parametrize("text", ["", "yesterdayish", "2 parsecs", "h", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no moment"):
        since(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12, "12 s"),
        (124, "2 min 4 s"),
        (3_600, "1 h"),
        (90_061, "1 d 1 h"),
        (None, "-"),
    ],
)
def test_a_length_of_time_has_two_units(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_moments_are_told_from_now() -> None:
    assert relative(NOON - timedelta(seconds=124), NOON) == "2 min 4 s ago"
    assert relative(NOON + timedelta(hours=3), NOON) == "in 3 h"


def test_a_table_is_aligned_and_keeps_to_one_line_a_row() -> None:
    assert table(("ID", "NAME"), [(1, "a\nb"), (20, None)], right=("ID",)).splitlines() == [
        "ID  NAME",
        " 1  a b",
        "20  -",
    ]


def test_text_is_cut_and_made_harmless() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert printable("a\x00\x1b[31m\tb\nc\u202e") == "a\\x00\\x1b[31m\tb\nc\\x202e"


def test_colour_only_on_a_terminal_and_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    from queued.cli.output import coloured

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert coloured(Terminal())
    assert not coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(Terminal())


def test_arguments_are_shown_as_the_call_that_they_make() -> None:
    text = stored.encode_call((1, "two", (3, 4), {"k": [None]}, timedelta(minutes=5)), {"when": NOON, "raw": b"\x01"})
    shown = call("app.f", text)
    assert shown.startswith(
        "app.f(1, 'two', (3, 4), {'k': [None]}, timedelta(0:05:00), when=datetime(2026-01-31T12:00:00"
    )
    assert shown.endswith(", raw=bytes(AQ==))")


def test_arguments_that_cannot_be_read_are_shown_as_they_are() -> None:
    assert call("app.f", "{nonsense") == "app.f(…) with arguments that cannot be read: {nonsense"


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/srv/photos/jobs.py", True),
        ("/home/me/python3/app.py", True),
        ("/srv/venv/lib/python3.12/site-packages/PIL/Image.py", False),
        ("/usr/lib/python3/dist-packages/x.py", False),
        ("/usr/lib/python3.11/json/decoder.py", False),
        ("/usr/lib/queued/queued/client/performing.py", False),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_whose_file_it_is(file: str, own: bool) -> None:
    assert is_own(file) is own


def test_a_backtrace_without_own_frames_is_shown_whole() -> None:
    lines = ["Traceback (most recent call last):", '  File "/usr/lib/python3.11/x.py", line 1, in f', "    f()", "E: m"]
    assert folded(lines) == lines


def test_every_own_frame_and_every_word_between_is_kept() -> None:
    own = ['  File "/srv/app/a.py", line 1, in f', "    g()", "    ^^^"]
    foreign = ['  File "/usr/lib/python3.11/x.py", line 1, in f', "    f()"]
    between = ["", "During handling of the above exception, another exception occurred:", ""]
    lines = ["Traceback:", *own, *foreign, *foreign, "ValueError: a", *between, "Traceback:", *foreign, *own, "E: b"]
    shown = folded(lines)
    assert [line for line in shown if "frames of libraries" in line] == ["  (2 frames of libraries; --full shows all)"]
    assert [line for line in shown if "of libraries" not in line] == [line for line in lines if line not in foreign]
