"""Sockets are told of while libcurl waits for them and no longer, though their numbers come again and again."""

import asyncio
import contextlib
import fcntl
import os
import re
import select
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pycurl
import pytest
import uvloop

from pipeline.calls import Calls
from pipeline.outbound import Answer, Request
from pipeline.sockets import Polled, Watched
from tests.test_outbound import OK, OPEN, Server, _closes_after, _endless, serve

Kind = type[Polled] | type[Watched]
Pair = tuple[socket.socket, socket.socket]
IN, OUT, REMOVE = pycurl.POLL_IN, pycurl.POLL_OUT, pycurl.POLL_REMOVE
DESCRIPTORS = Path("/proc/self/fd")

__all__ = ["serve"]


@pytest.fixture(params=[Polled, Watched])
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param is Polled and not hasattr(select, "epoll"):
        pytest.skip("no epoll here")
    chosen: Kind = request.param
    return chosen


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as made:
        yield made


class Told:
    """What is said to be ready, turn by turn of the event loop."""

    def __init__(self, kind: Kind) -> None:
        self.ready: list[tuple[int, int]] = []
        self.sockets = kind(asyncio.get_running_loop(), self._act)
        self.then: Callable[[], None] = lambda: None  # what libcurl does of each

    def _act(self, ready: Iterable[tuple[int, int]]) -> None:
        for one in ready:
            self.ready.append(one)
            self.then()

    async def in_turns(self, count: int = 5) -> list[tuple[int, int]]:
        """What was said in so many turns."""
        self.ready.clear()
        for _ in range(count):
            await asyncio.sleep(0.001)
        return list(self.ready)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(one) for one in socket.socketpair())
        yield ours, theirs


def test_a_socket_is_told_of_for_as_long_as_it_is_ready_and_waited_for(
    kind: Kind, runner: asyncio.Runner, pair: Pair
) -> None:
    ours, theirs = pair
    fd = ours.fileno()

    async def story() -> None:
        told = Told(kind)
        told.sockets.want(IN, fd)
        assert fd in told.sockets
        assert await told.in_turns() == []
        theirs.send(b"more than is read at once")
        found = await told.in_turns()
        assert len(found) > 1
        assert set(found) == {(fd, pycurl.CSELECT_IN)}
        told.sockets.want(OUT, fd)
        assert set(await told.in_turns()) == {(fd, pycurl.CSELECT_OUT)}
        told.sockets.want(pycurl.POLL_INOUT, fd)
        ways = {way for _, way in await told.in_turns()}
        assert ways in ({pycurl.CSELECT_IN | pycurl.CSELECT_OUT}, {pycurl.CSELECT_IN, pycurl.CSELECT_OUT})
        told.sockets.want(REMOVE, fd)
        assert fd not in told.sockets
        assert await told.in_turns() == []
        told.sockets.want(IN, fd)
        assert set(await told.in_turns()) == {(fd, pycurl.CSELECT_IN)}
        told.sockets.close()

    runner.run(story())


def test_of_a_socket_whose_other_end_went_away_he_is_told_who_waits_for_it(
    kind: Kind, runner: asyncio.Runner, pair: Pair
) -> None:
    ours, theirs = pair
    fd = ours.fileno()

    async def story() -> None:
        told = Told(kind)
        told.sockets.want(IN, fd)
        theirs.close()
        assert set(await told.in_turns()) == {(fd, pycurl.CSELECT_IN)}
        told.sockets.want(REMOVE, fd)
        assert await told.in_turns() == [], "a connection that is kept, and that its server closed, wakes nobody"
        told.sockets.close()

    runner.run(story())


def test_the_event_loop_rests_though_a_kept_connection_is_ready(runner: asyncio.Runner, pair: Pair) -> None:
    ours, theirs = pair

    async def story() -> int:
        woken = 0

        def act(ready: Iterable[tuple[int, int]]) -> None:
            nonlocal woken
            woken += 1
            assert list(ready) == []

        sockets = Polled(asyncio.get_running_loop(), act)
        sockets.want(IN, ours.fileno())
        sockets.want(REMOVE, ours.fileno())  # no event came: it is in the epoll still
        theirs.close()
        for _ in range(10):
            await asyncio.sleep(0.001)
        sockets.close()
        return woken

    assert runner.run(story()) == 1


