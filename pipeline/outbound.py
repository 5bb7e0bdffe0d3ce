"""Every call to an address that a customer gave goes out here: libcurl, guarded, bounded, never redirected."""

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import certifi
import msgspec
import pycurl

from pipeline import __version__
from pipeline.guard import literal, port_refusal, refusal
from pipeline.kept import Kept, Where
from pipeline.model.deliveries import Timings
from pipeline.settings import Network

USER_AGENT = f"loopwire/{__version__}"
CONNECT_MS = 5_000
HEADERS_LIMIT = 16_384
TOO_LARGE = 100  # CURLE_TOO_LARGE, which pycurl has no name for: a header's line that has no end
LARGE = 65_536  # bytes of a body that an idle handle must not hold on to
LIFETIME_SECONDS = 300  # of a kept connection: its name may lead elsewhere by now
RETRY_AFTER = b"retry-after:"


@dataclass(frozen=True, slots=True)
class Guard:
    """Which addresses may be called: the networks the operator allows, beside the public ones."""

    allow: tuple[Network, ...] = ()
    proxy: str = ""


class Request(msgspec.Struct, frozen=True):
    """One call. A `body` of None is a GET. All of it, the answer's body too, takes at most `seconds`."""

    url: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 15.0
    limit: int = 16_384


