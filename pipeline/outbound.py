"""Every call to an address that a customer gave goes out here: libcurl, guarded, bounded, never redirected."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import certifi
import pycurl

from pipeline import __version__
from pipeline.guard import literal, port_refusal, refusal
from pipeline.model.deliveries import Timings
from pipeline.settings import Network

USER_AGENT = f"loopwire/{__version__}"
CONNECT_MS = 5_000
HEADERS_LIMIT = 16_384
KEPT_CONNECTIONS = 1_000
LARGE = 65_536  # bytes of a body that an idle handle must not hold on to


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be called: the networks the operator allows, beside the public ones."""

    allow: tuple[Network, ...] = ()
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. A `body` of None is a GET. All of it, the answer's body too, takes at most `seconds`."""

    url: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 15.0
    limit: int = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or an error that says why there is none, or why the body is not all of it.

    `body` is cut at the request's limit, which is no error.
    """

    status: int | None = None
    body: bytes = b""
    error: str | None = None
    retry_after: str | None = None
    timings: Timings = field(default_factory=Timings)


def fetch(url: str, guard: Guard, *, seconds: float, limit: int) -> Answer:
    """One GET, on this thread."""
    handle = Handle(guard)
    try:
        refused = handle.prepare(Request(url, seconds=seconds, limit=limit))
        if refused:
            return Answer(error=refused)
        try:
            handle.curl.perform()
        except pycurl.error as failed:
            return handle.answer(failed.args[0], failed.args[1])
        return handle.answer()
    finally:
        handle.curl.close()


class Handle:
    """One libcurl handle, set up once; `prepare` and `answer` are the two ends of each call it makes."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._body = bytearray()
        self._headers = 0
        self._limit = 0
        self._cut = self._large = False
        self._refused: str | None = None
        self._tried = False
        self._retry_after: str | None = None
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PATH_AS_IS, 1)  # a path is signed, and asked for, as it was typed
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.PROXY, guard.proxy)  # set even if empty: the environment's proxies are not ours
        curl.setopt(pycurl.NOPROXY, "" if guard.proxy else "*")
        # PIPEWAIT stays off: a burst to a new HTTP/1.1 server would wait for its first answer, or time out unsent.
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.USERAGENT, USER_AGENT)
        curl.setopt(pycurl.CAINFO, os.environ.get("SSL_CERT_FILE") or certifi.where())
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, CONNECT_MS)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)

    def prepare(self, request: Request) -> str | None:
        """Makes the handle ready for the call; why it may not be made, where the address itself says so."""
        self._body.clear()
        self._headers, self._limit, self._cut = 0, request.limit, False
        self._refused = self._retry_after = None
        self._tried = False
        if wrong := _unfit(request.url, self._guard):
            return wrong
        try:
            self._set(request)
        except UnicodeError as wrong:
            return f"address or headers are not ASCII: {wrong}"
        return None

    def _set(self, request: Request) -> None:
        curl = self.curl
        curl.setopt(pycurl.URL, request.url)
        curl.setopt(pycurl.TIMEOUT_MS, int(request.seconds * 1000))
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request.headers] + ["Expect:"])
        if request.body is None:
            curl.setopt(pycurl.HTTPGET, 1)
        else:
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDS, request.body)
            self._large = len(request.body) > LARGE

    def rest(self) -> None:
        """Lets go of what it should not keep until its next call."""
        if self._large:
            self.curl.setopt(pycurl.POSTFIELDS, b"")
            self._large = False

    def answer(self, code: int = 0, message: str = "") -> Answer:
        """What the finished call brought; `code` and `message` are libcurl's, 0 where it went well."""
        status = self.curl.getinfo(pycurl.RESPONSE_CODE) or None
        body, error = bytes(self._body), self._error(code, message)
        return Answer(status, body, error, self._retry_after, self._timings())

    def _error(self, code: int, message: str) -> str | None:
        if code == 0 or (self._cut and code == pycurl.E_WRITE_ERROR and self._headers <= HEADERS_LIMIT):
            return None
        if self._headers > HEADERS_LIMIT:
            return f"answer's headers are over {HEADERS_LIMIT} bytes"
        if self._refused and code in {pycurl.E_COULDNT_CONNECT, pycurl.E_OPERATION_TIMEDOUT}:
            # One of its addresses was tried: what came of that is said first.
            return f"{message or 'no connection'} ({self._refused})" if self._tried else self._refused
        return message or f"libcurl error {code}"

    def _timings(self) -> Timings:
        at = self.curl.getinfo
        return Timings(
            dns=at(pycurl.NAMELOOKUP_TIME) * 1000,
            connect=at(pycurl.CONNECT_TIME) * 1000,
            tls=at(pycurl.APPCONNECT_TIME) * 1000,
            first_byte=at(pycurl.STARTTRANSFER_TIME) * 1000,
            total=at(pycurl.TOTAL_TIME) * 1000,
        )

    def _open_socket(self, _purpose: int, address: "pycurl.CurlSockaddr") -> "Opened | int":
        host = address.addr[0] if isinstance(address.addr, tuple) else str(address.addr)
        host = host.decode() if isinstance(host, bytes) else host
        if not self._guard.proxy and (why := refusal(host, self._guard.allow)):
            self._refused = f"address {host} is refused: {why}"
            return int(pycurl.SOCKET_BAD)
        self._tried = True
        return Opened(socket.socket(address.family, address.socktype, address.protocol))

    def _take_body(self, data: bytes) -> int:
        room = self._limit - len(self._body)
        self._body += data[:room]
        if len(data) > room:
            self._cut = True
            return 0  # ends the transfer
        return len(data)

    def _take_header(self, line: bytes) -> int:
        self._headers += len(line)
        if self._headers > HEADERS_LIMIT:
            return 0
        name, _, value = line.partition(b":")
        if name.lower() == b"retry-after":
            self._retry_after = value.strip().decode("latin-1")
        return len(line)