def test_a_number_that_comes_again_is_another_socket(kind: Kind, runner: asyncio.Runner, pair: Pair) -> None:
    ours, _theirs = pair
    fd = fcntl.fcntl(ours, fcntl.F_DUPFD, 500)

    async def story() -> None:
        told = Told(kind)
        told.sockets.want(IN, fd)
        told.sockets.want(REMOVE, fd)
        os.close(fd)
        for _ in range(3):
            mine, other = socket.socketpair()
            with mine, other:
                assert os.dup2(mine.fileno(), fd) == fd
                told.sockets.want(IN, fd)
                assert await told.in_turns() == []
                other.send(b"x")
                assert set(await told.in_turns()) == {(fd, pycurl.CSELECT_IN)}
                told.sockets.want(REMOVE, fd)
                os.close(fd)
        told.sockets.close()

    runner.run(story())


def test_nobody_is_told_of_what_the_one_before_it_took_away(runner: asyncio.Runner, kind: Kind, pair: Pair) -> None:
    async def story() -> None:
        told = Told(kind)

        def take_all_away() -> None:
            for one in pair:
                told.sockets.want(REMOVE, one.fileno())

        told.then = take_all_away
        for one in pair:
            told.sockets.want(OUT, one.fileno())
        assert len(await told.in_turns()) == 1
        told.sockets.close()

    runner.run(story())


def _run(runner: asyncio.Runner, kind: Kind, story: Callable[[Calls], Coroutine[None, None, None]]) -> None:
    async def with_calls() -> None:
        calls = Calls(OPEN, kind)
        try:
            await story(calls)
        finally:
            calls.close()

    runner.run(with_calls())


def _begun(calls: Calls, request: Request) -> "asyncio.Future[Answer]":
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    calls.start(request, answered.set_result)
    return answered


async def _all_closed(server: Server) -> None:
    while server.open:  # noqa: ASYNC110 (other threads close them)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_new_connections_under_old_numbers_are_all_answered(
    kind: Kind, runner: asyncio.Runner, serve: Callable[..., Server], host: str
) -> None:
    """The server closes each connection that libcurl means to keep, so a number stands for one after the other.

    A name is asked on a thread of libcurl's, whose own descriptors come between them.
    """
    server = serve(_closes_after(OK))
    numbers: set[int] = set()

    class Counting(kind):  # type: ignore[misc, valid-type]
        def want(self, event: int, fd: int, multi: object = None, data: object = None) -> None:
            numbers.add(fd)
            super().want(event, fd, multi, data)

    async def story(calls: Calls) -> None:
        for count in (1, 7, 2, 5) * 8:
            answers = [_begun(calls, Request(server.url(host=host), b"x", seconds=10)) for _ in range(count)]
            # That a kept connection died under it is an answer too; who hears nothing of his socket has none in time.
            errors = [one.error or "" for one in await asyncio.gather(*answers)]
            assert [error for error in errors if error and "ended a kept connection" not in error] == []
            await _all_closed(server)

    _run(runner, Counting, story)
    assert server.connections > 2 * len(numbers)


def _took(answer: Answer) -> int:
    """After how many milliseconds it was given up."""
    found = re.match(r"Operation timed out after (\d+) milliseconds", answer.error or "")
    assert found is not None, answer
    return int(found[1])


def test_the_one_whose_time_is_up_first_ends_first(
    kind: Kind, runner: asyncio.Runner, serve: Callable[..., Server]
) -> None:
    hangs, answers = serve(_endless(b"", b"", 0.02)), serve(OK)

    async def story(calls: Calls) -> None:
        long = _begun(calls, Request(hangs.url(), seconds=60))
        assert (await _begun(calls, Request(answers.url()))).status == 200
        assert 200 <= _took(await _begun(calls, Request(hangs.url(), seconds=0.2))) < 5_000
        assert not long.done()

    _run(runner, kind, story)


