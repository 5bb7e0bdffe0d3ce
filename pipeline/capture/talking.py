"""One connection: HTTP/1.1 as httptools reads it, one request after the other, each answered in its turn.

A part of the door. All of it runs on the event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import httptools

from pipeline.capture.answer import Request, Response
from pipeline.capture.wording import date_at, head_of, path_of, text_of

HEAD_BYTES = 32_768  # a token of 8 KiB, and room for cookies: what a connection may make us hold
BODY_BYTES = 65_536  # that are read and dropped: One-Click needs 26
PIECE_BYTES = 4_096  # are read at a time: a request of 18 bytes takes 300 once it is read
AHEAD = 16  # requests that a connection may send before their answers; then it is not read any further
IN_A_ROW = 16  # requests of one connection that are heard before others have a turn

Reply: TypeAlias = Callable[[Response], None]
Hear: TypeAlias = Callable[[Request, Reply], None]

_HEARD = frozenset({b"user-agent", b"referer", b"x-forwarded-for", b"host", b"sec-gpc", b"dnt", b"expect"})
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
        self._begun = self._paused = self._full = self._ending = self._due = False
        self._unread = b""
        self._in_head = True
        self._size = 0  # of the head that comes, or of what follows it: chunks' sizes and trailers too
        self._body = 0
        self._url = b""
        self._found: dict[bytes, bytes] = {}
        self._forwarded: tuple[str, ...] = ()
        self.since = time.monotonic()  # when it began to wait for the other end

    @property
    def waits(self) -> bool:
        """Whether it is the other end's turn."""
        return self._full or not self._owes

    @property
    def _owes(self) -> bool:
        return self._under_way is not None or bool(self._line)

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
        self._end_reading()
        self._line.clear()
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        if not self._ending:
            self._unread += data
            self._next()

    def eof_received(self) -> bool:
        """Who asked and closed his half is answered."""
        self._ending = True
        return self._owes

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
        if name not in _HEARD or not self._in_head:  # trailers pass proxies that have their say in the head
            return
        value = value.rstrip(b" \t")  # httptools leaves it there
        if name == b"x-forwarded-for":
            self._forwarded = (*self._forwarded, text_of(value) or "")
        else:
            self._found.setdefault(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._size, self._body = False, 0, 0
        if b"expect" in self._found and self._expects_100() and not self._owes:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)

    def on_message_complete(self) -> None:
        self._in_head, self._size = True, 0
        parser, found = self._parser, self._found.get
        if parser.get_http_version() not in _KEEP:  # 0.9 has no headers
            raise ValueError("this is not HTTP/1")
        request = Request(
            parser.get_method().decode(),
            path_of(self._url),
            self._peer,
            datetime.now(UTC),
            text_of(found(b"user-agent")),
            text_of(found(b"referer")),
            self._forwarded,
            text_of(found(b"host")) or "",
            found(b"sec-gpc") == b"1",
            found(b"dnt") == b"1",
        )
        self._line.append(_Asked(request, _KEEP[parser.get_http_version()] if parser.should_keep_alive() else _CLOSE))

    def _expects_100(self) -> bool:
        """RFC 9110 10.1.1: in HTTP/1.0 it means nothing."""
        return self._found[b"expect"].lower() == b"100-continue" and self._parser.get_http_version() == "1.1"

    def _read(self) -> None:
        """The next piece: no head is whole before it was seen to be too long."""
        data, self._unread = self._unread[:PIECE_BYTES], self._unread[PIECE_BYTES:]
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # what it would become is not spoken here: it is answered as it is
            self._end_reading()
        except httptools.HttpParserError:
            self._refuse(400)
        if self._in_head and self._size >= HEAD_BYTES:
            self._refuse(431)
        elif not self._in_head and (self._body > BODY_BYTES or self._size > BODY_BYTES + HEAD_BYTES):
            self._refuse(413)

    def _end_reading(self) -> None:
        self._ending = True
        self._unread = b""

    def _next(self) -> None:
        """Hands on the next requests, where there are some and their answers could be sent."""
        for _ in range(IN_A_ROW):
            while self._unread and len(self._line) <= AHEAD and not self._ending:
                self._read()
            if not self._line or self._under_way is not None or self._full:
                break
            self._under_way = asked = self._line.popleft()
            self._hear(asked.request, partial(self._answer, asked))
        if self._paused is not bool(self._unread):
            self._paused = not self._paused
            if self._paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _turn(self) -> None:
        self._due = False
        self._next()

    def _answer(self, asked: _Asked, response: Response) -> None:
        """The answer to the request under way; to another, which has its own, nothing."""
        if asked is not self._under_way:
            return
        self._under_way = None
        if self._transport.is_closing():
            return
        end = _CLOSE if self._ending and not self._line else asked.end
        head = head_of(response.status, response.headers, len(response.body)) + date_at(int(time.time())) + end
        self._transport.write(head if asked.request.method == "HEAD" else head + response.body)
        if end is _CLOSE:
            self._end_reading()
            self._line.clear()
            self._transport.close()
            return
        self.since = time.monotonic()
        if (self._line or self._unread) and not self._due:
            self._due = True  # not at once: it may be librdkafka that called, which must not be called now
            self._loop.call_soon(self._turn)

    def _refuse(self, status: int) -> None:
        """No request is read any more; what came before is answered first, by the last of them closing it."""
        self._end_reading()
        if not self._owes and not self._transport.is_closing():
            self._transport.write(head_of(status) + date_at(int(time.time())) + _CLOSE)
            self._transport.close()
