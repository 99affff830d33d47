"""The slot file, written by one side and read by the other."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queued.processes import slots
from queued.processes.slots import Slot, plain_end
from queued.runner.slots import ALL_ENDS, AREAS, HEADER, JOURNAL, LEAST_ENDS, MOST_ENDS, MOST_UNSENT, RING, SLOT, Slots
from queued.runner.wire import END


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
    file = slots.read(path, told=True)
    assert file is not None
    assert file.running == {}
    assert file.outcomes == ()
    assert [outcome["id"] for outcome in file.told] == [3, 5], "whoever was told may be killed before it stores them"
    assert written.note(b'{"id":7,"lease":8,"kind":"done"}')
    file = slots.read(path, told=True)
    assert file is not None
    assert [outcome["id"] for outcome in file.outcomes] == [7]
    assert [outcome["id"] for outcome in file.told] == [3, 5]


def test_a_plain_end_frees_its_slot_and_is_read_until_it_has_been_sent(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    written = Slots(path, 2, 1, 1)
    written.begin(0, 3, 4, 2.5)
    written.begin(1, 5, 6, 2.5)
    written.end_plainly(1, 5, 2**63, 2.5, 3.5)
    file = slots.read(path)
    assert file is not None
    assert file.running == {3: 4}
    assert file.outcomes == (plain_end(5, 2**63, 2.5, 3.5),)
    records, places = written.take_ends()
    assert list(END.iter_unpack(records)) == [(5, 2**63, 2.5, 3.5)]
    assert slots.read(path) == file
    written.ends_sent(places)
    file = slots.read(path, told=True)
    assert file is not None
    assert file.running == {3: 4}
    assert file.outcomes == ()
    assert file.told == (plain_end(5, 2**63, 2.5, 3.5),), "whoever was told may be killed before it stores it"


def test_a_ring_keeps_the_last_ends_that_were_sent_but_the_one_that_may_be_written_over(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    written = Slots(path, 1, 1, 1)
    for job in range(1, 2 * MOST_ENDS + 1):
        written.end_plainly(0, job, 7, 1.0, 2.0)
        if job % 100 == 0:
            written.ends_sent(written.take_ends()[1])
    file = slots.read(path, told=True)
    assert file is not None
    known = [outcome["id"] for outcome in (*file.told, *file.outcomes)]
    assert known == list(range(MOST_ENDS + 2, 2 * MOST_ENDS + 1))
    assert len(file.outcomes) == 2 * MOST_ENDS % 100


def test_the_journal_keeps_an_area_full_of_outcomes_that_were_sent(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    written = Slots(path, 1, 1, 1)
    noted = [b'{"id":%d,"lease":1,"message":"%s"}' % (number, b"x" * 1000) for number in range(1000)]
    for outcome in noted:
        assert written.note(outcome)
        written.forget()
    file = slots.read(path, told=True)
    assert file is not None
    known = sorted(outcome["id"] for outcome in file.told)
    assert known == list(range(known[0], 1000))
    assert len(known) >= JOURNAL // 1100


@given(st.lists(st.integers(1, 9), max_size=40))
def test_each_end_is_taken_once_and_in_the_order_of_its_slot(turns: list[int]) -> None:
    with TemporaryDirectory() as directory:
        path = os.path.join(directory, "slots")
        written = Slots(path, 3, 1, 1)
        told: list[tuple[int, ...]] = []
        count = 0
        for ends in turns:
            for _ in range(ends):
                count += 1
                assert written.end_plainly(count % 3, count, 7, 1.0, 2.0) >= MOST_UNSENT - 3
            file = slots.read(path)
            assert file is not None
            assert sorted(o["id"] for o in file.outcomes) == list(range(count - ends + 1, count + 1))
            records, places = written.take_ends()
            told += END.iter_unpack(records)
            written.ends_sent(places)
        for slot in range(3):
            own = [job for job, *_ in told if job % 3 == slot]
            assert own == [job for job in range(1, count + 1) if job % 3 == slot]


def test_a_ring_says_how_many_more_it_takes_and_holds_all_of_them(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    written = Slots(path, 1, 1, 1)
    rooms = [written.end_plainly(0, 1 + n, 7, 1.0, 2.0) for n in range(MOST_UNSENT)]
    assert rooms == list(range(MOST_UNSENT - 1, -1, -1))
    file = slots.read(path)
    assert file is not None
    assert len(file.outcomes) == MOST_UNSENT
    records, _ = written.take_ends()
    assert [job for job, *_ in END.iter_unpack(records)] == list(range(1, MOST_UNSENT + 1))


def test_many_slots_share_the_room_and_each_has_some(tmp_path: Path) -> None:
    written = Slots(str(tmp_path / "slots"), ALL_ENDS, 1, 1)
    assert written.end_plainly(ALL_ENDS - 1, 1, 7, 1.0, 2.0) == LEAST_ENDS - 1


def test_what_a_worker_leaves_untold_is_read_like_a_runners_file(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    slots.write(path, [Slot(3, 4, 2.5)], [plain_end(5, 6, 1.0, 2.0)])
    assert slots.read(path) == slots.SlotFile(0, 0, (Slot(3, 4, 2.5),), (plain_end(5, 6, 1.0, 2.0),))


def test_a_full_journal_takes_no_more_until_what_waits_is_sent(tmp_path: Path) -> None:
    written = Slots(str(tmp_path / "slots"), 1, 1, 1)
    assert not written.note(b"1" * (JOURNAL + 1))
    assert written.note(b"1" * (JOURNAL - 10))
    assert written.note(b"1" * 9), "this fits beside it"
    assert written.note(b"1" * (JOURNAL - 5)), "the other area is free"
    assert not written.note(b"1" * 5)
    written.forget()
    assert written.note(b"1" * 5)


def test_a_new_runner_takes_the_place_of_the_old_file_in_one_step(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    old = Slots(path, 1, 1, 1)
    old.begin(0, 3, 4, 2.5)
    Slots(path, 1, 2, 2)
    old.begin(0, 5, 6, 2.5)
    assert slots.read(path) == slots.SlotFile(2, 2, ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"QSLT",
        b"nonsense" * 10,
        b"QSLT\x01\0\0\0" + b"\0" * 80,
        b"QSLT\x03\0\0\0" + b"\xff" * 40,
        HEADER.pack(b"QSLT", 3, 1, 1, 1, 4, 0) + SLOT.pack(0, 0, 0.0) + RING.pack(9, 4) + bytes(200),
        HEADER.pack(b"QSLT", 3, 1, 1, 1, 4, 0) + SLOT.pack(0, 0, 0.0) + RING.pack(4, 9) + bytes(200),
        HEADER.pack(b"QSLT", 3, 1, 1, 0, 4, 8) + AREAS.pack(9, 0, 0, 0) + bytes(200),
    ],
)
def test_a_file_that_is_no_slot_file_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "slots").write_bytes(content)
    assert slots.read(str(tmp_path / "slots")) is None


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert slots.read(str(tmp_path / "slots")) is None


def test_the_start_time_of_a_process_is_its_own() -> None:
    assert slots.process_start_time(os.getpid()) == slots.process_start_time(os.getpid())
    assert slots.process_start_time(2**22 + 1) is None


def test_a_file_that_is_written_all_the_time_can_always_be_read(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    made = Slots(path, 1, os.getpid(), 1)
    over = threading.Event()

    def work() -> None:
        number = 0
        while not over.is_set():
            number += 1
            made.begin(0, number, number, 1.0)
            made.end_plainly(0, number, number, 1.0, 2.0)
            made.ends_sent(made.take_ends()[1])

    writer = threading.Thread(target=work)
    writer.start()
    try:
        assert all(slots.read(path) is not None for _ in range(500))
    finally:
        over.set()
        writer.join()


def test_what_makes_no_sense_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Slots(str(tmp_path / "slots"), 1, 7, 8)
    whole = slots._read(str(tmp_path / "slots"), False)
    answers = iter([None, whole])
    monkeypatch.setattr(slots, "_read", lambda path, told: next(answers))
    assert slots.read("slots") == whole
