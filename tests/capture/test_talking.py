"""Connections as clients make them, good and hostile: each request has one answer, in its turn, or its refusal."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture import listening
from pipeline.capture.answer import Request, Response
from pipeline.capture.listening import Ear
from pipeline.capture.talking import AHEAD, BODY_BYTES, HEAD_BYTES, Reply

SECONDS = 20.0


class House:
    """An ear, what it heard, and replies that wait to be called; requests whose path begins with /now have theirs."""

    def __init__(self, connections: int) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.heard: list[Request] = []
        self.owed: list[Reply] = []
        self.clients: list[Client] = []
        self.ear = Ear(self._hear, listener, connections)

    def _hear(self, request: Request, reply: Reply) -> None:
        self.heard.append(request)
        if request.path.startswith("/now"):
            reply(Response(200, (("Content-Type", "text/plain"),), request.path.encode()))
        else:
            self.owed.append(reply)

    async def connect(self) -> "Client":
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds():  # noqa: ASYNC110 (nobody tells of it)
                await asyncio.sleep(0.005)


class Client:
    """The other end of a connection."""

    def __init__(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        self._reading = reading
        self.writing = writing

    def send(self, data: bytes | str) -> None:
        self.writing.write(data if isinstance(data, bytes) else data.encode())

    async def answer(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        async with asyncio.timeout(SECONDS):
            head = (await self._reading.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")[:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            size = 0 if method == "HEAD" else int(headers["content-length"])
            return int(first.split()[1]), headers, await self._reading.readexactly(size)

    async def end(self) -> bytes:
        """What still comes until the other end closes."""
        async with asyncio.timeout(SECONDS):
            with suppress(ConnectionResetError):
                return await self._reading.read()
        return b""


def play(story: Callable[[House], Awaitable[Any]], connections: int = 64) -> House:
    """The story, with an ear that listens meanwhile; all connections are closed at its end."""

    async def run() -> House:
        house = House(connections)
        serving = asyncio.ensure_future(house.ear.serve())
        try:
            await story(house)
        finally:
            house.ear.stop()
            for client in house.clients:
                client.writing.close()
            for reply in house.owed:
                reply(Response(503))
            await asyncio.wait_for(serving, SECONDS)
        return house

    return uvloop.run(run())


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET") -> str:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: t", *headers, "", ""])


def test_a_request_is_heard_with_what_capture_asks_of_it() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(
            get("/now/%41%C3%A9?q=/x", "User-Agent: Thunderbird", "referer: https://mail.example/", "Cookie: a=b",
                "X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 203.0.113.9", "Sec-GPC: 1", "DNT: 0")
        )  # fmt: skip
        status, headers, body = await client.answer()
        assert (status, headers["content-type"], body.decode()) == (200, "text/plain", "/now/Aé")
        assert headers["date"].endswith(" GMT")
        assert "connection" not in headers

    [request] = play(story).heard
    assert abs(request.at.timestamp() - time.time()) < SECONDS
    assert request._replace(at=None) == Request(  # type: ignore[arg-type]
        "GET", "/now/Aé", "127.0.0.1", None, "Thunderbird", "https://mail.example/",  # type: ignore[arg-type]
        ("6.6.6.6", "203.0.113.9"), "t", True, False,
    )  # fmt: skip


def test_a_header_that_is_not_ascii_reads_as_absent_and_the_first_of_a_name_counts() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(b"GET /now HTTP/1.1\r\nHost: a\r\nHost: b\r\nUser-Agent: M\xc3\xa9l\r\nReferer:\r\n\r\n")
        await client.answer()

    [request] = play(story).heard
    assert (request.host, request.useragent, request.referer) == ("a", None, None)


def test_answers_come_in_the_order_of_their_requests_and_one_is_under_way_at_a_time() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1") + get("/now/2") + get("/3"))
        await house.until(lambda: len(house.owed) == 1)
        assert [request.path for request in house.heard] == ["/1"]
        house.owed.pop()(Response(200, (), b"1"))
        assert (await client.answer())[2] == b"1"
        assert (await client.answer())[2] == b"/now/2"
        await house.until(lambda: len(house.owed) == 1)
        house.owed.pop()(Response(200, (), b"3"))
        assert (await client.answer())[2] == b"3"

    play(story)


def test_the_next_request_is_not_heard_inside_the_reply_to_the_one_before() -> None:
    """It may be librdkafka's callback that replies, which must not produce."""

    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1") + get("/2"))
        await house.until(lambda: len(house.owed) == 1)
        house.owed.pop()(Response(200))
        assert len(house.heard) == 1
        await house.until(lambda: len(house.heard) == 2)

    play(story)


