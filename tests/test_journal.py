"""The journal's native protocol, against a socket of the test's own."""

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.daemon import PACKAGE
from queued import journal
from queued.entries import AT_ONCE, CUT, Entry, as_fields, briefly, plain, to_journal
from queued.journal import LARGE, Journal, encode, is_stream

#: Other programs find the package of this checkout, wherever they run.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))}


class Journald:
    """The receiving end: entries as lists of fields, as the journal would store them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(10)
        self._socket.bind(str(path))

    def entry(self) -> list[tuple[str, str]]:
        """The next entry; from a file in memory when that is attached."""
        data, attached, _, _ = self._socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        for _, _, sent in attached:
            descriptor = array.array("i", sent)[0]
            with open(descriptor, "rb") as file:
                file.seek(0)
                data = file.read()
        return decode(data)

    def full(self) -> bool:
        """Whether nothing more fits into its queue."""
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            other.sendto(b"FILL=1\n", str(self.path))
        except BlockingIOError:
            return True
        finally:
            other.close()
        return False

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


def decode(data: bytes) -> list[tuple[str, str]]:
    """The fields of a datagram, by the protocol's own words and not by our encoder."""
    fields = []
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + length], data[8 + length :]
            assert data[:1] == b"\n"
            data = data[1:]
        fields.append((name.decode(), value.decode()))
    return fields


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    found = Journald(tmp_path / "socket")
    yield found
    found.close()


def test_a_value_of_several_lines_carries_its_length(journald: Journald) -> None:
    fields = [("MESSAGE", "one\ntwo = 2\n"), ("PRIORITY", "3"), ("QUEUED_CLASS", "Größe=1")]
    assert encode([("A", "b")]) == b"A=b\n"
    assert encode([("A", "b\nc")]) == b"A\n\x03\0\0\0\0\0\0\0b\nc\n"
    assert Journal(str(journald.path)).send(fields)
    assert journald.entry() == fields


def test_an_entry_too_large_for_a_datagram_arrives_as_a_file(journald: Journald) -> None:
    fields = [("MESSAGE", "x" * (4 * LARGE) + "\nend"), ("PRIORITY", "6")]
    assert Journal(str(journald.path)).send(fields)
    assert journald.entry() == fields


def test_a_job_tells_its_story_under_its_id(journald: Journald) -> None:
    write = to_journal("queued@mail", Journal(str(journald.path)))
    said = {"job_id": 17, "class_name": "mail.send", "queue": "mail", "attempt": 2, "process": "worker-1"}
    write(Entry(0.0, "warning", "job_output", "job=17 stderr: late\x1b[31m", {**said, "stream": "stderr"}))
    assert journald.entry() == [
        ("MESSAGE", r"job=17 stderr: late\x1b[31m"),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "queued@mail"),
        ("QUEUED_EVENT", "job_output"),
        ("QUEUED_PROCESS", "worker-1"),
        ("QUEUED_CLASS", "mail.send"),
        ("QUEUED_QUEUE", "mail"),
        ("QUEUED_ATTEMPT", "2"),
        ("QUEUED_STREAM", "stderr"),
        ("QUEUED_JOB_ID", "17"),
    ]


def test_an_event_of_several_jobs_is_found_under_each() -> None:
    entry = Entry(0.0, "warning", "jobs_recovered", "gone", {"crashed": [3], "released": [4, 3], "failed": []})
    assert [value for name, value in as_fields(entry, "queued") if name == "QUEUED_JOB_ID"] == ["3", "4"]
    many = Entry(0.0, "info", "jobs_released", "gone", {"ids": list(range(5000))})
    assert len(list(as_fields(many, "queued"))) < 1024


def test_a_journal_that_is_away_costs_no_error_and_is_found_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = Journal(str(tmp_path / "socket"))
    write = to_journal("queued", target)
    for number in range(3):
        write(Entry(0.0, "info", "stopping", f"entry {number}", {}))
    assert target.lost == 3
    assert "entry 2" in capfd.readouterr().err
    journald = Journald(tmp_path / "socket")
    write(Entry(0.0, "info", "stopping", "back", {}))
    assert ("QUEUED_LOST", "3") in journald.entry()
    assert target.lost == 0
    journald.close()


