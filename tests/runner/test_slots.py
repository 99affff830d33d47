"""The slot file, written by one side and read by the other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queued.processes import slots
from queued.processes.slots import Slot
from queued.runner.slots import JOURNAL, Slots


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    written = Slots(path, 2, 4711, 99)
    written.begin(1, 2**63, 8, 1.5)
    assert slots.read(path) == slots.SlotFile(4711, 99, (Slot(2**63, 8, 1.5),))
    written.begin(0, 3, 4, 2.5)
    written.end(1)
    assert slots.read(path) == slots.SlotFile(4711, 99, (Slot(3, 4, 2.5),))


def test_an_outcome_that_is_noted_counts_more_than_its_slot(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    written = Slots(path, 1, 1, 1)
    written.begin(0, 3, 4, 2.5)
    assert written.note(b'{"id":3,"lease":4,"kind":"done"}')
    assert written.note(b'{"id":5,"lease":6,"kind":"done"}')
    file = slots.read(path)
    assert file is not None
    assert file.slots == ()
    assert [outcome["id"] for outcome in file.outcomes] == [3, 5]
    written.forget()
    file = slots.read(path)
    assert file is not None
    assert file.running == {3: 4}
    assert file.outcomes == ()


def test_a_full_journal_takes_no_more(tmp_path: Path) -> None:
    written = Slots(str(tmp_path / "slots"), 1, 1, 1)
    assert written.note(b"1" * (JOURNAL - 10))
    assert not written.note(b"1" * 10)
    assert written.note(b"1" * 9)


def test_a_new_runner_takes_the_place_of_the_old_file_in_one_step(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    old = Slots(path, 1, 1, 1)
    old.begin(0, 3, 4, 2.5)
    Slots(path, 1, 2, 2)
    old.begin(0, 5, 6, 2.5)
    assert slots.read(path) == slots.SlotFile(2, 2, ())


@pytest.mark.parametrize(
    "content", [b"", b"QSLT", b"nonsense" * 10, b"QSLT\x02\0\0\0" + b"\0" * 24, b"QSLT\x01\0\0\0" + b"\xff" * 24]
)
def test_a_file_that_is_no_slot_file_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "slots").write_bytes(content)
    assert slots.read(str(tmp_path / "slots")) is None


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert slots.read(str(tmp_path / "slots")) is None


def test_the_start_time_of_a_process_is_its_own() -> None:
    assert slots.process_start_time(os.getpid()) == slots.process_start_time(os.getpid())
    assert slots.process_start_time(2**22 + 1) is None
