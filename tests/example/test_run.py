"""The example does its work as a person would see it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/photos"
PICTURES = sorted(path for path in (EXAMPLE / "pictures").iterdir() if path.suffix in {".jpg", ".png"})

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start the example with the interpreter of the tests, its data in the test's directory."""
    started: list[subprocess.Popen[str]] = []
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUEUED_")}
    path = os.pathsep.join(filter(None, [str(ROOT / "daemon"), inherited.get("PYTHONPATH")]))
    environment = {**inherited, "PYTHONPATH": path, "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        common = ["--data", tmp_path / "data", "--python", sys.executable]
        process = subprocess.Popen(
            [sys.executable, EXAMPLE / "run.py", *common, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
    log = tmp_path / "data/daemon.log"
    print(log.read_text() if log.exists() else "no log")


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=100)
    return process.returncode, output


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def queuectl(directory: Path, *arguments: str) -> str:
    """What the operator of the running example is told."""
    path = os.pathsep.join(filter(None, [str(ROOT / "daemon"), os.environ.get("PYTHONPATH")]))
    where = ["--database", f"sqlite:///{directory / 'data/queued.sqlite3'}"]
    told = subprocess.run(
        [sys.executable, "-m", "queued", *arguments, *where],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def variants(data: Path) -> list[Path]:
    return sorted(data.glob("site/*/pictures/*/*.jpg"))


def test_one_run_makes_every_variant_and_the_page_and_a_second_run_works_too(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        status, output = finish(run("--once"))
        assert status == 0, output
        assert f"{len(PICTURES)}/{len(PICTURES)} pictures" in output
        done = re.search(r"^Jobs done +(\d+)  \(pictures with 3 variants each: (\d+); (.*)\)$", output, re.MULTILINE)
        assert done is not None, output
        assert int(done[2]) == len(PICTURES)
        # What the batch is followed by, once each; the page is made at least after the first picture and after the sheet.
        others = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", done[3])}
        assert (others["announce"], others["make_contact_sheet"]) == (1, 1)
        assert 2 <= others["render_gallery"] <= len(PICTURES) + 1
        assert int(done[1]) == int(done[2]) + sum(others.values())
        assert re.search(r"Jobs failed +0$", output, re.MULTILINE)
        assert re.search(r"Jobs retried +0$", output, re.MULTILINE)
        assert len(variants(tmp_path / "data")) == 3 * len(PICTURES)
        [page] = tmp_path.glob("data/site/*/index.html")
        assert str(page) in output
        assert page.read_text().count("<figure>") == len(PICTURES)
        assert 'href="contact-sheet.jpg"' in page.read_text()
        assert (page.parent / "contact-sheet.jpg").stat().st_size > 1000
    assert (page.parent / "feed.xml").read_text().count(f"<title>{len(PICTURES)} pictures from ") == 2


def test_a_broken_picture_is_a_failed_job_that_is_explained_and_the_others_are_made(run: Run, tmp_path: Path) -> None:
    status, output = finish(run("--once", "--pictures", EXAMPLE / "broken"))
    assert status == 1, output
    assert re.search(r"Jobs failed +1$", output, re.MULTILINE)
    hint = re.search(r"^\$ (.* jobs show \d+ .*)$", output, re.MULTILINE)
    assert hint is not None, output
    path = os.pathsep.join(filter(None, [str(ROOT / "daemon"), os.environ.get("PYTHONPATH")]))
    typed = subprocess.run(
        hint[1],
        shell=True,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "truncated.jpg is not a whole picture" in typed.stdout
    assert "truncated.jpg is not a whole picture" in output
    assert {path.name for path in variants(tmp_path / "data")} == {"large.jpg", "medium.jpg", "thumbnail.jpg"}
    assert len(variants(tmp_path / "data")) == 3
    # Nothing is announced of a batch in which a picture failed; the sheet shows the others.
    assert not list(tmp_path.glob("data/site/*/feed.xml"))
    assert len(list(tmp_path.glob("data/site/*/contact-sheet.jpg"))) == 1


def test_a_folder_without_pictures_is_said_to_be_one(run: Run, tmp_path: Path) -> None:
    status, output = finish(run("--once", "--pictures", tmp_path))
    assert status == 1
    assert f"There are no pictures in {tmp_path}" in output


def test_a_folder_that_is_missing_is_said_to_be_missing(run: Run, tmp_path: Path) -> None:
    for options in (["--once"], []):
        status, output = finish(run(*options, "--pictures", tmp_path / "none"))
        assert status == 1
        assert f"There is no folder {tmp_path / 'none'}." in output


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_run_takes_any_name_of_a_folder(tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    stamps = [tmp_path / "daemon.stamp", tmp_path / "installed.stamp"]
    for stamp in stamps:
        stamp.touch()
    old = [f"--old-file={stamp}" for stamp in stamps]
    made = subprocess.run(
        ["make", "run", "PHOTOS=Anna's pics", f"VENV={tmp_path}", f"EXAMPLE_VENV={tmp_path}", *old],
        cwd=ROOT,
        # A make that runs these tests must not have its own flags and folders told by this one.
        env={name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert made.stdout.splitlines() == ["examples/photos/run.py", "--pictures", "Anna's pics"]


def test_it_serves_the_page_takes_up_new_pictures_forgets_removed_ones_and_stops_at_ctrl_c(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(PICTURES[0], folder)
    process = run("--pictures", folder, "--port", "0")
    assert process.stdout is not None
    heard = ""
    while not (address := re.search(r"http://127\.0\.0\.1:\d+/", heard)):
        line = process.stdout.readline()
        assert line, heard
        heard += line

    def page() -> str:
        with urllib.request.urlopen(address[0], timeout=10) as answer:
            return str(answer.read(), "utf-8")

    assert page().count("<figure>") == 1
    shutil.copy(PICTURES[1], folder)
    wait_for(lambda: page().count("<figure>") == 2)
    (folder / PICTURES[0].name).unlink()
    # Its schedule says every minute; a person in a hurry says now.
    queuectl(tmp_path, "recurring", "run", "forget_removed_pictures")
    wait_for(lambda: page().count("<figure>") == 1)
    shown = json.loads(queuectl(tmp_path, "recurring", "list", "--json"))["tasks"]
    assert {task["key"] for task in shown} == {
        "clear_finished_jobs",
        "disk_space",
        "forget_removed_pictures",
        "heartbeat",
    }
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    assert status == 0, output
    assert "Stopping" in output
