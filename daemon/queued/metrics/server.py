"""Server: one thread, one selector, a few small answers to GET. It outlives slow and hostile clients by giving each little.

A connection has some seconds for its request and some for taking the answer, one request, no body, and a place among a
few; when those are taken, the one that has waited longest without a whole request makes room. So nothing that clients do
costs more than that, and no thread is ever theirs.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from queued.domain.endpoints import Endpoint
from queued.domain.errors import ConfigurationError
from queued.telemetry import emit

#: Seconds that a client has for its request, and for taking the answer.
ASKING, TAKING = 5.0, 10.0
#: Bytes of a request.
LONGEST_REQUEST = 8 * 1024
#: Connections at a time.
MOST = 64
#: Seconds between two looks for those whose time is over.
LOOK = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: the path without its query, and the formats that the client takes."""

    path: str
    accept: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, with_body: bool = True) -> bytes:
        """The answer as it goes over the wire."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body if with_body else b"")


Respond = Callable[[Request], Answer]


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    deadline: float
    asked: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class Server:
    """Listens from its making on and answers from `start` on. Raises ConfigurationError when it cannot listen there."""

    def __init__(self, endpoint: Endpoint, respond: Respond) -> None:
        self._endpoint = endpoint
        self._respond = respond
        self._listener = listen(endpoint)
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        self._bell, self._ear = socket.socketpair()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port, where there is one: a configured 0 takes any that is free."""
        return 0 if self._endpoint.path is not None else int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more, and let go of the address."""
        self._stopping = True
        self._bell.send(b"!")
        if self._thread.ident is not None:
            self._thread.join()
        self._listener.close()
        if self._endpoint.path is not None:
            try:
                os.unlink(self._endpoint.path)
            except OSError:
                pass  # somebody was faster
        self._bell.close()
        self._ear.close()

    # the thread

    def _run(self) -> None:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ear, selectors.EVENT_READ)
        while not self._stopping:
            for key, _ in self._selector.select(LOOK if self._clients else None):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._clients:
                    self._serve(self._clients[key.fd])
            now = time.monotonic()
            for client in [client for client in self._clients.values() if now >= client.deadline]:
                self._drop(client)
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            # The client has gone; or descriptors are short, and the next look may find one.
            time.sleep(0.01)
            return
        if len(self._clients) >= MOST:
            waiting = [client for client in self._clients.values() if client.answer is None]
            self._drop(min(waiting or self._clients.values(), key=lambda client: client.deadline))
        accepted.setblocking(False)
        self._clients[accepted.fileno()] = _Client(accepted, time.monotonic() + ASKING)
        self._selector.register(accepted, selectors.EVENT_READ)

    def _serve(self, client: _Client) -> None:
        try:
            if client.answer is None:
                self._hear(client)
            else:
                client.answer = client.answer[client.socket.send(client.answer) :]
                if not client.answer:
                    self._part(client)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)

    def _hear(self, client: _Client) -> None:
        said = client.socket.recv(LONGEST_REQUEST)
        if not said:
            self._drop(client)
            return
        client.asked += said
        if b"\r\n\r\n" in client.asked or b"\n\n" in client.asked:
            answer = self._answer(bytes(client.asked))
        elif len(client.asked) >= LONGEST_REQUEST:
            answer = Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE).encode()
        else:
            return
        client.answer = memoryview(answer)
        client.deadline = time.monotonic() + TAKING
        self._selector.modify(client.socket, selectors.EVENT_WRITE)

    def _answer(self, asked: bytes) -> bytes:
        method, request = parse(asked)
        if request is None:
            return Answer(HTTPStatus.BAD_REQUEST, b"this is no HTTP request\n").encode()
        if method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, headers=(("Allow", "GET, HEAD"),)).encode()
        try:
            answer = self._respond(request)
        except Exception as error:  # one question that goes wrong must not silence the answers to all others
            emit("metrics_failed", path=request.path, error=error)
            answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error; the daemon's log says which\n")
        return answer.encode(with_body=method == "GET")

    def _part(self, client: _Client) -> None:
        """Everything is said. What the client may still be saying is not waited for."""
        try:
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.socket.fileno()]
        self._selector.unregister(client.socket)
        client.socket.close()


def parse(asked: bytes) -> tuple[str, Request | None]:
    """The method and the request of the bytes up to the empty line; None when they are not HTTP."""
    head = asked.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("latin-1")
    first, *rest = head.split("\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[0].isalpha():
        return "", None
    try:
        path = urlsplit(words[1]).path
    except ValueError:
        return "", None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return words[0], Request(path, headers.get("accept", ""))


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket. Raises ConfigurationError, with the reason."""
    try:
        if endpoint.path is not None:
            return _listen_at(endpoint.path)
        family, kind, protocol, _, address = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(MOST)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"metrics.listen: {endpoint} cannot be listened on: {error.strerror or error}; "
            "write another address, a path, or off"
        ) from error
    return listener


def _listen_at(path: str) -> socket.socket:
    """A socket file, for its owner and group. One that a daemon has left behind is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listener.bind(path)
        except OSError:
            if not _is_deserted(path):
                raise
            os.unlink(path)
            listener.bind(path)
        os.chmod(path, 0o660)
        listener.listen(MOST)
    except OSError:
        listener.close()
        raise
    return listener


def _is_deserted(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(1.0)
            caller.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
