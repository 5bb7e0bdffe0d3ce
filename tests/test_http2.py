"""Connections are kept: over HTTP/2 POSTs share one, over HTTP/1.1 they follow each other; what breaks off is told."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from granian.constants import HTTPModes
from granian.server.embed import Server as Granian

from pipeline.calls import Calls
from pipeline.outbound import Answer, Request
from tests.conftest import free_port
from tests.deliver.test_hostile import Line
from tests.http2 import HTTP_1_1_REQUIRED, REFUSED_STREAM, Behave, Connection, Http2
from tests.test_outbound import OK, OPEN, Server, certificate, serve

SECONDS = 4.0  # shorter than libcurl's own for a connection, which would mend what stands still

__all__ = ["certificate", "serve"]


@pytest.fixture
def http2(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Behave], Http2]]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    made: list[Http2] = []

    def serve(behave: Behave) -> Http2:
        made.append(Http2(certificate, behave))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def _in_turn(url: str, *bursts: int) -> list[list[Answer]]:
    """The answers of bursts of POSTs, each begun when the one before was answered."""

    async def all_of_them() -> list[list[Answer]]:
        calls = Calls(OPEN)
        answers = [await asyncio.gather(*(_post(calls, url, number) for number in range(count))) for count in bursts]
        calls.close()
        return answers

    return asyncio.run(all_of_them())


def _post(calls: Calls, url: str, number: int) -> "asyncio.Future[Answer]":
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    calls.start(Request(url, b"n=%d" % number, seconds=SECONDS), answered.set_result)
    return answered


def _statuses(answers: list[Answer]) -> list[int | None]:
    return [answer.status for answer in answers]


def test_posts_share_one_http2_connection(http2: Callable[[Behave], Http2]) -> None:
    server = http2(Connection.ok)
    _, *more = _in_turn(server.url, 1, 5, 20)
    assert [_statuses(answers) for answers in more] == [[200] * 5, [200] * 20]
    assert server.posts == [26]
    assert {answer.timings.tls for answers in more for answer in answers} == {0.0}, "no handshake but the first"


def test_an_http2_connection_that_fell_silent_gets_no_more_posts(http2: Callable[[Behave], Http2]) -> None:
    """libcurl keeps it after a time-out, and would send all that follows into it."""
    connections: list[Connection] = []

    def falls_silent(connection: Connection, stream: int) -> None:
        if connection not in connections:
            connections.append(connection)
        if stream == 1 or connection is not connections[0]:
            connection.ok(stream)

    server = http2(falls_silent)
    assert list(map(_statuses, _in_turn(server.url, 1, 2, 3))) == [[200], [None] * 2, [200] * 3]


def test_a_post_that_is_not_answered_ends_no_http2_connection_on_which_others_are(
    http2: Callable[[Behave], Http2],
) -> None:
    def answers_all_but_the_second(connection: Connection, stream: int) -> None:
        if len(connection.posts) != 2:
            connection.ok(stream)

    server = http2(answers_all_but_the_second)

    async def story() -> list[int | None]:
        calls = Calls(OPEN)
        first = await _post(calls, server.url, 1)
        slow = _post(calls, server.url, 2)
        await asyncio.wait([slow], timeout=SECONDS / 2)
        third = await _post(calls, server.url, 3)
        answers = [first, await slow, third, await _post(calls, server.url, 4)]
        calls.close()
        return _statuses(answers)

    assert asyncio.run(story()) == [200, None, 200, 200]
    assert server.posts == [4]


def test_posts_to_an_http2_server_are_under_way_at_the_same_time_and_answered_in_any_order(
    http2: Callable[[Behave], Http2],
) -> None:
    """An answer that libcurl took from the socket together with another's is not forgotten until a time is up."""

    def answers_the_last_first(connection: Connection, stream: int) -> None:
        if stream == 1 or len(connection.posts) == 6:
            for one in reversed(connection.posts[1:] or [1]):
                connection.ok(one)

    server = http2(answers_the_last_first)
    assert list(map(_statuses, _in_turn(server.url, 1, 5))) == [[200], [200] * 5]
    assert len(server.connections) == 1


