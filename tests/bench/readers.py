"""Readers who open their mails at an even pace: each fetches its pixel at its time, whatever became of the others."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from tests.bench.figures import Implausible

PICTURE_BYTES = 43
ANSWER_SECONDS = 15.0


class Opened(NamedTuple):
    """A fetch: when it was due and when its request was sent (time.monotonic), by its path."""

    path: str
    due: float
    sent: float


class Readers:
    """Connections to capture, as many as are waited on at once; they are kept."""

    def __init__(self, origin: str) -> None:
        self._address = urlsplit(origin).netloc
        self._idle: list[_Connection] = []
        self._all: list[_Connection] = []

    async def open(self, paths: Sequence[str], pace: float) -> list[Opened]:
        """Fetches the paths, `pace` a second; Implausible where one is not answered well."""
        began, opened = time.monotonic(), []
        for number, path in enumerate(paths):
            due = began + number / pace
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            connection = self._idle.pop() if self._idle else await self._connected()
            opened.append(Opened(path, due, time.monotonic()))
            connection.get(path)
        deadline = time.monotonic() + ANSWER_SECONDS
        while len(self._idle) < len(self._all):
            if time.monotonic() > deadline:
                raise Implausible(f"{len(self._all) - len(self._idle)} fetches are not answered")
            await asyncio.sleep(0.01)
        for wrong in self._wrong():
            raise Implausible(f"a fetch was answered with {wrong!r}")
        return opened

    def close(self) -> None:
        """Hangs up."""
        for connection in self._all:
            connection.hang_up()

    async def _connected(self) -> "_Connection":
        made = _Connection(self._idle, self._all, self._address)
        self._all.append(made)
        host, _, port = self._address.rpartition(":")
        await asyncio.get_running_loop().create_connection(lambda: made, host, int(port))
        return made

    def _wrong(self) -> Iterator[bytes]:
        return (connection.wrong for connection in self._all if connection.wrong)


class _Connection(asyncio.Protocol):
    """One kept connection: among the idle ones again once its answer is whole."""

    def __init__(self, idle: list["_Connection"], every: list["_Connection"], host: str) -> None:
        self.wrong = b""
        self._idle = idle
        self._all = every
        self._host = host
        self._came = b""

    def get(self, path: str) -> None:
        """Sends the request."""
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: Mozilla/5.0\r\n\r\n".encode())

    def hang_up(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class

    def connection_lost(self, _why: Exception | None) -> None:
        """A server hangs up on who was idle for long; on who waits for an answer it must not."""
        if self in self._idle:
            self._idle.remove(self)
            self._all.remove(self)
        else:
            self.wrong = b"nothing: the connection was closed"

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, body = self._came.partition(b"\r\n\r\n")
        if end and len(body) >= PICTURE_BYTES:
            if not head.startswith(b"HTTP/1.1 200") or b"loopwire-hit" in head.lower() or len(body) > PICTURE_BYTES:
                self.wrong = self._came
            self._came = b""
            self._idle.append(self)