def test_a_journal_that_does_not_keep_up_is_not_waited_for(journald: Journald, monkeypatch: pytest.MonkeyPatch) -> None:
    while not journald.full():
        pass
    target = Journal(str(journald.path))
    started = time.monotonic()
    for _ in range(1000):
        assert not target.send([("MESSAGE", "nobody reads")])
    assert time.monotonic() - started < 20 * journal.PATIENCE
    assert target.lost == 1000


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("text", ["x" * 300_000, "\n" * 10_000, "\x1b\u20ac" * 20_000])
def test_a_stream_that_nobody_reads_is_not_waited_for_however_long_the_entry(
    kind: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "pipe":
        ours, theirs = os.pipe()
    else:
        ours, theirs = (end.detach() for end in socket.socketpair())
    write = to_journal("queued", Journal(str(tmp_path / "away")))
    with open(theirs, "w", buffering=1, encoding="utf-8", errors="backslashreplace") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        entries = [Entry(0.0, "info", "job_output", text, {})] * 60
        thread = threading.Thread(target=lambda: [write(entry) for entry in entries], daemon=True)
        thread.start()
        thread.join(60)
        waits = thread.is_alive()
        found = os.read(ours, AT_ONCE)
        os.close(ours)  # whoever waits for a reader after all goes on
        thread.join(60)
    assert not waits
    assert CUT.encode() in found


def test_an_entry_is_cut_only_where_a_stream_would_not_take_it_at_once() -> None:
    short = Entry(0.0, "info", "job_output", "two\nlines", {})
    assert briefly(short) == plain(short)
    long = briefly(Entry(0.0, "info", "job_output", "\u20ac" * 5000, {}))
    assert AT_ONCE - 4 <= len(long.encode()) <= AT_ONCE
    assert long.endswith("\u20ac" + CUT)


def test_a_stream_is_the_journal_when_device_and_inode_say_so(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        told = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_stream(file.fileno(), told)
        assert not is_stream(file.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_stream(file.fileno(), {"JOURNAL_STREAM": "nonsense"})
        assert not is_stream(file.fileno(), {})
    assert not is_stream(10_000, told)


PROGRAM = """
import sys
from queued import journal, log
from queued.telemetry import emit
journal.SOCKET = sys.argv[1]
log.configure(form="auto", role="web")
emit("stopping", process="supervisor-1")
"""


@pytest.mark.parametrize("connected", [True, False])
def test_the_format_is_the_journals_only_where_stderr_is_the_journal(
    connected: bool, journald: Journald, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    with log.open("w") as stderr:
        found = os.fstat(stderr.fileno())
        place = f"{found.st_dev}:{found.st_ino if connected else 1}"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(journald.path)],
            env={**ENVIRONMENT, "JOURNAL_STREAM": place},
            stderr=stderr,
            check=True,
            timeout=60,
        )
    if connected:
        assert ("SYSLOG_IDENTIFIER", "queued@web") in journald.entry()
        assert log.read_text() == ""
    else:
        assert log.read_text().endswith("INFO  supervisor-1 Stopping\n")


def test_a_fork_may_go_on_with_the_parents_journal(journald: Journald) -> None:
    target = Journal(str(journald.path))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if target.send([("MESSAGE", "from the child")]) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert target.send([("MESSAGE", "from the parent")])
    assert [journald.entry(), journald.entry()] == [[("MESSAGE", "from the child")], [("MESSAGE", "from the parent")]]


@pytest.mark.parametrize("connected", [True, False])
def test_what_a_command_cannot_do_is_an_error_in_the_journal(connected: bool, tmp_path: Path) -> None:
    (tmp_path / "queue.yml").write_text("production:\n  database: mysql://\n  threads: 3\n")
    with (tmp_path / "stderr").open("w") as stderr:
        found = os.fstat(stderr.fileno())
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from queued.cli.main import queued; sys.exit(queued(['check']))"],
            env={**ENVIRONMENT, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino if connected else 1}"},
            cwd=tmp_path,
            stderr=stderr,
            check=False,
            timeout=60,
        )
    assert done.returncode == 78
    lines = (tmp_path / "stderr").read_text().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("<3>queued: " if connected else "queued: ") for line in lines)


def test_a_daemon_that_is_aborted_shows_where_it_hung(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "queue.yml").write_text(f"production:\n  database: {sqlite_url}\n  runtime_directory: run\n")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "queued", "start"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert daemon.stderr is not None
    try:
        while "Started Supervisor" not in daemon.stderr.readline():
            assert daemon.poll() is None
        daemon.send_signal(signal.SIGABRT)
        told = daemon.stderr.read()
        assert daemon.wait(30) == -signal.SIGABRT
    finally:
        daemon.kill()
    assert "Fatal Python error: Aborted" in told
    assert "supervisor.py" in told
