"""The small parts of a role: waking, waiting, naming, judging."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from queued.domain.errors import ConfigurationError
from queued.processes.dispatcher import rest
from queued.processes.heartbeat import Contact, Heartbeat
from queued.processes.identity import identity, is_gone, is_local, start_time
from queued.processes.outage import delay
from queued.processes.runtime import Runtime, pause_of, sweep
from queued.processes.signals import Signals
from queued.processes.wakeup import Wakeup


@pytest.fixture
def wakeup() -> Wakeup:
    return Wakeup()


def took(wakeup: Wakeup, seconds: float) -> float:
    started = time.monotonic()
    wakeup.wait(seconds)
    return time.monotonic() - started


def test_a_wake_before_the_wait_ends_it_at_once_and_only_one_wait(wakeup: Wakeup) -> None:
    wakeup.wake()
    wakeup.wake()
    assert took(wakeup, 10.0) < 5.0
    assert wakeup.wait(0.0) == []


def test_another_thread_ends_a_wait(wakeup: Wakeup) -> None:
    threading.Timer(0.05, wakeup.stop).start()
    assert took(wakeup, 10.0) < 5.0
    assert wakeup.stopping
    assert not wakeup.immediate


def test_a_million_wakes_do_not_block_the_waker(wakeup: Wakeup) -> None:
    for _ in range(100_000):
        wakeup.wake()
    assert wakeup.wait(0.0) == [wakeup.fileno()]
    assert wakeup.wait(0.0) == []


def test_a_wake_after_the_end_is_no_error(wakeup: Wakeup) -> None:
    wakeup.close()
    wakeup.wake()


def test_another_descriptor_ends_a_wait(wakeup: Wakeup) -> None:
    read, write = os.pipe()
    os.write(write, b"x")
    assert wakeup.wait(10.0, [read]) == [read]
    os.close(read)
    os.close(write)


def test_an_immediate_stop_is_not_taken_back_by_a_graceful_one(wakeup: Wakeup) -> None:
    wakeup.stop(immediate=True)
    wakeup.stop()
    assert wakeup.immediate


def test_signals_are_noted_in_order_and_wake_and_are_given_back(wakeup: Wakeup) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    signals = Signals(wakeup)
    signals.install([signal.SIGUSR1, signal.SIGUSR2])
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert took(wakeup, 10.0) < 5.0
    assert signals.take() == [signal.SIGUSR1, signal.SIGUSR2]
    assert signals.take() == []
    signals.restore()
    assert signal.getsignal(signal.SIGUSR1) == before


# Who is who


def text(**changes: object) -> str:
    import json

    return json.dumps({**identity(), **changes})


def test_a_process_is_itself() -> None:
    assert is_local(text())
    assert not is_gone(os.getpid(), text())


def test_a_pid_that_was_given_again_is_another_process() -> None:
    assert is_gone(os.getpid(), text(start=1))


def test_of_a_process_of_another_boot_or_another_container_nothing_is_certain() -> None:
    for other in (text(boot="another"), text(pidns=1), "not json", "[]", "{}"):
        assert not is_local(other)
        assert not is_gone(999_999_999, other)


def test_a_zombie_is_its_parents_to_settle() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = start_time(child.pid)
    assert started is not None
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_gone(child.pid, text(start=started))
    assert child.wait() == 0
    assert is_gone(child.pid, text(start=started))


# When


def test_a_beat_is_due_one_interval_after_the_last_and_never_before_the_registration() -> None:
    heartbeat = Heartbeat(5.0)
    assert not heartbeat.due(1000.0)
    heartbeat.registered(100.0)
    assert (heartbeat.due(104.9), heartbeat.due(105.0), heartbeat.rest(102.0)) == (False, True, 3.0)
    heartbeat.beaten(105.0)
    assert not heartbeat.due(109.0)
    heartbeat.missed(110.0)
    assert (heartbeat.due(110.5), heartbeat.due(111.0)) == (False, True)


def test_only_unbroken_contact_counts() -> None:
    contact = Contact()
    assert not contact.unbroken(100.0, 0.0)
    contact.made(100.0)
    contact.made(110.0)
    assert contact.unbroken(125.0, 25.0)
    contact.lost()
    contact.made(126.0)
    assert not contact.unbroken(150.0, 25.0)
    assert contact.unbroken(151.0, 25.0)


def test_attempts_to_reach_the_database_double_their_distance_up_to_five_seconds() -> None:
    assert [delay(count, 0.0) for count in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8]
    assert delay(1000, 0.0) == 5.0
    assert delay(1000, 1.0) == 2.5


@pytest.mark.parametrize(
    ("next_due", "listening", "seconds"),
    [
        (None, False, 1.0),
        (None, True, 5.0),
        (0.4, False, 0.4),
        (0.4, True, 0.4),
        (3.0, False, 1.0),
        (3.0, True, 3.0),
        (900.0, True, 5.0),
        (0.0, True, 0.0),
        (-7.0, False, 0.0),
    ],
)
def test_a_dispatcher_rests_until_the_next_job_is_due(next_due: float | None, listening: bool, seconds: float) -> None:
    assert rest(1.0, next_due, listening=listening) == seconds


# Where


def test_a_supervisors_directory_is_its_own_and_goes_with_it(tmp_path: Path) -> None:
    runtime = Runtime.make(str(tmp_path / "run"), "supervisor-1")
    assert runtime.directory.stat().st_mode & 0o777 == 0o700
    runtime.switch(runtime.directory / "app-1.sock")
    runtime.switch(runtime.directory / "app-2.sock")
    assert os.readlink(runtime.application) == str(runtime.directory / "app-2.sock")
    sweep(str(tmp_path / "run"))
    assert runtime.directory.exists()
    runtime.remove()
    assert not runtime.directory.exists()


def test_slot_files_that_somebody_needs_outlive_the_supervisor_until_everything_is_settled(tmp_path: Path) -> None:
    runtime = Runtime.make(str(tmp_path), "supervisor-1")
    (runtime.directory / "worker-1-0.slots").touch()
    runtime.remove()
    assert runtime.directory.exists()
    sweep(str(tmp_path))
    assert not runtime.directory.exists()


def test_a_directory_that_cannot_be_made_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="runtime_directory"):
        Runtime.make(str(tmp_path / "file"), "supervisor-1")


def test_the_variable_that_leads_to_a_directory_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match=r"/queued \(below XDG_RUNTIME_DIR, .*/file\) cannot be used"):
        Runtime.make(str(tmp_path / "file" / "queued"), "supervisor-1")


@pytest.mark.parametrize(("mode", "said"), [(0o777, "may be written by everybody"), (0o700, "belongs to user 12345")])
def test_a_runtime_directory_in_which_others_could_act_is_refused(tmp_path: Path, mode: int, said: str) -> None:
    parent = tmp_path / "run"
    parent.mkdir()
    parent.chmod(mode)
    if mode == 0o700:
        if os.geteuid() != 0:
            pytest.skip("only root can give a directory away")
        os.chown(parent, 12345, -1)
    with pytest.raises(ConfigurationError, match=said):
        Runtime.make(str(parent), "supervisor-1")


def test_a_runtime_directory_that_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    runtime = Runtime.make(str(tmp_path / "run"), "supervisor-1")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    runtime.remove()


def test_the_mark_of_the_turning_loop_grows_old_by_the_clock_that_nobody_sets(tmp_path: Path) -> None:
    runtime = Runtime.make(str(tmp_path / "run"), "supervisor-1")
    assert pause_of(runtime.directory, time.monotonic()) is None
    runtime.turned()
    now = time.monotonic()
    fresh, later = pause_of(runtime.directory, now), pause_of(runtime.directory, now + 60.0)
    assert fresh is not None
    assert later is not None
    assert fresh < 10.0
    assert later == pytest.approx(fresh + 60.0, abs=0.01)
    runtime.remove()
    assert pause_of(runtime.directory, now) is None


HIDDEN = """
import os, sys
from queued.processes.identity import is_gone
from queued.processes.slots import SlotFile, kill_and_wait
is_gone(os.getpid(), sys.argv[2])  # what it imports may be hidden from that user too
start = int(sys.argv[3])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
assert not os.path.exists(f"/proc/{sys.argv[1]}/stat")
print(is_gone(int(sys.argv[1]), sys.argv[2]), is_gone(999_999_999, sys.argv[2]))
print(*(kill_and_wait(SlotFile(pid, start, ()), 0.1) for pid in (int(sys.argv[1]), 999_999_999, 0)))
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root, to mount a /proc")
def test_a_process_that_proc_hides_from_us_is_not_gone_nor_has_its_runner_ended() -> None:
    pid, start = str(os.getpid()), str(start_time(os.getpid()))
    hide = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", sys.executable, "-c", HIDDEN, pid, text(), start],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "False True\nFalse True True\n", done.stderr
