"""A supervisor's own directory under `runtime_directory`: sockets, slot files, and the lock that says it lives."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from queued.domain.errors import ConfigurationError

#: The lock of a supervisor's directory. Its children hold it too, so it is free when the last of them has gone.
LOCK = "lock"
#: The name under which workers find the fork server that is in force: a symbolic link, replaced in one step.
APPLICATION = "app.sock"
#: Its time of change is when the supervisor's loop last turned, in monotonic seconds: no clock that is set touches that.
PULSE = "pulse"
#: Seconds between two marks of the turning loop.
MARK_EVERY = 1.0


class Runtime:
    """One supervisor's directory, 0700, made by `make` and locked for as long as the supervisor or a child of it lives."""

    def __init__(self, directory: Path, lock: int) -> None:
        self.directory = directory
        self._lock = lock
        self._mark_at = 0.0

    @classmethod
    def make(cls, parent: str, name: str) -> Runtime:
        """Make the directory. Raises ConfigurationError when that cannot be."""
        directory = Path(parent).absolute() / name
        try:
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            refuse_strangers(directory.parent)
            directory.mkdir(mode=0o700)
            lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            named = os.environ.get("XDG_RUNTIME_DIR")
            below = f" (below XDG_RUNTIME_DIR, {named})" if named and Path(named) in Path(parent).parents else ""
            raise ConfigurationError(
                f"runtime_directory: {parent}{below} cannot be used ({error.strerror}: {error.filename}); "
                "make it, or name one that this user may write"
            ) from error
        return cls(directory, lock)

    @property
    def application(self) -> Path:
        """Where a worker connects to ask for a runner: always the fork server that is in force."""
        return self.directory / APPLICATION

    def switch(self, socket: Path) -> None:
        """Let `application` lead to this socket from now on. It may be followed, or read: it is absolute."""
        fresh = self.directory / f"{APPLICATION}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(socket)
        fresh.replace(self.application)

    def turned(self) -> None:
        """The supervisor's loop has turned: for those who ask whether it lives. Written at most once a second."""
        now = time.monotonic()
        if now >= self._mark_at:
            self._mark_at = now + MARK_EVERY
            try:
                (self.directory / PULSE).touch(mode=0o600)
                os.utime(self.directory / PULSE, (now, now))
            except OSError:
                pass  # a full disk; the mark that stands grows old, and that is said

    def remove(self) -> None:
        """Remove the directory, unless a slot file is left: it holds what a later supervisor must know."""
        if not any(self.directory.glob("*.slots")):
            shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)


def pause_of(directory: Path, now: float) -> float | None:
    """Seconds since the loop of a directory's supervisor has turned; None when it has left no mark."""
    try:
        return max(0.0, now - (directory / PULSE).stat().st_mtime)
    except OSError:
        return None


def refuse_strangers(directory: Path) -> None:
    """Raise ConfigurationError where somebody else could put a directory of theirs in the place of ours."""
    found = directory.stat()
    if found.st_uid not in (os.geteuid(), 0):
        whose = f"belongs to user {found.st_uid}"
    elif found.st_mode & 0o002 and not found.st_mode & 0o1000:
        whose = "may be written by everybody"
    else:
        return
    raise ConfigurationError(
        f"runtime_directory: {directory} {whose}, who could take the place of the daemon's sockets; "
        f"name a directory of user {os.geteuid()} alone"
    )


def sweep(parent: str) -> None:
    """Remove the directories of supervisors that are gone with all their children.

    Called when everything that those left in the database is settled: their slot files have nothing more to say.
    """
    for lock in Path(parent).absolute().glob(f"supervisor-*/{LOCK}"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or another supervisor is sweeping too
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
        except BlockingIOError:
            pass  # it lives
        finally:
            os.close(descriptor)
