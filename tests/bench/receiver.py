"""A customer's server that notes when each POST was whole, and answers 200 at once where it is told nothing else."""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import NamedTuple, cast

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Post(NamedTuple):
    """A POST's body, and when it was there (time.monotonic)."""

    at: float
    body: bytes
    path: str = ""


class Receiver:
    """Listens on this machine; `posts` are in the order they came.

    `answers` are for paths that are answered otherwise: after so many seconds, by a status.
    """

    def __init__(self, answers: Mapping[str, tuple[float, int]] | None = None) -> None:
        self.answers = answers or {}
        self.posts: list[Post] = []
        self._news = asyncio.Event()
        self._server: asyncio.Server

    async def open(self) -> str:
        """Its address."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def until(self, count: int, seconds: float) -> None:
        """Returns once there are so many POSTs in all; TimeoutError where they don't come."""
        async with asyncio.timeout(seconds):
            while len(self.posts) < count:
                self._news.clear()
                await self._news.wait()

    def take(self, body: bytes, path: str) -> None:
        """One more."""
        self.posts.append(Post(time.monotonic(), body, path))
        self._news.set()

    def close(self) -> None:
        """Takes no more connections."""
        self._server.close()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as libcurl speaks it: one request at a time, its length in the header."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, rest = self._came.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if end and length and len(rest) >= int(length[1]):
            path = head.split(b" ", 2)[1].decode()
            self._receiver.take(rest, path)
            self._came = b""
            if wanted := self._receiver.answers.get(path):
                seconds, status = wanted
                answer = ANSWER.replace(b"200 OK", b"%d x" % status)
                asyncio.get_running_loop().call_later(seconds, self._late, answer)
            else:
                self._transport.write(ANSWER)

    def _late(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