def test_one_ends_in_its_time_though_another_was_to_end_earlier_and_was_answered(
    kind: Kind, runner: asyncio.Runner, serve: Callable[..., Server]
) -> None:
    hangs, answers = serve(_endless(b"", b"", 0.02)), serve(OK)

    async def story(calls: Calls) -> None:
        quick, slow = _begun(calls, Request(answers.url(), seconds=1)), _begun(calls, Request(hangs.url(), seconds=1.2))
        assert (await quick).status == 200
        assert 1_200 <= _took(await slow) < 5_000

    _run(runner, kind, story)


class Hasty(asyncio.SelectorEventLoop):
    """Its timers come early, and don't know for when they were set: as uvloop's where that is at once."""

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        timer = super().call_at(when - 0.05, callback, *args, context=context)
        return SimpleNamespace(cancel=timer.cancel)


def test_a_timer_that_comes_early_is_set_again(kind: Kind, serve: Callable[..., Server]) -> None:
    hangs, answers = serve(_endless(b"", b"", 0.02)), serve(OK)

    async def story(calls: Calls) -> None:
        slow = list[asyncio.Future[Answer]]()
        for seconds in (2, 1, 0.2):
            slow.append(_begun(calls, Request(hangs.url(), seconds=seconds)))
            assert (await _begun(calls, Request(answers.url()))).status == 200
        took = [_took(one) for one in await asyncio.gather(*slow)]
        assert [least for one, least in zip(took, (2_000, 1_000, 200), strict=True) if not least <= one < 5_000] == []

    with asyncio.Runner(loop_factory=Hasty) as runner:
        _run(runner, kind, story)


def test_one_that_is_told_and_fails_takes_no_other_along(
    kind: Kind, runner: asyncio.Runner, serve: Callable[..., Server]
) -> None:
    server, faults = serve(OK), list[object]()

    async def story(calls: Calls) -> None:
        loop, failed = asyncio.get_running_loop(), asyncio.Event()

        def fails(_answer: Answer) -> None:
            raise ArithmeticError

        def fault(_loop: object, told: dict[str, object]) -> None:
            faults.append(told["exception"])
            if len(faults) == 5:
                failed.set()

        loop.set_exception_handler(fault)
        for _ in range(5):
            calls.start(Request(server.url()), fails)
        others = [_begun(calls, Request(server.url())) for _ in range(5)]
        assert [one.status for one in await asyncio.gather(*others)] == [200] * 5
        await failed.wait()

    _run(runner, kind, story)
    assert [type(fault) for fault in faults] == [ArithmeticError] * 5


def test_whoever_is_told_may_begin_more_or_close_all(
    kind: Kind, runner: asyncio.Runner, serve: Callable[..., Server]
) -> None:
    server = serve(OK)

    async def story() -> int:
        calls, told = Calls(OPEN, kind), 0
        over = asyncio.get_running_loop().create_future()

        def done(_answer: Answer) -> None:
            nonlocal told
            told += 1
            if told == 20:
                calls.close()
                over.set_result(None)
            else:
                calls.start(Request(server.url()), done)

        for _ in range(5):
            calls.start(Request(server.url()), done)
        await over
        await asyncio.sleep(0.01)  # what libcurl had asked for is not done any more
        return told

    assert runner.run(story()) == 20


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="descriptors can't be counted here")
def test_nothing_is_left_open(kind: Kind, runner: asyncio.Runner, serve: Callable[..., Server]) -> None:
    server, counts = serve(OK), list[int]()

    async def story(calls: Calls) -> None:
        assert (await _begun(calls, Request(server.url()))).status == 200

    for _ in range(4):
        _run(runner, kind, story)
        runner.run(_all_closed(server))
        counts.append(len(list(DESCRIPTORS.iterdir())))
    assert len(set(counts)) == 1