def test_thousands_of_requests_may_be_sent_ahead_of_their_answers() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/now") * 5_000)
        for _ in range(5_000):
            assert (await client.answer())[0] == 200

    assert len(play(story).heard) == 5_000


def test_who_sends_ahead_and_reads_nothing_is_not_read_for_ever() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.writing.transport.set_write_buffer_limits(high=0)
        client.send(get("/owed") + get("/now") * AHEAD * 20)
        await house.until(lambda: len(house.owed) == 1)

        async def send() -> None:
            while True:
                client.send(get("/now") * 1_000)
                await client.writing.drain()

        with pytest.raises(TimeoutError):  # its end is full, since ours does not read
            await asyncio.wait_for(send(), 0.5)
        assert len(house.heard) == 1

    play(story)


@pytest.mark.parametrize(
    ("version", "header", "told", "goes_on"),
    [
        ("1.1", "X: y", None, True),
        ("1.1", "Connection: close", "close", False),
        ("1.0", "X: y", "close", False),
        ("1.0", "Connection: keep-alive", "keep-alive", True),
    ],
)
def test_the_connection_goes_on_as_asked(version: str, header: str, told: str | None, goes_on: bool) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/now", header, version=version))
        assert (await client.answer())[1].get("connection") == told
        if goes_on:
            client.send(get("/now"))
            assert (await client.answer())[0] == 200
        else:
            assert await client.end() == b""

    play(story)


def test_head_gets_the_length_and_no_body() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/now", method="HEAD") + get("/now/2"))
        assert (await client.answer("HEAD"))[1]["content-length"] == "4"
        assert (await client.answer())[2] == b"/now/2"

    play(story)


@pytest.mark.parametrize(
    "body",
    [
        "Content-Length: 26\r\n\r\nList-Unsubscribe=One-Click",
        "Transfer-Encoding: chunked\r\n\r\n1a\r\nList-Unsubscribe=One-Click\r\n0\r\n\r\n",
    ],
)
def test_a_body_is_read_and_dropped_and_the_connection_goes_on(body: str) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        for at in range(len(body)):  # byte by byte, and heard once it is whole
            if at == 0:
                client.send("POST /now HTTP/1.1\r\n")
            assert house.heard == []
            client.send(body[at])
        assert (await client.answer())[0] == 200
        client.send(get("/now/2"))
        assert (await client.answer())[2] == b"/now/2"

    assert [request.method for request in play(story).heard] == ["POST", "GET"]


def test_who_waits_for_a_100_gets_it() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send("POST /now HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        async with asyncio.timeout(SECONDS):
            assert await client._reading.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send("ab")
        assert (await client.answer())[0] == 200

    play(story)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"GET / HTTP/0.9\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: t\r\nA: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HEAD_BYTES // 6), 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * HEAD_BYTES + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n" + b"a" * (BODY_BYTES + 1), 413),
    ],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(sent: bytes, status: int) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(sent)
        told, headers, _ = await client.answer()
        assert (told, headers["connection"]) == (status, "close")
        await client.end()
        after = await house.connect()
        after.send(get("/now"))
        assert (await after.answer())[0] == 200

    assert [request.path for request in play(story).heard] == ["/now"]


def test_what_was_asked_before_the_noise_is_answered_and_ends_the_connection() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1") + "noise\r\n\r\n")
        await house.until(lambda: len(house.owed) == 1)
        house.owed.pop()(Response(200, (), b"1"))
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (200, "close", b"1")
        assert await client.end() == b""

    play(story)


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("http://else.example/now?x", "/now"),
        ("http://else.example", "/"),
        ("*", "*"),
        ("//now", "//now"),
        ("/now/../x", "/now/../x"),
        ("/%2", "/%2"),
        ("/%ff", "/\ufffd"),
        ("/a%00b", "/a\0b"),
    ],
)
def test_paths_are_percent_decoded_and_nothing_else(asked: str, path: str) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get(asked))
        await house.until(lambda: len(house.heard) == 1)

    assert [request.path for request in play(story).heard] == [path]


def test_what_would_become_another_protocol_is_answered_as_it_is() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/now", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        tunnel = await house.connect()
        tunnel.send("CONNECT else.example:443 HTTP/1.1\r\nHost: else.example:443\r\n\r\nnoise")
        await house.until(lambda: len(house.owed) == 1)
        house.owed.pop()(Response(404))
        assert (await tunnel.answer())[:1] == (404,)
        assert await tunnel.end() == b""

    play(story)


