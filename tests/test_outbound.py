"""Calls to addresses that a customer gave, against real servers that behave and servers that don't."""

import asyncio
import contextlib
import gzip
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline import __version__
from pipeline.calls import Calls
from pipeline.outbound import Answer, Guard, Request, fetch

OPEN = Guard(allow=(ip_network("127.0.0.0/8"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Behave = Callable[[socket.socket, bytes, threading.Event], None]  # connection, request, the test is over


class Server:
    """Reads each request of each connection to its end, keeps it, and behaves as it is told."""

    def __init__(self, behave: Behave, wrap: Callable[[socket.socket], socket.socket] | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.open: set[socket.socket] = set()
        self.closing = threading.Event()
        self._behave, self._wrap = behave, wrap
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, path: str = "/in", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        self.closing.set()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        try:
            connection = self._wrap(connection) if self._wrap else connection
            self.open.add(connection)
            while not self.closing.is_set() and (request := self._read(connection)):
                self.requests.append(request)
                self._behave(connection, request, self.closing)
        except OSError:
            pass  # the client went away, as it may
        finally:
            self.open.discard(connection)
            connection.close()

    def _read(self, connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (more := connection.recv(65_536)):
                return b""
            request += more
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < sum(lengths):
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def serve(behave: Behave | bytes, wrap: Callable[[socket.socket], socket.socket] | None = None) -> Server:
        behaves = behave if callable(behave) else _says(behave)
        made.append(Server(behaves, wrap))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def _says(answer: bytes) -> Behave:
    return lambda connection, _request, _over: connection.sendall(answer)


def _closes_after(answer: bytes) -> Behave:
    def behave(connection: socket.socket, _request: bytes, _over: threading.Event) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def _endless(first: bytes, more: bytes, every: float = 0.0) -> Behave:
    def behave(connection: socket.socket, _request: bytes, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(every):
            connection.sendall(more)

    return behave


def _resets(connection: socket.socket, _request: bytes, _over: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _calls(guard: Guard, *requests: Request) -> list[Answer]:
    """The answers to the requests, all begun at once, in the order of the requests."""

    async def all_of_them() -> list[Answer]:
        calls = Calls(guard)
        waiting: list[asyncio.Future[Answer]] = [asyncio.get_running_loop().create_future() for _ in requests]
        for request, answered in zip(requests, waiting, strict=True):
            calls.start(request, answered.set_result)
            assert not answered.done(), "never before start returned"
        answers = list(await asyncio.gather(*waiting))
        assert len(calls) == 0
        calls.close()
        return answers

    return asyncio.run(all_of_them())


def _on_a_loop(request: Request, guard: Guard) -> Answer:
    return _calls(guard, request)[0]


def _on_a_thread(request: Request, guard: Guard) -> Answer:
    return fetch(request.url, guard, seconds=request.seconds, limit=request.limit)


Call = Callable[[Request, Guard], Answer]


@pytest.fixture(params=[_on_a_loop, _on_a_thread], ids=["Calls", "fetch"])
def call(request: pytest.FixtureRequest) -> Call:
    chosen: Call = request.param
    return chosen


def test_a_post_is_sent_as_it_is_and_nothing_is_added_to_it(serve: Callable[..., Server]) -> None:
    server = serve(OK)
    answer = _on_a_loop(Request(server.url("/in?a=b"), b"x=\0\xff", (("webhook-id", "msg_1"), ("X-Own", "a b"))), OPEN)
    assert (answer.status, answer.body, answer.error, answer.retry_after) == (200, b"ok", None, None)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert (first, body) == ("POST /in?a=b HTTP/1.1", b"x=\0\xff")
    assert set(headers) - {"Content-Type: application/x-www-form-urlencoded"} == {
        f"Host: 127.0.0.1:{server.port}",
        f"User-Agent: loopwire/{__version__}",
        "Accept: */*",
        "webhook-id: msg_1",
        "X-Own: a b",
        "Content-Length: 4",
    }


def test_a_body_larger_than_a_packet_arrives_whole_without_asking_first(serve: Callable[..., Server]) -> None:
    server, body = serve(OK), bytes(range(256)) * 8000
    assert _on_a_loop(Request(server.url(), body), OPEN).status == 200
    assert server.requests[0].endswith(body)
    assert b"expect:" not in server.requests[0].lower()


def test_the_time_of_each_milestone_is_told(call: Call, serve: Callable[..., Server]) -> None:
    at = call(Request(serve(OK).url()), OPEN).timings
    assert 0 <= at.dns <= at.connect <= at.first_byte <= at.total
    assert at.connect > 0
    assert at.tls == 0


def test_an_answer_is_cut_at_the_limit_which_is_no_error(call: Call, serve: Callable[..., Server]) -> None:
    body = bytes(range(256)) * 400
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    for limit in (1, 1000, 4096, len(body) - 1):
        answer = call(Request(server.url(), limit=limit), OPEN)
        assert (answer.status, answer.body, answer.error) == (200, body[:limit], None)


def test_an_answer_of_just_the_limit_is_whole_and_its_connection_is_kept(serve: Callable[..., Server]) -> None:
    server = serve(OK)

    async def one_after_the_other() -> list[Answer]:
        calls, answers = Calls(OPEN), []
        for _ in range(3):
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            calls.start(Request(server.url(), b"x", limit=2), answered.set_result)
            answers.append(await answered)
        calls.close()
        return answers

    answers = asyncio.run(one_after_the_other())
    assert [(answer.status, answer.body, answer.error) for answer in answers] == [(200, b"ok", None)] * 3
    assert server.connections == 1


def test_an_endless_answer_ends_at_the_limit(call: Call, serve: Callable[..., Server]) -> None:
    server = serve(_endless(b"HTTP/1.1 200 OK\r\n\r\n", b"more" * 1000))
    answer = call(Request(server.url(), limit=16_384), OPEN)
    assert (answer.status, len(answer.body), answer.error) == (200, 16_384, None)


@pytest.mark.parametrize(
    "behave",
    [
        _says(b"HTTP/1.1 200 OK\r\n" + b"X-Flood: 0123456789\r\n" * 1000 + b"Content-Length: 2\r\n\r\nok"),
        _says(b"HTTP/1.1 200 OK\r\nX-Flood: " + b"0" * 20_000 + b"\r\nContent-Length: 2\r\n\r\nok"),
        _endless(b"HTTP/1.1 200 OK\r\n", b"X-Flood: 0123456789\r\n"),
        _endless(b"HTTP/1.1 200 OK\r\nX-Flood: ", b"0" * 100_000),
    ],
    ids=["many", "long", "endless", "endless line"],
)
def test_a_flood_of_headers_is_an_error(call: Call, serve: Callable[..., Server], behave: Behave) -> None:
    answer = call(Request(serve(behave).url()), OPEN)
    assert (answer.error, answer.body) == ("answer's headers are over 16384 bytes", b"")


def test_what_is_neither_header_nor_body_has_its_bound_too(serve: Callable[..., Server]) -> None:
    """libcurl reads a chunk's extension to its end and tells nobody; at 300 MB/s it leaves nothing to other calls."""
    sent = 0

    def extends(connection: socket.socket, _request: bytes, over: threading.Event) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        while not over.is_set():
            sent += connection.send(b"x" * 100_000)

    first, kept = _calls(OPEN, Request(serve(extends).url(), b"x", seconds=10), Request(serve(OK).url(), b"x"))
    assert (first.status, first.error) == (200, "what the server sends is no answer, and has no end")
    assert sent < 100_000_000
    assert kept.status == 200


@pytest.mark.parametrize(
    ("behave", "status"),
    [
        (_endless(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b".", 0.02), 200),
        (_endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.02), 200),
        (_endless(b"", b"", 0.02), None),
    ],
    ids=["body", "headers", "nothing"],
)
def test_a_slow_drip_does_not_outlast_the_deadline(
    call: Call, serve: Callable[..., Server], behave: Behave, status: int | None
) -> None:
    answer = call(Request(serve(behave).url(), seconds=0.3), OPEN)
    assert answer.error is not None
    assert answer.error.startswith("Operation timed out after 3")
    assert answer.status == status
    assert len(answer.body) < 1000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(call: Call, serve: Callable[..., Server], status: int) -> None:
    target = serve(OK)
    location = target.url("/elsewhere").encode()
    server = serve(b"HTTP/1.1 %d Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location))
    answer = call(Request(server.url()), OPEN)
    assert (answer.status, answer.error, target.connections) == (status, None, 0)


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("127.0.0.1", "127.0.0.1 is refused: loopback"),
        ("127.1", "127.0.0.1 is refused: loopback"),
        ("2130706433", "127.0.0.1 is refused: loopback"),
        ("0x7f.0.0.1", "127.0.0.1 is refused: loopback"),
        ("0177.0.0.1", "127.0.0.1 is refused: loopback"),
        ("0.0.0.0", "0.0.0.0 is refused: this network"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1 is refused: IPv4-mapped"),
        ("169.254.169.254", "169.254.169.254 is refused: link-local"),
        ("user:password@127.0.0.1", "127.0.0.1 is refused: loopback"),
    ],
)
def test_a_private_address_is_refused_however_it_is_spelled(
    call: Call, serve: Callable[..., Server], host: str, refused: str
) -> None:
    server = serve(OK)
    answer = call(Request(server.url(host=host)), Guard())
    assert (answer.status, answer.error, server.connections) == (None, f"address {refused}", 0)


def test_a_name_that_leads_to_a_private_address_is_refused(call: Call, serve: Callable[..., Server]) -> None:
    server = serve(OK)
    answer = call(Request(server.url(host="localhost")), Guard())
    assert (answer.status, server.connections) == (None, 0)
    assert answer.error in {"address 127.0.0.1 is refused: loopback", "address ::1 is refused: loopback"}


def test_of_a_name_with_an_address_that_is_allowed_it_is_told_what_came_of_that(call: Call) -> None:
    """`localhost` is both here and on most machines; where it is one of them alone, that is told alone."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = call(Request(f"http://localhost:{port}/in"), OPEN).error or ""
    assert re.match(r"Failed to connect to localhost.*", error), error
    assert "is refused" not in error or error.endswith("(address ::1 is refused: loopback)")


def test_what_the_operator_allows_is_called_and_nothing_beside_it(call: Call, serve: Callable[..., Server]) -> None:
    server = serve(OK)
    assert call(Request(server.url()), Guard(allow=(ip_network("127.0.0.1/32"),))).status == 200
    beside = call(Request(server.url(host="127.0.0.2")), Guard(allow=(ip_network("127.0.0.1/32"),)))
    assert beside.error == "address 127.0.0.2 is refused: loopback"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:22/", "port 22 is refused"),
        ("https://127.0.0.1:25/", "port 25 is refused"),
        ("http://127.0.0.1:0/", "port 0 is refused"),
        ("http://127.0.0.1:99999/", "address is not a URL: Port out of range 0-65535"),
        ("http://127.0.0.1:x/", None),
        ("http://[::1/", "address is not a URL: Invalid IPv6 URL"),
        ("ftp://127.0.0.1/", "address is not an http or https URL"),
        ("file:///etc/hostname", "address is not an http or https URL"),
        ("gopher://127.0.0.1/", "address is not an http or https URL"),
        ("http:///in", "address is not an http or https URL"),
        ("127.0.0.1:8080/in", "address is not an http or https URL"),
        ("", "address is not an http or https URL"),
    ],
)
def test_an_address_that_can_t_be_called_says_why(call: Call, url: str, error: str | None) -> None:
    answer = call(Request(url), OPEN)
    assert answer.status is None
    assert answer.error is not None
    assert error in {None, answer.error}


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"Retry-After: 120", "120"),
        (b"retry-after:120", "120"),
        (b"RETRY-AFTER: \t Fri, 20 Mar 2026 09:57:00 GMT  ", "Fri, 20 Mar 2026 09:57:00 GMT"),
        (b"Retry-After: \xff", "\xff"),
        (b"Retry-After:", ""),
        (b"X-Retry-After: 120", None),
    ],
)
def test_a_retry_after_is_kept(call: Call, serve: Callable[..., Server], header: bytes, kept: str | None) -> None:
    server = serve(b"HTTP/1.1 503 Busy\r\n%s\r\nContent-Length: 0\r\n\r\n" % header)
    answer = call(Request(server.url()), OPEN)
    assert (answer.status, answer.retry_after) == (503, kept)


def test_a_compressed_answer_is_left_as_it_is(call: Call, serve: Callable[..., Server]) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    answer = call(Request(server.url()), OPEN)
    assert (answer.status, answer.body, answer.error) == (200, bomb, None)
    assert b"accept-encoding" not in server.requests[0].lower()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"])
def test_the_proxies_of_the_environment_are_not_ours(
    call: Call, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    proxy, server = serve(OK), serve(OK)
    monkeypatch.setenv(name, proxy.url(""))
    assert call(Request(server.url()), OPEN).status == 200
    assert (len(server.requests), proxy.connections) == (1, 0)


def test_a_proxy_of_the_operator_takes_every_call(call: Call, serve: Callable[..., Server]) -> None:
    proxy = serve(OK)
    guard = Guard(proxy=proxy.url(""))
    assert call(Request("http://shop.example/in"), guard).status == 200
    assert proxy.requests[0].startswith(b"GET http://shop.example/in HTTP/1.1\r\n")
    for host in ("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "a.localhost", "127.0.0.1."):
        refused = call(Request(f"http://{host}/in"), guard)
        assert (refused.error, len(proxy.requests)) == ("address 127.0.0.1 is refused: loopback", 1)
    allowed = Guard((ip_network("127.0.0.0/8"),), proxy.url(""))
    assert call(Request("http://127.1/in"), allowed).status == 200


def test_a_proxy_is_asked_by_name_so_where_it_leads_is_the_proxy_s_to_guard(
    call: Call, serve: Callable[..., Server]
) -> None:
    proxy = serve(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    answer = call(Request("https://leads-anywhere.example/in"), Guard(proxy=proxy.url("")))
    assert proxy.requests[0].startswith(b"CONNECT leads-anywhere.example:443 HTTP/1.1\r\n")
    assert answer.error is not None
    assert "403" in answer.error


@pytest.mark.parametrize(
    ("behave", "status", "error"),
    [
        (_resets, None, "Recv failure: Connection reset by peer"),
        (_closes_after(b""), None, "Empty reply from server"),
        (_closes_after(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), 200, ".*96 bytes"),
        (_closes_after(b"SSH-2.0-OpenSSH_9.6\r\n"), None, "Received HTTP/0.9 when not allowed"),
    ],
    ids=["reset", "nothing", "half", "another protocol"],
)
def test_a_server_that_does_not_answer_says_how(
    call: Call, serve: Callable[..., Server], behave: Behave, status: int | None, error: str
) -> None:
    answer = call(Request(serve(behave).url(), seconds=10), OPEN)
    assert answer.error is not None
    assert re.match(error, answer.error)
    assert answer.status == status


@pytest.mark.parametrize("ends", [_resets, _closes_after(b"")], ids=["reset", "nothing"])
def test_a_post_is_made_once_also_where_a_kept_connection_ends_without_an_answer(
    serve: Callable[..., Server], ends: Behave
) -> None:
    """libcurl would make it again at once, five times: POSTs that no attempt tells of."""

    def answers_what_is_well(connection: socket.socket, request: bytes, over: threading.Event) -> None:
        (_says(OK) if request.endswith(b"well") else ends)(connection, request, over)

    server = serve(answers_what_is_well)

    async def story() -> list[Answer]:
        calls, answers = Calls(OPEN), list[Answer]()
        for burst in ([b"well"] * 6, [b"ill"], [b"well"]):
            waiting = [asyncio.get_running_loop().create_future() for _ in burst]
            for body, answered in zip(burst, waiting, strict=True):
                calls.start(Request(server.url(), body), answered.set_result)
            answers += await asyncio.gather(*waiting)
        calls.close()
        return answers

    *well, ill, after = asyncio.run(story())
    assert [one.status for one in [*well, after]] == [200] * 7
    assert (ill.status, ill.error) == (None, "the server ended a kept connection without an answer")
    assert len(server.requests) == 8


@pytest.mark.parametrize(
    "says", [b"", b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", OK], ids=["nothing", "gone", "ok"]
)
@pytest.mark.parametrize("closes", [True, False], ids=["closes", "stays"])
def test_what_a_server_does_after_its_answer_is_no_answer_to_the_next_post(
    serve: Callable[..., Server], says: bytes, closes: bool
) -> None:
    """libcurl does not look at a connection that it used within a second: it would send into it, and read that."""
    did = threading.Semaphore(0)

    def answers_and_goes_on(connection: socket.socket, _request: bytes, _over: threading.Event) -> None:
        connection.sendall(OK)
        time.sleep(0.05)  # the answer is read by itself
        connection.sendall(says)
        if closes:
            connection.shutdown(socket.SHUT_RDWR)
        did.release()

    server = serve(answers_and_goes_on)

    async def story() -> list[Answer]:
        calls, answers = Calls(OPEN), []
        for number in range(3):
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            calls.start(Request(server.url(), b"n=%d" % number), answered.set_result)
            answers.append(await answered)
            await asyncio.to_thread(did.acquire, timeout=2)
        calls.close()
        return answers

    answers = asyncio.run(story())
    assert [(answer.status, answer.error) for answer in answers] == [(200, None)] * 3
    assert [request[-3:] for request in server.requests] == [b"n=0", b"n=1", b"n=2"]


def test_a_connection_is_not_kept_for_ever_though_it_is_used(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name may lead to another server by now."""
    monkeypatch.setattr("pipeline.outbound.LIFETIME_SECONDS", 1)
    server = serve(OK)

    async def story() -> list[int]:
        calls, connections = Calls(OPEN), []
        for pause in (0.2, 2.0, 0.0):
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            calls.start(Request(server.url(), b"x"), answered.set_result)
            await answered
            connections.append(server.connections)
            await asyncio.sleep(pause)
        calls.close()
        return connections

    assert asyncio.run(story()) == [1, 1, 2]


def test_where_nobody_listens_the_error_says_so(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    answer = call(Request(f"http://127.0.0.1:{port}/"), OPEN)
    assert answer.status is None
    assert answer.error is not None
    assert re.match(rf"Failed to connect to 127\.0\.0\.1( port |:){port} ", answer.error)
    assert answer.timings.first_byte == 0, "there was none"


def test_a_name_that_does_not_exist_is_an_error(call: Call) -> None:
    answer = call(Request("http://nowhere.invalid/"), OPEN)
    assert answer.status is None
    assert answer.error is not None
    assert "nowhere.invalid" in answer.error


def test_a_call_leaves_nothing_to_the_next_on_its_handle(serve: Callable[..., Server]) -> None:
    busy = serve(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nbusy")
    fine = serve(b"HTTP/1.1 204 Fine\r\n\r\n")

    async def one_after_the_other() -> list[Answer]:
        calls, answers = Calls(OPEN), []
        for request in (
            Request(busy.url(), b"secret", (("Authorization", "Basic eA=="),), limit=2),
            Request("http://127.0.0.1:22/"),
            Request(fine.url()),
            Request(fine.url(), b""),
        ):
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            calls.start(request, answered.set_result)
            answers.append(await answered)
        calls.close()
        return answers

    answers = asyncio.run(one_after_the_other())
    assert [(one.status, one.body, one.error, one.retry_after) for one in answers] == [
        (503, b"bu", None, "120"),
        (None, b"", "port 22 is refused", None),
        (204, b"", None, None),
        (204, b"", None, None),
    ]
    get, post = fine.requests
    assert get.startswith(b"GET /in HTTP/1.1\r\n")
    assert b"authorization" not in (get + post).lower()
    assert post.startswith(b"POST /in HTTP/1.1\r\n")
    assert b"Content-Length: 0\r\n" in post


def test_many_calls_at_once_each_get_their_own_answer(serve: Callable[..., Server]) -> None:
    def echo(connection: socket.socket, request: bytes, _over: threading.Event) -> None:
        body = request.partition(b"\r\n\r\n")[2]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server = serve(echo)
    answers = _calls(OPEN, *(Request(server.url(), b"%d" % number) for number in range(60)))
    assert [answer.body for answer in answers] == [b"%d" % number for number in range(60)]


def test_one_that_hangs_delays_no_other(serve: Callable[..., Server]) -> None:
    slow, fast = serve(_endless(b"", b"", 0.02)), serve(OK)
    finished: list[int | None] = []

    async def both() -> None:
        calls, loop = Calls(OPEN), asyncio.get_running_loop()
        over = loop.create_future()

        def done(answer: Answer) -> None:
            finished.append(answer.status)
            if len(finished) == 2:
                over.set_result(None)

        calls.start(Request(slow.url(), seconds=0.5), done)
        calls.start(Request(fast.url()), done)
        await over
        calls.close()

    asyncio.run(both())
    assert finished == [200, None]


def test_after_close_nobody_is_told(serve: Callable[..., Server]) -> None:
    told: list[Answer] = []

    async def give_up() -> None:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        server = serve(lambda *_: loop.call_soon_threadsafe(reached.set))
        calls = Calls(OPEN)
        calls.start(Request(server.url()), told.append)
        await reached.wait()
        calls.close()
        await asyncio.sleep(0)

    asyncio.run(give_up())
    assert told == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "shop.pem"
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption()))
    return path


def test_a_certificate_is_verified(
    call: Call, serve: Callable[..., Server], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve(_says(OK), lambda connection: context.wrap_socket(connection, server_side=True))
    unknown = call(Request(server.url(scheme="https")), OPEN)
    assert (unknown.status, server.requests) == (None, [])
    assert unknown.error is not None
    assert "certificate" in unknown.error
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    answer = call(Request(server.url(scheme="https")), OPEN)
    assert (answer.status, answer.error) == (200, None)
    assert answer.timings.tls > 0


def test_a_proxy_s_certificate_is_verified_by_the_same_authorities(
    call: Call, serve: Callable[..., Server], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    proxy = serve(_says(OK), lambda connection: context.wrap_socket(connection, server_side=True))
    guard = Guard(proxy=proxy.url("", scheme="https"))
    unknown = call(Request("http://shop.example/in"), guard)
    assert (unknown.status, proxy.requests) == (None, [])
    assert "certificate" in (unknown.error or "")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert call(Request("http://shop.example/in"), guard).status == 200