class Answer(msgspec.Struct, frozen=True):
    """What came back: a status, or an error that says why there is none, or why the body is not all of it.

    `body` is cut at the request's limit, which is no error.
    """

    status: int | None = None
    body: bytes = b""
    error: str | None = None
    retry_after: str | None = None
    timings: Timings = Timings()


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

    def __init__(self, guard: Guard, kept: Kept | None = None) -> None:
        self._guard = guard
        self._kept = kept
        self._body = bytearray()
        self._headers = 0
        self._limit = 0
        self._cut = self._large = False
        self._refused: str | None = None
        self._tried = False
        self._opened = self._new = False
        self.turned_away = False  # by an HTTP/2 server, which did not look at it
        self._retry_after: str | None = None
        self._asked = 0
        self.where: Where = ()  # its connection's ends
        self.stale = False  # the connection was of no use any more: nothing was sent, so it can begin again
        self.endless = False  # what its server sends is neither an answer's header nor its body
        self.repeats = True  # libcurl may send a request once more by itself
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
        for whose in (pycurl.CAINFO, pycurl.PROXY_CAINFO):
            curl.setopt(whose, os.environ.get("SSL_CERT_FILE") or certifi.where())
        curl.setopt(pycurl.MAXLIFETIME_CONN, LIFETIME_SECONDS)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, CONNECT_MS)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._ask)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)

    def prepare(self, request: Request) -> str | None:
        """Makes the handle ready for the call; why it may not be made, where the address itself says so."""
        self._body.clear()
        self._headers, self._limit, self._cut = 0, request.limit, False
        self._refused = self._retry_after = None
        self.again()
        if wrong := _unfit(request.url) or (self._guard.proxy and _unfit_behind_proxy(request.url, self._guard)):
            return wrong
        try:
            self._set(request)
        except UnicodeError as wrong:
            return f"address or headers are not ASCII: {wrong}"
        return None

    def again(self) -> None:
        """The same call begins, as if for the first time."""
        self._tried, self._asked, self.where, self.stale, self.endless = False, 0, (), False, False
        self._opened = self._new = self.turned_away = False

    def _set(self, request: Request) -> None:
        set_to = self.curl.setopt
        set_to(pycurl.URL, request.url)
        set_to(pycurl.TIMEOUT_MS, int(request.seconds * 1000))
        set_to(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request.headers] + ["Expect:"])
        if request.body is None:
            set_to(pycurl.HTTPGET, 1)
        else:
            set_to(pycurl.POSTFIELDS, request.body)  # which makes it a POST
            self._large = len(request.body) > LARGE

    def rest(self) -> None:
        """Lets go of what it should not keep until its next call."""
        if self._large:
            self.curl.setopt(pycurl.POSTFIELDS, b"")
            self._large = False

    def answer(self, code: int = 0, message: str = "") -> Answer:
        """What the finished call brought; `code` and `message` are libcurl's, 0 where it went well."""
        told = self.curl.getinfo
        timings = Timings(
            dns=told(pycurl.NAMELOOKUP_TIME) * 1000,
            connect=told(pycurl.CONNECT_TIME) * 1000,
            tls=told(pycurl.APPCONNECT_TIME) * 1000,
            first_byte=told(pycurl.STARTTRANSFER_TIME) * 1000 if self._headers else 0.0,  # libcurl's is then its end
            total=told(pycurl.TOTAL_TIME) * 1000,
        )
        error = self._error(code, message) if code else None
        return Answer(told(pycurl.RESPONSE_CODE) or None, bytes(self._body), error, self._retry_after, timings)

    def lost(self, code: int) -> bool:
        """Whether the call ended by libcurl's `code` before its name was resolved."""
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return not (self._tried or self._asked or self._refused)
        return bool(code == pycurl.E_COULDNT_RESOLVE_HOST)

    def _error(self, code: int, message: str) -> str | None:
        if self._cut and code == pycurl.E_WRITE_ERROR and self._headers <= HEADERS_LIMIT:
            return None
        if self._headers > HEADERS_LIMIT or code == TOO_LARGE:
            return f"answer's headers are over {HEADERS_LIMIT} bytes"
        if self.endless:
            return "what the server sends is no answer, and has no end"
        if self._asked > 1 and code == pycurl.E_ABORTED_BY_CALLBACK:
            return "the server ended a kept connection without an answer"
        if self._refused and code in {pycurl.E_COULDNT_CONNECT, pycurl.E_OPERATION_TIMEDOUT}:
            # One of its addresses was tried: what came of that is said first.
            return f"{message or 'no connection'} ({self._refused})" if self._tried else self._refused
        return message or f"libcurl error {code}"

    def _open_socket(self, _purpose: int, address: "pycurl.CurlSockaddr") -> "Opened | int":
        host = address.addr[0] if isinstance(address.addr, tuple) else str(address.addr)
        host = host.decode() if isinstance(host, bytes) else host
        if not self._guard.proxy and (why := refusal(host, self._guard.allow)):
            self._refused = f"address {host} is refused: {why}"
            return int(pycurl.SOCKET_BAD)
        self._tried = self._opened = True
        return Opened(socket.socket(address.family, address.socktype, address.protocol))

    def _ask(self, *where: object) -> int:
        """Before each request: libcurl makes up to five more where a kept connection ended without an answer.

        The server may have had the first, and no attempt would tell of the others. On a connection that was new it had
        not: there libcurl does it only where an HTTP/2 server says so (REFUSED_STREAM, GOAWAY, HTTP_1_1_REQUIRED).
        """
        self._asked += 1
        was_new, self._new, self._opened = self._new, self._opened, False
        self.turned_away = self.turned_away or was_new
        self.where = where
        if self._asked == 1 and self._kept is not None and self._kept.stale(where):
            self.stale = True
            return int(pycurl.PREREQFUNC_ABORT)
        return int(pycurl.PREREQFUNC_OK if self.repeats or self._asked == 1 or was_new else pycurl.PREREQFUNC_ABORT)

    def _take_body(self, data: bytes) -> int:
        room = self._limit - len(self._body)
        self._body += data[:room]
        if len(data) > room:
            self._cut = True
            return 0  # ends the transfer
        return len(data)

    def _take_header(self, line: bytes) -> int | None:
        self._headers += len(line)
        if self._headers > HEADERS_LIMIT:
            return 0
        if line[0] in b"Rr" and line[: len(RETRY_AFTER)].lower() == RETRY_AFTER:
            self._retry_after = line[len(RETRY_AFTER) :].strip().decode("latin-1")
        return None  # all is well


class Opened:
    """A socket for libcurl, which takes a copy of its descriptor: ours is closed as soon as it did."""

    def __init__(self, made: socket.socket) -> None:
        self._made = made
        self.fileno = made.fileno

    def __del__(self) -> None:
        self._made.close()


@lru_cache(10_000)
def _unfit(url: str) -> str | None:
    """What the address itself says against calling it."""
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
    except ValueError as wrong:
        return f"address is not a URL: {wrong}"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "address is not an http or https URL"
    if why := port_refusal(port):
        return f"{why} is refused"
    return None


def _unfit_behind_proxy(url: str, guard: Guard) -> str | None:
    """Behind a proxy the guard has this alone: the proxy resolves names, so it must refuse where they lead.

    Of an address that `_unfit` has nothing against.
    """
    if (address := literal(urlsplit(url).hostname or "")) and (why := refusal(address, guard.allow)):
        return f"address {address} is refused: {why}"
    return None