def test_who_closes_his_half_is_answered() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1") + get("/now/2"))
        client.writing.write_eof()
        await house.until(lambda: len(house.owed) == 1)
        house.owed.pop()(Response(200))
        assert "connection" not in (await client.answer())[1]
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.end() == b""

    play(story)


def test_who_is_gone_before_the_answer_does_no_harm() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1"))
        await house.until(lambda: len(house.owed) == 1)
        client.writing.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writing.transport.abort()  # in disorder: by a reset
        await house.until(lambda: not house.ear._talks)
        house.owed.pop()(Response(200))

    play(story)


@contextmanager
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as short:
        short.setattr(listening, "IDLE_SECONDS", 0.3)
        short.setattr(listening, "SWEEP_SECONDS", 0.05)
        yield


@pytest.mark.parametrize("sent", ["", "GET /", get("/now") + "GET /", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na"])
def test_who_keeps_us_waiting_is_left(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        client, owed = await house.connect(), await house.connect()
        owed.send(get("/owed"))
        client.send(sent)
        await client.end()
        assert len(house.ear._talks) == 1, "whom we keep waiting stays"

    with hurried(monkeypatch):
        play(story)


def test_who_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        client = await house.connect()

        async def drip() -> None:
            client.send("GET / HTTP/1.1\r\nA: ")
            while True:
                client.send("a")
                await asyncio.sleep(0.02)

        dripping = asyncio.ensure_future(drip())
        await client.end()
        dripping.cancel()

    with hurried(monkeypatch):
        play(story)


@contextmanager
def deaf(house: House) -> Iterator[None]:
    """A client that asks as long as it can and reads nothing."""
    with socket.create_connection(("127.0.0.1", house.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sock.send((get("/now") * 1_000).encode())
        yield


def test_who_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        with deaf(house):
            await house.until(lambda: len(house.ear._talks) == 1)
            await house.until(lambda: not house.ear._talks)

    with hurried(monkeypatch):
        play(story)


def test_who_does_not_read_holds_nobody_up_at_the_end() -> None:
    async def story(house: House) -> None:
        with deaf(house):
            await house.until(lambda: any(talk._full for talk in house.ear._talks))
            house.ear.stop()
            await house.until(lambda: not house.ear._talks)

    play(story)


def test_no_more_connections_are_taken_than_may_be_and_the_next_waits() -> None:
    async def story(house: House) -> None:
        taken = [await house.connect() for _ in range(2)]
        for client in taken:
            client.send(get("/now"))
            await client.answer()
        late = await house.connect()
        late.send(get("/now/late"))
        taken[0].send(get("/now"))
        await taken[0].answer()
        assert len(house.heard) == 3
        taken[0].writing.close()
        assert (await late.answer())[2] == b"/now/late"

    play(story, connections=2)


def test_who_asks_has_the_place_of_who_keeps_a_connection_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        idle, owed = await house.connect(), await house.connect()
        owed.send(get("/owed"))
        await house.until(lambda: len(house.ear._talks) == 2)
        late = await house.connect()
        late.send(get("/now/late"))
        assert (await late.answer())[2] == b"/now/late"
        assert await idle.end() == b""
        assert len(house.ear._talks) == 2, "whom we keep waiting stays"

    monkeypatch.setattr(listening, "CROWDED_SECONDS", 0.3)
    monkeypatch.setattr(listening, "SWEEP_SECONDS", 0.05)
    play(story, connections=2)


def test_once_it_stops_what_is_asked_is_answered_and_nothing_else_is_heard() -> None:
    async def story(house: House) -> None:
        idle, half, busy = [await house.connect() for _ in range(3)]
        half.send("GET /half")
        busy.send(get("/1") + get("/now/2"))
        await house.until(lambda: len(house.owed) == 1 and len(house.ear._talks) == 3)
        house.ear.stop()
        assert await idle.end() == await half.end() == b""
        house.owed.pop()(Response(200, (), b"1"))
        assert (await busy.answer())[2] == b"1"
        assert (await busy.answer())[1]["connection"] == "close"
        assert await busy.end() == b""

    play(story)


def test_who_sends_ahead_lets_others_have_their_turn() -> None:
    async def story(house: House) -> None:
        many, one = await house.connect(), await house.connect()
        await house.until(lambda: len(house.ear._talks) == 2)
        many.send(get("/now/many") * 5_000)
        one.send(get("/now/one"))
        await one.answer()

    heard = [request.path for request in play(story).heard]
    assert heard.index("/now/one") < 20 * AHEAD


def test_what_is_sent_ahead_is_kept_as_it_came() -> None:
    """A request that is read takes seventeen times its bytes."""

    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/owed") + "GET /now HTTP/1.1\r\n\r\n" * 5_000)
        await house.until(lambda: len(house.owed) == 1)
        [talk] = house.ear._talks
        await house.until(lambda: talk._paused)
        assert len(talk._line) < 20 * AHEAD

    play(story)


@pytest.mark.parametrize(
    "endless", [b"X: " + b"a" * HEAD_BYTES * 4, b"X-Forwarded-For: a\r\n" * 6_000, b"1;" + b"a" * HEAD_BYTES * 4]
)
def test_what_stands_around_a_body_has_an_end_too(endless: bytes) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        chunks = b"" if endless.startswith(b"1;") else b"0\r\n"
        client.send(b"POST /now HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + endless)
        assert (await client.answer())[0] == 413

    assert play(story).heard == []


def test_trailers_are_no_headers() -> None:
    """What a proxy says of its client stands in the head; the client itself may write trailers."""

    async def story(house: House) -> None:
        client = await house.connect()
        client.send(
            "POST /now HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            "X-Forwarded-For: 6.6.6.6\r\nUser-Agent: Trailer\r\nHost: trailer\r\nSec-GPC: 1\r\n\r\n"
        )
        await client.answer()

    [request] = play(story).heard
    assert (request.forwarded, request.useragent, request.host, request.gpc) == (("203.0.113.9",), None, "", False)


def test_white_space_around_a_header_is_none_of_it() -> None:
    """RFC 9110 5.5."""

    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/now", "Sec-GPC:1 \t", "DNT: 1 ", "User-Agent: Thunderbird ", "X-Forwarded-For: \t "))
        await client.answer()

    [request] = play(story).heard
    assert (request.gpc, request.dnt, request.useragent, request.forwarded) == (True, True, "Thunderbird", ("",))


def test_an_answer_that_comes_twice_is_not_the_next_request_s() -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1") + get("/2"))
        await house.until(lambda: len(house.owed) == 1)
        house.owed[0](Response(200, (), b"1"))
        await house.until(lambda: len(house.owed) == 2)
        house.owed[0](Response(200, (), b"1 again"))
        house.owed[1](Response(200, (), b"2"))
        assert (await client.answer())[2] == b"1"
        assert (await client.answer())[2] == b"2"

    play(story)


@pytest.mark.parametrize("then", ["", "noise\r\n\r\n"])
def test_who_reads_late_has_his_answers_although_he_closed_his_half_or_sent_noise(then: str) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        client.send(get("/1") + get("/now"))
        await house.until(lambda: len(house.owed) == 1)
        [talk] = house.ear._talks
        talk.pause_writing()  # as the transport does
        house.owed.pop()(Response(200, (), b"1"))
        client.send(then)
        if not then:
            client.writing.write_eof()
        await house.until(lambda: talk._ending)
        talk.resume_writing()
        assert [(await client.answer())[2] for _ in range(2)] == [b"1", b"/now"]
        assert await client.end() == b""

    play(story)


def test_who_is_gone_before_he_is_taken_has_his_address_still() -> None:
    house = House(64)
    with socket.create_connection(("127.0.0.1", house.port)) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(get("/now").encode())

    async def run() -> None:
        serving = asyncio.ensure_future(house.ear.serve())
        await house.until(lambda: len(house.heard) == 1)
        house.ear.stop()
        await asyncio.wait_for(serving, SECONDS)

    uvloop.run(run())
    assert [request.peer for request in house.heard] == ["127.0.0.1"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_100_is_sent_once_and_never_to_http_1_0(version: str) -> None:
    """RFC 9110 10.1.1."""

    async def story(house: House) -> None:
        client = await house.connect()
        head = get("/now", *["Expect: 100-continue"] * 3, "Content-Length: 1", version=version, method="POST")
        client.send(head + "a")
        if version == "1.1":
            assert await client._reading.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.answer())[0] == 200

    play(story)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([get("/now").encode(), b"\r\n", b"GET /now HTTP/1.1\r\n"])))
def test_whatever_comes_it_lives(pieces: list[bytes]) -> None:
    async def story(house: House) -> None:
        client = await house.connect()
        for piece in pieces:
            client.send(piece)
        client.writing.write_eof()
        await client.end()
        after = await house.connect()
        after.send(get("/now"))
        assert (await after.answer())[0] == 200

    play(story)
