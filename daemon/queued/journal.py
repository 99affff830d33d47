"""The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): entries with fields, one datagram each.

So that `journalctl QUEUED_JOB_ID=17` tells one job's story. An entry too large for a datagram goes as a sealed file in memory.
Nothing here waits, and nothing raises for a journal that is away.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
from collections.abc import Iterable, Mapping

SOCKET = "/run/systemd/journal/socket"
#: Seconds that an entry may wait for a journal that is busy; then it is lost, and counted.
PATIENCE = 0.05
#: Bytes of a datagram beyond which the kernel may refuse it.
LARGE = 128 * 1024

Fields = Iterable[tuple[str, str]]


def is_stream(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether what is written to this descriptor goes to the journal: JOURNAL_STREAM tells which file that is."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def encode(fields: Fields) -> bytes:
    """Fields as the journal takes them: NAME=value in a line, or with its length where the value has several lines."""
    pieces = []
    for name, text in fields:
        value = text.encode("utf-8", "backslashreplace")
        if b"\n" in value:
            pieces += [name.encode(), b"\n", len(value).to_bytes(8, "little"), value, b"\n"]
        else:
            pieces += [name.encode(), b"=", value, b"\n"]
    return b"".join(pieces)


class Journal:
    """The way to the journal. Fit for several threads, and for a process that forks: entries are whole or not at all."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path or SOCKET
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        #: Entries that could not be delivered since the last one that was.
        self.lost = 0

    def send(self, fields: Fields) -> bool:
        """Deliver an entry; False, and counted, when the journal is away or does not keep up."""
        try:
            self._deliver(encode(fields))
        except OSError:
            self.lost += 1
            return False
        self.lost = 0
        return True

    def _deliver(self, entry: bytes) -> None:
        try:
            if len(entry) <= LARGE:
                return self._post(entry)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
        self._post_file(entry)
        return None

    def _post(self, entry: bytes, attached: int | None = None) -> None:
        with_file = [] if attached is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [attached]))]
        try:
            self._socket.sendmsg([entry], with_file, 0, self._path)
        except BlockingIOError:
            if self.lost:
                raise  # it did not keep up a moment ago either, and those who work cannot wait for it line by line
            # Room in its queue shows on a socket that is connected. Ours is not, so that a new journal is found.
            select.select([], [], [], PATIENCE)
            self._socket.sendmsg([entry], with_file, 0, self._path)

    def _post_file(self, entry: bytes) -> None:
        descriptor = os.memfd_create("queued-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(entry)
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            self._post(b"", descriptor)
        finally:
            os.close(descriptor)