def test_an_http1_server_s_connection_is_kept_too(
    serve: Callable[..., Server], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    plain, secure = serve(OK), serve(OK, lambda one: context.wrap_socket(one, server_side=True))
    for url, server in ((plain.url(), plain), (secure.url(scheme="https"), secure)):
        answers = _in_turn(url, *[1] * 10)
        assert [one.status for [one] in answers] == [200] * 10
        assert (server.connections, len(server.requests)) == (1, 10)


def test_a_goaway_ends_what_the_server_took_and_the_rest_goes_over_another_connection(
    http2: Callable[[Behave], Http2],
) -> None:
    def goes_away(connection: Connection, stream: int) -> None:
        first = server.connections[0] is connection
        if first and stream == 7:
            connection.goaway(last=5)  # 7 and what follows was not looked at
        elif not first or stream <= 5:
            connection.ok(stream)

    server = http2(goes_away)
    assert list(map(_statuses, _in_turn(server.url, 1, 6))) == [[200], [200] * 6]
    assert len(server.connections) > 1


@pytest.mark.parametrize(
    ("code", "answers"), [(0x2, [None, 200, 200, 200]), (REFUSED_STREAM, [200] * 4)], ids=["broken", "refused"]
)
def test_a_stream_that_is_reset_takes_no_other_with_it_and_one_that_was_refused_goes_once_more(
    http2: Callable[[Behave], Http2], code: int, answers: list[int | None]
) -> None:
    server = http2(lambda one, stream: one.reset(stream, code) if stream == 3 else one.ok(stream))
    _, found = _in_turn(server.url, 1, 4)
    assert _statuses(found) == answers
    if code != REFUSED_STREAM:
        assert "reset by server" in str(found[0].error)


def test_what_a_server_refuses_at_its_first_post_is_sent_again_as_it_asks(http2: Callable[[Behave], Http2]) -> None:
    server = http2(lambda one, stream: one.reset(stream, HTTP_1_1_REQUIRED))
    assert list(map(_statuses, _in_turn(server.url, 1, 1))) == [[201], [201]]
    server = http2(lambda one, stream: one.ok(stream) if server.connections[1:] else one.reset(stream, REFUSED_STREAM))
    assert list(map(_statuses, _in_turn(server.url, 1))) == [[200]]


@pytest.mark.parametrize("how", [Connection.cut, Connection.close])
def test_a_connection_that_breaks_in_mid_stream_is_an_error_of_each_post_on_it(
    http2: Callable[[Behave], Http2], how: Callable[[Connection], None]
) -> None:
    def breaks(connection: Connection, stream: int) -> None:
        if connection is server.connections[0] and stream == 1:
            connection.ok(stream)
            return
        connection.begin(stream)
        if connection is not server.connections[0] or len(connection.posts) == 4:
            how(connection)  # a reset may overtake what was sent: then libcurl tries once more, and is told the same

    server = http2(breaks)
    _, found = _in_turn(server.url, 1, 3)
    assert [one.error for one in found if one.error is None] == []
    assert len(found) == 3


def test_what_a_goaway_or_a_reset_cut_off_is_an_attempt_and_comes_again(
    http2: Callable[[Behave], Http2], tmp_path: Path
) -> None:
    """The whole of deliver: each delivery's first POST is broken off in its own way, and the next is taken."""
    broken: dict[str, int] = {"goaway": 0, "reset": 0, "cut": 0}

    def breaks_the_first(name: str) -> Behave:
        def behave(connection: Connection, stream: int) -> None:
            broken[name] += 1
            if broken[name] > 1:
                connection.ok(stream)
                return
            connection.begin(stream)
            match name:
                case "goaway":
                    connection.goaway(stream)
                    connection.close()
                case "reset":
                    connection.reset(stream)
                case _:
                    connection.cut()

        return behave

    line = Line(tmp_path, retry_ladder=(timedelta(seconds=1),))
    for name in broken:
        line.add(name, http2(breaks_the_first(name)).url)
    told = line.histories(2)
    assert {name: [one.outcome for one in each] for name, each in told.items()} == {
        name: ["again", "delivered"] for name in broken
    }
    assert [name for name, each in told.items() if not each[0].error] == []
    assert set(broken.values()) == {2}


async def _says_how(scope: Any, proto: Any) -> None:
    """An RSGI application: over what, and by which connection, it was asked."""
    proto.response_str(200, [], f"{scope.http_version} {scope.client} {(await proto()).decode()}")


@pytest.mark.parametrize(
    ("mode", "version"), [(HTTPModes.auto, "2"), (HTTPModes.http2, "2"), (HTTPModes.http1, "1.1")], ids=lambda one: one
)
def test_a_server_as_customers_run_it_is_spoken_to_as_it_offers_and_over_connections_that_are_kept(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, mode: HTTPModes, version: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port = free_port()
    url = f"https://127.0.0.1:{port}/in"
    server = Granian(_says_how, port=port, http=mode, log_enabled=False, ssl_cert=certificate, ssl_key=certificate)

    async def posts() -> list[Answer]:
        serving = asyncio.create_task(server.serve())
        calls, answers = Calls(OPEN), list[Answer]()
        while not answers or answers[0].status is None:  # until it listens
            answers = [await _post(calls, url, 0)]
        answers += [await _post(calls, url, number) for number in range(1, 5)]
        answers += await asyncio.gather(*(_post(calls, url, number) for number in range(5, 20)))
        calls.close()
        server.stop()  # type: ignore[no-untyped-call]
        await serving
        return answers

    said = [answer.body.decode().split() for answer in asyncio.run(posts())]
    assert [number for _, _, number in said] == [f"n={number}" for number in range(20)]
    assert {over for over, _, _ in said} == {version}
    assert len({client for _, client, _ in said[:5]}) == 1, "one after another"
    assert (len({client for _, client, _ in said}) == 1) == (version == "2"), "and many at a time"
