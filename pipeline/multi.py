"""Many calls at once on an event loop: libcurl's multi interface, which tells what sockets and times it waits for."""

import asyncio
import contextlib
import math
import os
import socket
import sys
from collections.abc import Callable, Iterable

import pycurl

from pipeline.kept import Kept
from pipeline.outbound import Answer, Guard, Handle, Request
from pipeline.sockets import Polled, Watched

KEPT_CONNECTIONS = 1_000
PIECES = 4  # of an answer, after which, and after as many more each time, it is looked how large it is
MOST_RECEIVED = 4 * 2**20  # bytes of it: what is neither header nor body, a chunk's extension say, nothing else bounds
EARLY_SECONDS = 0.001  # an event loop's timer may come so much before its time
TIME = ((pycurl.SOCKET_TIMEOUT, 0),)


class Multi:
    """One libcurl, with its connections and names; it is never called from one of its own callbacks."""

    def __init__(self, guard: Guard, sockets: type[Polled] | type[Watched], lost: set[str]) -> None:
        self._guard = guard
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._kept = Kept()
        self._idle: list[Handle] = []
        self._done: dict[pycurl.Curl, tuple[Handle, str, Callable[[Answer], None]]] = {}
        self._due = math.inf  # when libcurl wants to be called though nothing happens
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf  # when that comes: then, or earlier
        self._soon: asyncio.Handle | None = None  # where that is now
        self._left: set[int] = set()  # sockets that are looked at once more
        self._http2: set[str] = set()  # addresses that were answered over it
        self._received: dict[int, int] = {}  # how much had come by a socket when it was looked at first
        self._heard: dict[int, float] = {}  # when the last answer came of an HTTP/2 connection, by its socket
        self._sockets = sockets(self._loop, self._act)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_CONNECTIONS)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._sockets.want)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def __len__(self) -> int:
        return len(self._done)

    def start(self, request: Request, done: Callable[[Answer], None]) -> None:
        """As Calls'."""
        handle = self._idle.pop() if self._idle else Handle(self._guard, self._kept)
        if refused := handle.prepare(request):
            self._idle.append(handle)
            self._loop.call_soon(done, Answer(error=refused))
            return
        # Over HTTP/2 what is sent once more is mostly what the server says it did not look at (REFUSED_STREAM, GOAWAY).
        handle.repeats = request.body is None or request.url in self._http2
        self._done[handle.curl] = handle, request.url, done
        self._multi.add_handle(handle.curl)  # libcurl sets its timer to 0, which starts it

    def close(self) -> None:
        """As Calls'."""
        for curl in list(self._done):
            self._multi.remove_handle(curl)
        self._done.clear()
        for waiting in (self._timer, self._soon):
            if waiting:
                waiting.cancel()
        self._multi.close()  # says of sockets what it waits for to the last
        self._sockets.close()

    def _set_timer(self, milliseconds: int) -> None:
        """libcurl's word (M_TIMERFUNCTION) on when it wants to be called, in place of its last; never where negative.

        It says so twice a call, and mostly later than before: a timer that is set stays, comes early and is set again.
        """
        if milliseconds == 0:  # not at once: libcurl is calling
            self._due = 0.0
            self._soon = self._soon or self._loop.call_soon(self._now)
            return
        self._due = self._loop.time() + milliseconds / 1000 if milliseconds > 0 else math.inf
        if self._due < self._timer_at:
            self._set()

    def _set(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer_at = self._due
        self._timer = self._loop.call_at(self._due, self._in_time) if self._due < math.inf else None

    def _in_time(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._due - self._loop.time() > EARLY_SECONDS:
            self._set()
        else:
            self._act(TIME)

    def _now(self) -> None:
        self._soon = None
        self._act(TIME)

    def _act(self, ready: Iterable[tuple[int, int]]) -> None:
        """Lets libcurl act on each, then looks once for the calls that came to an end."""
        told = self._sockets.told
        for fd, way in ready:
            self._multi.socket_action(fd, way)
            if way & pycurl.CSELECT_IN:
                told[fd] = pieces = told.get(fd, 0) + 1
                if pieces % PIECES == 0 and self._endless(fd, first=pieces == PIECES):
                    self._cut(fd)
        _, well, badly = self._multi.info_read()
        for curl in well:
            self._finish(curl)
        for curl, code, message in badly:
            self._finish(curl, code, message)

    def _finish(self, curl: pycurl.Curl, code: int = 0, message: str = "") -> None:
        if curl not in self._done:
            return  # the one before closed all
        if self._done[curl][0].stale:
            self._multi.remove_handle(curl)
            self._done[curl][0].again()
            self._multi.add_handle(curl)  # the next kept connection, or a new one
            return
        handle, url, done = self._done.pop(curl)
        answer = handle.answer(code, message)
        if handle.lost(code):
            self._lost.add(url)
        elif self._lost:
            self._lost.discard(url)
        if handle.turned_away:
            self._http2.add(url)
        fd = curl.getinfo(pycurl.ACTIVESOCKET)  # -1 where the connection is not kept
        if curl.getinfo(pycurl.INFO_HTTP_VERSION) > pycurl.CURL_HTTP_VERSION_1_1:
            self._http2.add(url)
            self._leave(fd)
        elif code == pycurl.E_OPERATION_TIMEDOUT:
            self._doubt(fd, answer.timings.total / 1000)
        elif fd >= 0:
            self._kept.keep(handle.where, fd)
        self._multi.remove_handle(curl)
        handle.rest()
        self._idle.append(handle)
        try:
            done(answer)
        except Exception as wrong:  # noqa: BLE001 (it must not take along those that ended with it)
            self._loop.call_exception_handler({"message": "a fault in what an answer led to", "exception": wrong})

    def _leave(self, fd: int) -> None:
        """Of an HTTP/2 connection libcurl reads no further than to the end of the answer it waits for.

        What it took from the socket beyond that may be another's answer, of which the socket tells no more.
        """
        self._heard[fd] = self._loop.time()
        self._sockets.told.pop(fd, None)
        if fd not in self._left:
            self._left.add(fd)
            self._loop.call_soon(self._look_again, fd)

    def _doubt(self, fd: int, seconds: float) -> None:
        """A call had no answer for so long. Of HTTP/2 libcurl keeps the connection, and sends into it what follows.

        Where nothing else was answered on it meanwhile it is dead, or a server that hangs: it ends, with all on it. An
        HTTP/1.1 connection is closed by now (`fd` is -1).
        """
        if fd >= 0 and self._heard.get(fd, 0.0) <= self._loop.time() - seconds:
            _shut(fd)

    def _endless(self, fd: int, *, first: bool) -> bool:
        """Whether more came than answers are, since the first look; many may share an HTTP/2 connection."""
        received = _received(fd)
        if first:
            self._received[fd] = received
        return received - self._received.get(fd, received) > MOST_RECEIVED

    def _cut(self, fd: int) -> None:
        """What comes there has no end."""
        for curl, (handle, *_) in self._done.items():
            handle.endless |= curl.getinfo(pycurl.ACTIVESOCKET) == fd
        self._sockets.told.pop(fd, None)
        _shut(fd)

    def _look_again(self, fd: int) -> None:
        self._left.discard(fd)
        if fd in self._sockets:
            self._act([(fd, pycurl.CSELECT_IN)])


def _received(fd: int) -> int:
    """How many bytes came by a connection so far; 0 where the system does not say (tcpi_bytes_received)."""
    with contextlib.suppress(OSError, AttributeError), socket.socket(fileno=os.dup(fd)) as wire:
        return int.from_bytes(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)[128:], sys.byteorder)
    return 0


def _shut(fd: int) -> None:
    """Ends a connection of libcurl's, which is told of it by the socket."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as wire:
        wire.shutdown(socket.SHUT_RDWR)
