"""One connection: HTTP/1.1 as httptools reads it, one request after the other, each answered in its turn.

A part of the door. All of it runs on the event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple, TypeAlias, cast
from urllib.parse import unquote

import httptools

from pipeline.capture.answer import Headers, Request, Response

HEAD_BYTES = 32_768  # a token of 8 KiB, and room for cookies: what a connection may make us hold
BODY_BYTES = 65_536  # that are read and dropped: One-Click needs 26
AHEAD = 16  # requests that a connection may send before their answers; then it is not read any further

Reply: TypeAlias = Callable[[Response], None]
Hear: TypeAlias = Callable[[Request, Reply], None]

_HEARD = frozenset({b"user-agent", b"referer", b"x-forwarded-for", b"host", b"sec-gpc", b"dnt"})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n\r\n"
_KEEP = {"1.1": b"\r\n", "1.0": b"connection: keep-alive\r\n\r\n"}  # by the request's version: 1.0 has to be told


class _Asked(NamedTuple):
    """A request that waits for its turn."""

    request: Request
    end: bytes  # of the answer's head: whether the connection goes on


class Talk(asyncio.Protocol):
    """`hear` gets each request once all of it is there and the one before it is answered; it must raise nothing.

    `gone` hears when the connection is. `peer` is the other end's address.
    """

    def __init__(self, hear: Hear, gone: Callable[["Talk"], None], peer: str) -> None:
        self._hear = hear
        self._gone = gone
        self._peer = peer
        self._parser = httptools.HttpRequestParser(self)
        self._line: deque[_Asked] = deque()
        self._under_way: _Asked | None = None
        self._transport: asyncio.Transport
        self._begun = self._paused = self._full = self._ending = False
        self._in_head = True
        self._size = 0  # of the head, or of the body, that comes
        self._url = b""
        self._found: dict[bytes, bytes] = {}
        self._forwarded: tuple[str, ...] = ()
        self.since = time.monotonic()  # when it began to wait for the other end

    @property
    def waits(self) -> bool:
        """Whether it is the other end's turn."""
        return self._full or not (self._under_way or self._line)

    def end(self) -> None:
        """Closes it, once what was asked is answered; at once where the other end does not read."""
        self._ending = True
        if self._full:
            self.abort()
        elif self._begun and self.waits:
            self._transport.close()

    def abort(self) -> None:
        """Closes it at once, though the other end does not read."""
        if self._begun:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self._loop = asyncio.get_running_loop()
        self._begun = True
        if self._ending:
            transport.close()

    def connection_lost(self, _why: Exception | None) -> None:
        self._ending = True
        self._line.clear()
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), HEAD_BYTES):  # in pieces: no head is whole before it was seen to be too long
            if not self._ending:
                self._read(data[at : at + HEAD_BYTES])
        self._next()
        if len(self._line) > AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Who asked and closed his half is answered."""
        self._ending = True
        return not self.waits

    def pause_writing(self) -> None:
        self._full, self.since = True, time.monotonic()

    def resume_writing(self) -> None:
        self._full = False
        self._next()

    def on_message_begin(self) -> None:
        self._url, self._found, self._forwarded = b"", {}, ()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"x-forwarded-for":
            self._forwarded = (*self._forwarded, _text(value) or "")
        elif name in _HEARD:
            self._found.setdefault(name, value)
        elif name == b"expect" and value.lower() == b"100-continue" and self.waits:
            self._transport.write(_CONTINUE)

    def on_headers_complete(self) -> None:
        self._in_head, self._size = False, 0

    def on_body(self, body: bytes) -> None:
        self._size += len(body)

    def on_message_complete(self) -> None:
        self._in_head, self._size = True, 0
        parser, found = self._parser, self._found.get
        if parser.get_http_version() not in _KEEP:  # 0.9 has no headers
            raise ValueError("this is not HTTP/1")
        request = Request(
            parser.get_method().decode(),
            _path(self._url),
            self._peer,
            datetime.now(UTC),
            _text(found(b"user-agent")),
            _text(found(b"referer")),
            self._forwarded,
            _text(found(b"host")) or "",
            found(b"sec-gpc") == b"1",
            found(b"dnt") == b"1",
        )
        self._line.append(_Asked(request, _KEEP[parser.get_http_version()] if parser.should_keep_alive() else _CLOSE))

    def _read(self, data: bytes) -> None:
        if self._in_head:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # what it would become is not spoken here: it is answered as it is
            self._ending = True
        except httptools.HttpParserError:
            self._refuse(400)
        if self._in_head and self._size >= HEAD_BYTES:
            self._refuse(431)
        elif not self._in_head and self._size > BODY_BYTES:
            self._refuse(413)

    def _next(self) -> None:
        """Hands on the next request, where there is one and its answer could be sent."""
        while self._line and self._under_way is None and not self._full:
            self._under_way = asked = self._line.popleft()
            self._hear(asked.request, self._answer)
        if self._paused and not self._line:
            self._paused = False
            self._transport.resume_reading()

    def _answer(self, response: Response) -> None:
        """The answer to the request under way, once."""
        asked, self._under_way = self._under_way, None
        if asked is None or self._transport.is_closing():
            return
        end = _CLOSE if self._ending and not self._line else asked.end
        head = _head(response.status, response.headers, len(response.body)) + _date() + end
        self._transport.write(head if asked.request.method == "HEAD" else head + response.body)
        if end is _CLOSE:
            self._line.clear()
            self._transport.close()
            return
        self.since = time.monotonic()
        if self._line or self._paused:  # not at once: it may be librdkafka that called, which must not be called now
            self._loop.call_soon(self._next)

    def _refuse(self, status: int) -> None:
        """No request is read any more; what came before is answered first, by the last of them closing it."""
        self._ending = True
        if self.waits and not self._transport.is_closing():
            self._transport.write(_head(status, (), 0) + _date() + _CLOSE)
            self._transport.close()


def _path(url: bytes) -> str:
    """Percent-decoded. Of `http://host/path`, which only proxies ask for, the path."""
    if not url.startswith((b"/", b"*")):
        try:
            url = httptools.parse_url(url).path or b"/"
        except httptools.HttpParserError:
            return ""
    path = url.partition(b"?")[0].decode("latin-1")
    return unquote(path) if "%" in path else path


def _text(value: bytes | None) -> str | None:
    """A header's value; one that is not ASCII reads as absent."""
    return value.decode() if value and value.isascii() else None


@lru_cache(256)
def _head(status: int, headers: Headers, size: int) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name.lower()}: {value}" for name, value in headers)]
    return "".join(f"{line}\r\n" for line in (*lines, f"content-length: {size}")).encode("latin-1")


def _date() -> bytes:
    return _dated(int(time.time()))


@lru_cache(2)
def _dated(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n".encode()
