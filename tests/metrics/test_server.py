"""The server answers the well behaved, and outlives everybody else."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from fixtures.scraping import Scraper
from queued.domain.endpoints import Endpoint
from queued.domain.errors import ConfigurationError
from queued.domain.health import Verdict
from queued.metrics import server as server_module
from queued.metrics.pages import Pages
from queued.metrics.server import MOST, Answer, Request, Server

Serve = Callable[..., Scraper]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers; they are stopped at the end, and leave no thread."""
    servers: list[Server] = []
    before = set(threading.enumerate())

    def start(respond: Callable[[Request], Answer], endpoint: Endpoint | None = None) -> Scraper:
        endpoint = endpoint or Endpoint(host="127.0.0.1", port=0)
        servers.append(Server(endpoint, respond))
        servers[-1].start()
        return Scraper(endpoint.path or (endpoint.host, servers[-1].port))

    yield start
    for one in servers:
        one.stop()
    assert set(threading.enumerate()) <= before


def hello(request: Request) -> Answer:
    return Answer(HTTPStatus.OK, f"{request.path} {request.accept}".encode())


def test_get_has_a_body_and_head_has_none(serve: Serve) -> None:
    scraper = serve(hello)
    reply = scraper.get("/a?b=c", accept="text/plain")
    assert (reply.status, reply.body, reply.headers["connection"]) == (200, "/a text/plain", "close")
    head = scraper.get("/a", method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, "", "3")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000, b"431"),
        (b"GET / HTTP/1.0\n\n", b"200"),
    ],
)
def test_what_is_not_asked_well_is_answered_in_kind(serve: Serve, said: bytes, status: bytes) -> None:
    connection = serve(hello).connect()
    connection.sendall(said)
    answer = b""
    while more := _receive(connection):
        answer += more
    assert answer.startswith(b"HTTP/1.1 " + status)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""  # there was more of the request than was read


def test_a_request_may_come_byte_by_byte(serve: Serve) -> None:
    connection = serve(hello).connect()
    for byte in b"GET /slow HTTP/1.1\r\n\r\n":
        connection.sendall(bytes([byte]))
    assert b"/slow" in connection.recv(65536)


def test_who_sends_a_byte_now_and_then_is_cut_off_when_his_time_is_over(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ASKING", 0.5)
    scraper = serve(hello)
    connection = scraper.connect()
    started = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as it comes
        while time.monotonic() - started < 8:
            connection.sendall(b"G")
            time.sleep(0.1)
    assert time.monotonic() - started < 8
    assert scraper.get("/").status == 200


def test_who_does_not_take_his_answer_holds_up_nobody_and_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TAKING", 1.0)
    scraper = serve(lambda request: Answer(HTTPStatus.OK, b"x" * 50_000_000 if request.path == "/big" else b"small"))
    connection = scraper.connect()
    connection.sendall(b"GET /big HTTP/1.1\r\n\r\n")
    assert scraper.get("/small").body == "small"
    time.sleep(2.0)
    taken = 0
    try:
        while more := connection.recv(1 << 20):
            taken += len(more)
    except ConnectionResetError:
        pass
    assert taken < 50_000_000


def test_a_large_answer_is_whole_for_who_takes_it(serve: Serve) -> None:
    scraper = serve(lambda request: Answer(HTTPStatus.OK, b"x" * 20_000_000))
    assert len(scraper.get("/").body) == 20_000_000


def test_any_number_of_silent_connections_leave_room_for_a_scrape(serve: Serve) -> None:
    scraper = serve(hello)
    silent = [scraper.connect() for _ in range(MOST * 3)]
    assert scraper.get("/metrics").status == 200
    assert threading.active_count() <= 4
    for connection in silent:
        connection.close()
    assert scraper.get("/metrics").status == 200


def test_who_hangs_up_in_the_middle_harms_nobody(serve: Serve) -> None:
    scraper = serve(lambda request: Answer(HTTPStatus.OK, b"x" * 1_000_000))
    for said in (b"", b"GET", b"GET / HTTP/1.1\r\n\r\n"):
        connection = scraper.connect()
        connection.sendall(said)
        connection.close()
    assert scraper.get("/").status == 200


def test_a_question_that_fails_is_answered_500_and_the_next_as_ever(serve: Serve) -> None:
    def respond(request: Request) -> Answer:
        return hello(request) if request.path == "/good" else Answer(HTTPStatus.OK, [][0])

    scraper = serve(respond)
    assert scraper.get("/bad").status == 500
    assert scraper.get("/good").status == 200


def test_stop_ends_also_with_clients_that_hold_on(serve: Serve) -> None:
    server = Server(Endpoint(host="127.0.0.1"), hello)
    server.start()
    connection = Scraper(("127.0.0.1", server.port)).connect()
    connection.sendall(b"GET /")
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 5
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as it comes
        Scraper(("127.0.0.1", server.port)).get("/")


def test_an_address_that_is_taken_is_a_fault_that_says_so(serve: Serve) -> None:
    host, port = serve(hello).address
    with pytest.raises(ConfigurationError, match=rf"metrics.listen: 127.0.0.1:{port} cannot be listened on: .*in use"):
        Server(Endpoint(host=str(host), port=int(port)), hello)


def test_a_socket_is_for_its_owner_and_group_and_gone_after_the_end(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "m.sock")
    server = Server(Endpoint(path=path), hello)
    server.start()
    assert os.stat(path).st_mode & 0o777 == 0o660
    assert Scraper(path).get("/x").body == "/x "
    with pytest.raises(ConfigurationError, match="in use"):
        Server(Endpoint(path=path), hello)
    server.stop()
    assert not os.path.exists(path)


def test_a_socket_that_a_dead_daemon_left_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "m.sock")
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()
    Server(Endpoint(path=path), hello).stop()
    Path(path).write_text("precious")
    with pytest.raises(ConfigurationError, match=r"m\.sock cannot be listened on"):
        Server(Endpoint(path=path), hello)
    assert Path(path).read_text() == "precious"


def test_the_pages_answer_verdicts_as_json_and_name_each_other(serve: Serve) -> None:
    verdicts = {"/livez": lambda: Verdict(True), "/health": lambda: Verdict(False, ("it is on fire",))}
    scraper = serve(Pages(lambda accept: (b"# metrics\n", "text/x"), verdicts).respond)
    assert scraper.get("/metrics").headers["content-type"] == "text/x"
    alive = scraper.get("/livez")
    assert (alive.status, alive.json) == (200, {"healthy": True, "last_heartbeat": None, "reasons": []})
    ill = scraper.get("/health")
    assert (ill.status, ill.json["reasons"]) == (503, ["it is on fire"])
    nowhere = scraper.get("/livez/")
    assert (nowhere.status, "/metrics, /livez, /health" in nowhere.body) == (404, True)
    assert scraper.get("/").status == 200
