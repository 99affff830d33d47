"""The doorbell of a SQLite database: a datagram socket for each listener, in a directory beside the file.

Ringing it costs a few microseconds and never blocks; a full or a dead socket is somebody who is awake or gone. Whoever may
open the directory may ring: a message only ever wakes, and what is to be done is read from the database.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

#: Longest message; longer ones are cut, which costs the hint and not the wake.
LIMIT = 4000


class Doorbell:
    """Listens to, and rings, the bells in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._channels: frozenset[str] = frozenset()
        self._listener: socket.socket | None = None
        self._name = ""
        self._ringer: socket.socket | None = None

    def listen(self, channels: Sequence[str]) -> None:
        """Hang up a bell of our own. Where the directory cannot be made, polling has to do."""
        self._channels = frozenset(channels)
        # Its name says what for, and nobody is woken for anything else.
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}-{'+'.join(channels)}"
        try:
            # Who may write the database may ring: the directory takes the rights of the one it lies in.
            mode = os.stat(os.path.dirname(self._directory) or ".").st_mode & 0o777
            try:
                os.mkdir(self._directory)
                os.chmod(self._directory, mode)
            except FileExistsError:
                pass
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            with _Short(self._directory) as short:
                listener.bind(f"{short}/{self._name}")
            os.chmod(os.path.join(self._directory, self._name), 0o666)
        except OSError:
            self._channels = frozenset()
            return
        self._listener = listener

    def fileno(self) -> int | None:
        """The descriptor to wait on, or None where nothing listens."""
        return self._listener.fileno() if self._listener is not None else None

    def messages(self) -> list[tuple[str, str]]:
        """What has arrived, without waiting."""
        heard = []
        while self._listener is not None:
            try:
                text = self._listener.recv(LIMIT + 100).decode("utf-8", "replace")
            except BlockingIOError:
                break
            channel, _, payload = text.partition(" ")
            if channel in self._channels:
                heard.append((channel, payload))
        return heard

    def ring(self, messages: Sequence[tuple[str, str]]) -> None:
        """Tell everybody who listens to these channels, or whose bell does not say to which."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return  # nobody has ever listened
        told = [(name, meant) for name in names if name != self._name and (meant := _meant_for(name, messages))]
        if not told:
            return
        if self._ringer is None:
            self._ringer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        with _Short(self._directory) as short:
            for name, meant in told:
                for channel, payload in meant:
                    try:
                        self._ringer.sendto(f"{channel} {payload}".encode()[:LIMIT], f"{short}/{name}")
                    except OSError as error:
                        if error.errno == errno.ECONNREFUSED:
                            self._take_down(name)
                        break

    def _take_down(self, name: str) -> None:
        """Remove the bell of a listener that died without doing so."""
        try:
            os.unlink(os.path.join(self._directory, name))
        except OSError:
            pass  # another ringer was quicker, or the bell belongs to another user

    def close(self) -> None:
        """Take our own bell down."""
        if self._listener is not None:
            self._listener.close()
            self._take_down(self._name)
        self.forget()

    def forget(self) -> None:
        """After a fork: the bell is the parent's."""
        for end in (self._listener, self._ringer):
            if end is not None:
                end.close()
        self._listener = self._ringer = None
        self._channels = frozenset()


def _meant_for(name: str, messages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the messages that a bell of this name is for."""
    said = name.split("-", 2)[2:]
    return [message for message in messages if not said or message[0] in said[0].split("+")]


class _Short:
    """A short name for a directory: AF_UNIX addresses hold 108 bytes, paths may be longer."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._descriptor = -1

    def __enter__(self) -> str:
        if len(self._directory.encode()) < 60:
            return self._directory
        self._descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *exception: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
