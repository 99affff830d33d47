"""What the manual says and what the programs do are the same, both ways: commands, options, variables, exit codes."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from cli.conftest import Hand, Program, ctl, program, store, worker  # noqa: F401
from queued.cli import exits
from queued.cli.main import queuectl_parser, queued_parser
from queued.storage.store import Store

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"queued": ROOT / "man" / "queued.8", "queuectl": ROOT / "man" / "queuectl.1"}
PARSERS = {"queued": queued_parser, "queuectl": queuectl_parser}
EXITS = {"queued": exits.QUEUED_EXITS, "queuectl": exits.QUEUECTL_EXITS}
#: Read by the programs through libraries or systemd, not by name as QUEUED_ variables are.
OTHER_VARIABLES = {
    "queued": {
        "RUNTIME_DIRECTORY",
        "XDG_RUNTIME_DIR",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
    },
    "queuectl": {"NO_COLOR"},
}
#: Variables that only `queued` looks at.
START_ONLY = {"QUEUED_SUPERVISOR_MODE", "QUEUED_SKIP_RECURRING", "QUEUED_RECURRING_SCHEDULE"}
program_names = pytest.mark.parametrize("name", ["queued", "queuectl"])


def page(name: str) -> dict[str, str]:
    """The sections of a manual page by title, without its fonts."""
    text = PAGES[name].read_text(encoding="utf-8").replace("\\-", "-")
    pieces = re.split(r"^\.SH \"?([A-Z ]+)\"?$", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def leaves(parser: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, by its words, and the program itself under the empty name."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from leaves(below, f"{path} {word}".strip())


def commands(name: str) -> dict[str, argparse.ArgumentParser]:
    return {path: parser for path, parser in leaves(PARSERS[name]()) if parser.get_default("run") is not None}


def options(name: str) -> set[str]:
    return {
        option
        for _, parser in leaves(PARSERS[name]())
        for action in parser._actions
        for option in action.option_strings
    }


@program_names
def test_every_command_is_in_the_manual_and_no_other(name: str) -> None:
    described = set(re.findall(r"^\.SS (.+)$", page(name)["COMMANDS"], flags=re.MULTILINE))
    assert described == set(commands(name))
    synopsis = page(name)["SYNOPSIS"]
    shown = set(re.findall(rf"^\.B {name} ([a-z][a-z -]*)$", synopsis, flags=re.MULTILINE))
    assert shown == set(commands(name))


@program_names
def test_every_option_is_in_the_manual_and_no_other(name: str) -> None:
    described = set(re.findall(r"(?<![-\w])--?[a-z][a-z-]*", page(name)["OPTIONS"]))
    assert described == options(name)


@program_names
def test_every_exit_code_is_in_the_manual_and_no_other(name: str) -> None:
    described = [int(code) for code in re.findall(r"^\.B (\d+)$", page(name)["EXIT STATUS"], flags=re.MULTILINE)]
    assert described == sorted(EXITS[name])


@program_names
def test_every_variable_is_in_the_manual_and_no_other(name: str) -> None:
    described = set(re.findall(r"^\.B ([A-Z_]+)$", page(name)["ENVIRONMENT"], flags=re.MULTILINE))
    read: set[str] = set()
    for folder in ("cli", "configuration"):
        for file in (ROOT / "daemon" / "queued" / folder).glob("*.py"):
            text = file.read_text(encoding="utf-8")
            read |= set(re.findall(r'environ(?:\.get\(|\[)"(QUEUED_[A-Z_]+)"', text))
    wanted = read | OTHER_VARIABLES[name]
    assert described == (wanted if name == "queued" else wanted - START_ONLY)


@pytest.mark.parametrize("page", sorted((ROOT / "man").iterdir()), ids=lambda page: page.name)
def test_the_manual_is_clean_and_of_this_release(page: Path) -> None:
    from queued import __version__

    assert f'"queued {__version__}"' in page.read_text(encoding="utf-8")
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        [groff, "-man", "-t", "-ww", "-Tutf8", "-Kutf8", "-z", str(page)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@program_names
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    for path, parser in leaves(PARSERS[name]()):
        assert parser.description, path
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, f"{path} {action.option_strings}"


def test_every_exit_code_in_the_design_is_one_of_queued() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    listed = text.partition("## 9. Exit codes\n")[2].partition("\n##")[0]
    assert {int(code) for code in re.findall(r"\b(\d+) [a-z]", listed)} >= set(EXITS["queued"]) - {exits.INTERRUPTED}


def shown_commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every command line of ours in a text's code, split into words."""
    import shlex

    code = "\n".join([*re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])
    for match in re.finditer(r"(?:^|[\s$;&])(?P<name>queued|queuectl) (?P<rest>[a-z][^\n#|;&>`]*)", code):
        try:
            yield match["name"], shlex.split(match["rest"])
        except ValueError:
            continue