class Opened:
    """A socket for libcurl, which takes a copy of its descriptor: ours is closed as soon as it did."""

    def __init__(self, made: socket.socket) -> None:
        self._made = made
        self.fileno = made.fileno

    def __del__(self) -> None:
        self._made.close()


class Calls:
    """Many calls at once on an event loop: libcurl tells which sockets and timers it waits for."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._loop = asyncio.get_running_loop()
        self._idle: list[Handle] = []
        self._done: dict[pycurl.Curl, tuple[Handle, Callable[[Answer], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[int, int] = {}
        self._left: set[int] = set()  # sockets that are looked at once more
        self._heard: dict[int, float] = {}  # when the last answer came of an HTTP/2 connection, by its socket
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, KEPT_CONNECTIONS)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def __len__(self) -> int:
        return len(self._done)

    def start(self, request: Request, done: Callable[[Answer], None]) -> None:
        """Begins the call; `done` gets its answer on the event loop, never before `start` returns."""
        handle = self._idle.pop() if self._idle else Handle(self._guard)
        if refused := handle.prepare(request):
            self._idle.append(handle)
            self._loop.call_soon(done, Answer(error=refused))
            return
        self._done[handle.curl] = handle, done
        self._multi.add_handle(handle.curl)  # libcurl sets its timer to 0, which starts it

    def close(self) -> None:
        """Gives up what is under way; its `done` is not called."""
        for curl in list(self._done):
            self._multi.remove_handle(curl)
        self._done.clear()
        if self._timer:
            self._timer.cancel()
        for fd in list(self._watched):
            self._unwatch(fd)
        self._multi.close()

    def _watch(self, event: int, fd: int, _multi: object, _data: object) -> None:
        before = self._watched.get(fd, 0)
        now = 0 if event == pycurl.POLL_REMOVE else event
        self._watched[fd] = now
        for bit, add, remove, way in (
            (pycurl.POLL_IN, self._loop.add_reader, self._loop.remove_reader, pycurl.CSELECT_IN),
            (pycurl.POLL_OUT, self._loop.add_writer, self._loop.remove_writer, pycurl.CSELECT_OUT),
        ):
            if now & bit and not before & bit:
                add(fd, self._act, fd, way)
            elif before & bit and not now & bit:
                remove(fd)
        if not now:
            del self._watched[fd]

    def _unwatch(self, fd: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._watch(pycurl.POLL_REMOVE, fd, None, None)

    def _set_timer(self, milliseconds: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if milliseconds >= 0:  # later even if 0: libcurl must not be called from its own callback
            self._timer = self._loop.call_later(milliseconds / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, way: int) -> None:
        self._multi.socket_action(fd, way)
        waiting = 1
        while waiting:
            waiting, well, badly = self._multi.info_read()
            for curl in well:
                self._finish(curl)
            for curl, code, message in badly:
                self._finish(curl, code, message)

    def _finish(self, curl: pycurl.Curl, code: int = 0, message: str = "") -> None:
        handle, done = self._done.pop(curl)
        answer = handle.answer(code, message)
        if curl.getinfo(pycurl.INFO_HTTP_VERSION) > pycurl.CURL_HTTP_VERSION_1_1:
            self._leave(curl.getinfo(pycurl.ACTIVESOCKET))
        elif code == pycurl.E_OPERATION_TIMEDOUT:
            self._doubt(curl.getinfo(pycurl.ACTIVESOCKET), answer.timings.total / 1000)
        self._multi.remove_handle(curl)
        handle.rest()
        self._idle.append(handle)
        done(answer)

    def _leave(self, fd: int) -> None:
        """Of an HTTP/2 connection libcurl reads no further than to the end of the answer it waits for.

        What it took from the socket beyond that may be another's answer, of which the socket tells no more.
        """
        self._heard[fd] = self._loop.time()
        if fd not in self._left:
            self._left.add(fd)
            self._loop.call_soon(self._look_again, fd)

    def _doubt(self, fd: int, seconds: float) -> None:
        """A call had no answer for so long. Of HTTP/2 libcurl keeps the connection, and sends into it what follows.

        Where nothing else was answered on it meanwhile it is dead, or a server that hangs: it ends, with all on it. An
        HTTP/1.1 connection is closed by now (`fd` is -1).
        """
        if fd < 0 or self._heard.get(fd, 0.0) > self._loop.time() - seconds:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    def _look_again(self, fd: int) -> None:
        self._left.discard(fd)
        if fd in self._watched:
            self._act(fd, pycurl.CSELECT_IN)


def _unfit(url: str, guard: Guard) -> str | None:
    """What the address itself says against calling it.

    Behind a proxy the guard has this alone: the proxy resolves names, so it must refuse where they lead.
    """
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
    except ValueError as wrong:
        return f"address is not a URL: {wrong}"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "address is not an http or https URL"
    if why := port_refusal(port):
        return f"{why} is refused"
    if guard.proxy and (address := literal(parts.hostname)) and (why := refusal(address, guard.allow)):
        return f"address {address} is refused: {why}"
    return None
