"""One SQLite queue for several users of a host: whoever is in the group of its directory."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queued.domain.jobs import NewJob
from queued.storage import insights
from queued.storage.store import Store, open_store

DAEMON, APPLICATION, GROUP = 61001, 61002, 61003

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two other users")


@pytest.fixture
def directory() -> Iterator[Path]:
    """What tmpfiles.d makes of /var/lib/queued. Not below pytest's own directory, which is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="queued-shared-"))
    os.chown(path, DAEMON, GROUP)
    path.chmod(0o2770)
    yield path
    shutil.rmtree(path)


def as_user(uid: int, gid: int, groups: list[int], umask: int, do: Callable[[], None]) -> None:
    """Do it in a process of that user."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            os.umask(umask)
            do()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_daemon_and_application_work_one_queue_as_two_users(directory: Path, sqlite_url: str) -> None:
    url = f"sqlite:///{directory / 'queue.sqlite3'}"
    # What is imported and read on first use must be there by then: those users need not see where it lies.
    warm = open_store(sqlite_url)
    warm.migrate()
    warm.enqueue([NewJob("warm", "[]")])
    warm.close()

    def with_store(do: Callable[[Store], object]) -> Callable[[], None]:
        def run() -> None:
            store = open_store(url)
            do(store)
            # Not closed: the last connection that is closed takes the log with it, and the next user finds one still there.

        return run

    def count(store: Store) -> None:
        with store.reading() as session:
            assert insights.backlog(session).ready == 2

    def first(store: Store) -> None:
        store.migrate()
        store.listen(["ready"])
        store.enqueue([NewJob("daemon", "[]")])

    as_user(DAEMON, GROUP, [], 0o007, with_store(first))
    as_user(APPLICATION, APPLICATION, [GROUP], 0o022, with_store(lambda store: store.enqueue([NewJob("shop", "[]")])))
    as_user(DAEMON, GROUP, [], 0o007, with_store(count))
    files = {file.name: file.stat() for file in directory.iterdir()}
    assert {found.st_gid for found in files.values()} == {GROUP}
    assert all(found.st_mode & 0o060 == 0o060 for found in files.values()), files
    with pytest.raises(AssertionError):
        as_user(APPLICATION, APPLICATION, [], 0o022, with_store(count))
