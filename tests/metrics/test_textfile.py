"""The file for node_exporter: whole, readable, and gone when it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queued.metrics.textfile import Textfile


def test_it_is_replaced_and_readable_by_everybody_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "queued.prom"
    before = os.umask(0o077)
    try:
        Textfile(str(path)).write(b"one\n")
        first = path.stat().st_ino
        Textfile(str(path)).write(b"two\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.stat().st_ino != first
    assert [entry.name for entry in tmp_path.iterdir()] == ["queued.prom"]


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "queued.prom"
    textfile = Textfile(str(path))
    textfile.write(b"a" * 1_000_000)
    with path.open("rb") as reader:
        textfile.write(b"b" * 1_000_000)
        assert set(reader.read()) == {ord("a")}


def test_one_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "queued.prom").mkdir()
    with pytest.raises(OSError, match="directory"):
        Textfile(str(tmp_path / "queued.prom")).write(b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["queued.prom"]


def test_a_link_that_somebody_laid_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"queued.prom.{os.getpid()}").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        Textfile(str(tmp_path / "queued.prom")).write(b"x")
    assert victim.read_text() == "precious"


def test_removing_one_that_is_gone_is_fine(tmp_path: Path) -> None:
    textfile = Textfile(str(tmp_path / "queued.prom"))
    textfile.write(b"x")
    textfile.remove()
    textfile.remove()
    assert list(tmp_path.iterdir()) == []