def test_every_command_in_the_readme_exists_with_its_options() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, words in shown_commands(text):
        known = commands(name)
        path = next((path for path in known if words[: len(path.split())] == path.split()), None)
        assert path is not None, f"README: {name} {' '.join(words)}"
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        taken = {option for action in known[path]._actions for option in action.option_strings}
        assert given <= taken, f"README: {name} {' '.join(words)}"


def test_every_name_in_json_is_in_the_manual(ctl: Program, store: Store, worker: Hand) -> None:  # noqa: F811
    from queued.domain.batches import NewBatch, stored_callback
    from queued.domain.jobs import NewJob
    from queued.domain.limits import Limit
    from queued.domain.rates import Rate
    from queued.domain.unique import Unique
    from queued.storage import heartbeats, recurring

    with store.transaction() as session:
        heartbeats.beat(session, "production", "here", "alive")
        recurring.record(session, "ping", datetime.now(timezone.utc), outcome="finished")
    failed, ready = store.enqueue([NewJob("app.a"), NewJob("app.b", queue="mail")])
    store.enqueue([NewJob("app.c", limits=(Limit("key", 1),))])
    opened = [NewBatch(on_finish=stored_callback(NewJob("app.e"))), NewBatch(number=-2, parent=-1)]
    tied = NewJob("app.d", batch=-2, unique=Unique("k"), expires=60.0, rate=Rate("r", 1, 60.0), wait=60.0)
    tied_id = store.submit([tied], opened).ids[0]
    with store.transaction() as session:
        session.run(
            "attempts.interrupt",
            job_id=tied_id, reason="stopped", attempt=1, hostname="here", process_name="w", ended_ago=0.0,
        )  # fmt: skip
    worker.fail(failed)
    described = set(re.findall(r"[a-z_]+", page("queuectl")["JSON OUTPUT"]))
    for words in (
        ["status"],
        ["status", "--check"],
        ["metrics"],
        ["jobs", "list"],
        ["jobs", "show", failed],
        ["errors"],
        ["jobs", "show", tied_id],
        ["jobs", "retry", failed, ready],
        ["jobs", "discard", "--state", "ready", "--dry-run"],
        ["locks", "list"],
        ["batches", "list"],
        ["batches", "show", 1],
        ["queues", "list"],
        ["queues", "pause", "mail"],
        ["processes"],
        ["recurring", "schedule", "ping", "@daily", "--class", "app.ping"],
        ["recurring", "list"],
        ["recurring", "show", "ping"],
        ["recurring", "pause", "ping"],
        ["heartbeat", "latest"],
        ["heartbeat", "recent"],
        ["heartbeat", "by-host"],
        ["heartbeat", "verify"],
        ["audit"],
        ["doctor"],
        ["stats"],
        ["db", "size"],
        ["db", "migrate"],
        ["jobs", "enqueue", "app.a"],
        ["queues", "clear", "none", "--yes"],
    ):
        told = json.loads(ctl(*words, "--json").out)
        assert set(keys(told)) <= described, words


#: Below these stands what applications and processes say, not we.
FOREIGN = {"arguments", "options", "metadata", "labels"}


def keys(value: object) -> Iterator[str]:
    """Every key of a document, at every depth."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            if key not in FOREIGN:
                yield from keys(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys(below)
