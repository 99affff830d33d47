"""Whatever a file holds, loading it gives settings or ConfigurationError, and what is shown can be read again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queued.configuration import Loaded, load, render
from queued.configuration.values import WrongValueError, duration
from queued.domain.errors import ConfigurationError
from queued.domain.settings import SETTINGS

ENVIRON = {"N": "3", "Q": "a,b", "PATH": os.environ.get("PATH", "")}
NAMES = sorted({setting.name.removesuffix("[]") for setting in SETTINGS} | {"production", "default", "<<", "A"})

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**25),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "*",
            "mail*",
            "-x",
            "f*o",
            "1 day",
            "never",
            "fork",
            "full",
            "${N}",
            "${N:-2}",
            "${UNSET}",
            "${",
            "$$",
            "<% x %>",
            '<%= ENV.fetch("N", 1) %>',
            "sqlite:////a/b",
            "sqlite:///a",
            "postgresql://u:p@h/d",
            "mysql://h",
            "a.b",
            ".",
            "\0",
        ]
    ),
)
keys = st.one_of(st.sampled_from(NAMES), st.text(max_size=4))
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=25
)
pieces = st.sampled_from(
    [
        "production:",
        "workers:",
        "database: sqlite:////a/b",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "threads: 0",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "!x ",
        "|",
        ">",
        '"',
        "'",
        "#",
        "? ",
        "---\n",
        "...\n",
        "\t",
        "\ue000",
        "\x00",
        "%",
        "${N}",
        "${",
        "<%=",
        "%>",
        "<%#",
        "\\U0000d800",
        "\\0",
        "queues: [a, *a]",
        "roles: ",
        "app: ",
        "import: ",
        "é",
        "~",
        ",",
    ]
)


def attempt(data: bytes, environ: Mapping[str, str] = ENVIRON, role: str | None = None) -> Loaded | None:
    """The settings, or None where the file was refused with problems. Anything else raised fails the test."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "queue.yml"
        path.write_bytes(data)
        try:
            return load(str(path), environ=environ, cwd=directory, role=role)
        except ConfigurationError as error:
            problems = error.problems
    assert problems
    assert all(problem and "\n" not in problem for problem in problems)
    return None


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(documents, st.sampled_from([None, "a"]))
def test_no_document_does_more_than_be_refused(document: object, role: str | None) -> None:
    attempt(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"), role=role)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(NAMES), documents, max_size=6))
def test_no_mapping_of_known_names_does_more_than_be_refused(document: dict[str, object]) -> None:
    attempt(yaml.safe_dump({"production": document}, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=500)
@given(st.lists(pieces, max_size=20).map("".join))
def test_no_text_that_looks_like_yaml_does_more_than_be_refused(text: str) -> None:
    attempt(text.encode())


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    attempt(data)


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.characters(exclude_characters="\0", codec=None), max_size=20),
    st.sampled_from(["${N}", "'${N}'", "[${N}]"]),
)
def test_no_value_of_a_variable_does_more_than_be_refused(value: str, form: str) -> None:
    for key in ("database", "mode", "runtime_directory", "shutdown_timeout", "workers", "app"):
        attempt(f"database: sqlite:////a/b\n{key}: {form}\n".encode(), {"N": value})
    for variable in ("QUEUED_DATABASE_URL", "QUEUED_ENV", "QUEUED_SUPERVISOR_MODE", "QUEUED_SKIP_RECURRING"):
        attempt(b"database: sqlite:////a/b\n", {variable: value})
    for variable in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "QUEUED_RECURRING_SCHEDULE", "PATH"):
        attempt(b"database: sqlite:////a/b\napp: {import: a}\n", {variable: value})


names = st.text(st.characters(categories=["L", "N", "S", "P"], exclude_characters="*-<%"), min_size=1, max_size=8)
workers = st.fixed_dictionaries(
    {"queues": st.lists(names, min_size=1, max_size=3)},
    optional={
        "threads": st.integers(1, 100),
        "processes": st.integers(1, 9),
        "polling_interval": st.floats(0.01, 99).map(lambda number: round(number, 3)),
        "name": names,
    },
)
usable = st.fixed_dictionaries(
    {"database": st.just("sqlite:////a/b"), "workers": st.lists(workers, min_size=1, max_size=3)},
    optional={
        "shutdown_timeout": st.floats(0, 1e9).map(lambda number: round(number, 3)),
        "mode": st.sampled_from(["fork", "async"]),
        "scheduler": st.just({}),
        "retention": st.fixed_dictionaries(
            {
                "finished": st.sampled_from(["never", 5, "2 days"]),
                "delete_finished": st.sampled_from([[], "*", ["mail", "clicks*", "-clicks_of_today"]]),
            }
        ),
    },
)


def literal(value: object) -> object:
    """The value with nothing in it that would be expanded."""
    if isinstance(value, str):
        return value.replace("$", "$$").replace("<%", "")
    if isinstance(value, list):
        return [literal(item) for item in value]
    return {key: literal(item) for key, item in value.items()} if isinstance(value, dict) else value


@settings(deadline=None, max_examples=100)
@given(usable)
def test_settings_that_are_shown_can_be_read_again_and_are_the_same(document: dict[str, object]) -> None:
    first = attempt(yaml.safe_dump(literal(document), allow_unicode=True).encode())
    if first is None:
        return
    again = attempt(render(first.settings).encode())
    assert again is not None
    assert render(again.settings).split("\n")[1:] == render(first.settings).split("\n")[1:]
    assert again.settings.workers == first.settings.workers


@given(st.text(alphabet="0123456789. dhmsayounrinutecwk,", max_size=20))
def test_a_length_of_time_is_a_number_or_refused(text: str) -> None:
    try:
        length = duration(text)
    except WrongValueError:
        return
    assert length >= 0


def test_lengths_of_time_are_what_they_say() -> None:
    for text, seconds in {
        "500ms": 0.5,
        "500 ms": 0.5,
        "1s": 1,
        "90 seconds": 90,
        "2 min": 120,
        "1 minute": 60,
        "1.5 hours": 5400,
        "1h30m": 5400,
        "1 hour, 30 minutes": 5400,
        "1 hour and 30 minutes": 5400,
        "12 Hours": 43200,
        "1 day": 86400,
        "2 weeks": 1209600,
    }.items():
        assert duration(text) == seconds, text
