"""What the comparison with peers decides without running any of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from contenders import CONTENDERS, ROWS, comparison, percentile
from environments import pinned
from programs import TALLY, Counter, Failed, Program, understand

BENCH = Path(__file__).resolve().parents[2] / "bench"
PEERS = BENCH / "peers"


def test_a_cell_is_the_median_with_the_least_and_the_most() -> None:
    table = comparison({"queued": {"drain_1": [30_000.0, 10_000.0, 20_000.0]}, "other": {"drain_1": [5.0]}}, ())
    assert table.splitlines() == [
        "|  | unit | queued | other |",
        "| --- | --- | ---: | ---: |",
        "| drain, 1 worker | jobs/s | 20 000 (10 000-30 000) | 5.00 |",
    ]


def test_what_a_system_does_not_have_is_a_dash() -> None:
    line = comparison({"queued": {"bulk": [1000.0]}, "other": {}}, ()).splitlines()[-1]
    assert line == "| enqueue in batches | jobs/s | 1 000 | - |"


def test_a_measurement_that_failed_says_so_in_each_of_its_rows() -> None:
    table = comparison({"queued": {"latency_p50": [2.0], "latency_p99": [3.0]}, "other": {}}, {("other", "latency")})
    assert [line.split(" | ")[-1] for line in table.splitlines()[2:]] == ["failed |", "failed |"]


def test_rows_that_nobody_was_measured_for_are_left_out() -> None:
    assert len(comparison({"queued": {}}, ()).splitlines()) == 2


def test_keys_of_rows_are_unique() -> None:
    assert len({row.key for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("part", "value"), [(0.5, 51.0), (0.99, 100.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_percentile_is_one_of_the_values(part: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], part) == value


def test_a_line_of_the_protocol_is_an_object_and_others_do_not_matter() -> None:
    assert understand('{"seconds": 1.5}\n') == {"seconds": 1.5}
    assert [understand(line) for line in ("[1]\n", "starting ...\n", "{broken\n", "\n")] == [None] * 4


def program(text: str) -> Program:
    """An adapter that is this text."""
    return Program([sys.executable, "-c", text], {}, "verb")


def test_a_program_is_heard_past_what_else_it_says() -> None:
    said = program(
        """print("noise"); print('{"other": 1}'); print('{"ready": 7}', flush=True); input(); print('{"stopped": true}')"""
    )
    try:
        assert said.hear("ready") == {"ready": 7}
        said.tell("go")
        assert said.hear("stopped") == {"stopped": True}
    finally:
        said.close()


def test_a_program_that_ends_too_early_fails_with_its_last_words() -> None:
    said = program("raise SystemExit('no such table')")
    try:
        with pytest.raises(Failed, match="verb: it ended: no such table"):
            said.hear("seconds")
    finally:
        said.close()


def test_the_counter_adds_up_processes_and_knows_the_first_start() -> None:
    counter = Counter()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        for tally in ((1, 5, 100.5), (2, 3, 99.5), (1, 9, 100.5)):
            mouth.sendto(TALLY.pack(*tally), ("127.0.0.1", counter.port))
    try:
        while (ran := counter.ran(1)) < 12:
            pass
        assert (ran, counter.first()) == (12, 99.5)
    finally:
        counter.close()


def test_every_adapter_is_compared() -> None:
    directories = {path.name for path in PEERS.iterdir() if any(path.glob("adapter.*"))}
    assert directories == {contender.directory for contender in CONTENDERS}


@pytest.mark.parametrize("directory", sorted({contender.directory for contender in CONTENDERS} - {"queued"}))
def test_what_is_installed_for_a_peer_has_exact_versions(directory: str) -> None:
    package = PEERS / directory / "package.json"
    if not package.exists():
        assert pinned((PEERS / directory / "requirements.txt").read_text())
        return
    said, locked = json.loads(package.read_text()), json.loads(package.with_name("package-lock.json").read_text())
    asked = {**said["dependencies"], **said["optionalDependencies"]}
    assert {name: locked["packages"][f"node_modules/{name}"]["version"] for name in asked} == asked
    assert all("integrity" in entry for name, entry in locked["packages"].items() if name)


@pytest.mark.parametrize("line", ["huey", "huey>=3", "huey==3.*", "huey[postgres]", "-r other.txt", "huey==3.1 ; x"])
def test_a_requirement_without_an_exact_version_is_not_pinned(line: str) -> None:
    assert pinned("psycopg==3.3.9\n")
    assert not pinned(f"psycopg==3.3.9\n{line}\n")


def test_requirements_that_name_nothing_are_not_pinned() -> None:
    assert not pinned("# nothing\n\n")


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_the_adapter_of_queued_says_what_it_is(database: str) -> None:
    done = subprocess.run(
        [sys.executable, PEERS / "queued" / "adapter.py", "about", database], capture_output=True, text=True, check=True
    )
    said = understand(done.stdout)
    assert said is not None
    assert said.keys() == {"version", "runtime", "settings", "left", "stored"}
