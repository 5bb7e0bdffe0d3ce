"""Readers who open mails by the thousand, each mail once, and remember which were safely answered."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from pipeline.capture.tokens import Link, sign

PROFILES = 48  # some on each of the 12 partitions
SECONDS = 60.0
ANSWER_SECONDS = 60.0  # then the reader is gone: a reset
PARTS = {"p50": 0.5, "p99": 0.99, "max": 1.0}


class Readers:
    """Keeps `connections` open to a port and asks on each, one mail after another, until stopped.

    A mail whose reader got no answer is not opened again: so each message has one hit, and one id. `pace` is how many
    hits a second come at most: more would only make what a broker that is away has to catch up with longer.
    `signing` is the key's id and the key.
    """

    def __init__(
        self, port: int, signing: tuple[str, bytes], connections: int, pace: int, account: str = "acme"
    ) -> None:
        self._port = port
        self._signing = signing
        self._connections = connections
        self._pace = pace
        self._account = account
        self.asked = 0  # mails, `m-1` and on
        self._ending = False
        self.safe: dict[str, float] = {}  # message -> when it was answered
        self.lost: set[str] = set()
        self.broken = 0  # connections that ended without an answer
        self.reset = 0  # those of them that were not closed in order
        self.took: list[float] = []  # seconds to each answer
        self.torn = 0  # answers that ended in their middle

    @contextmanager
    def reading(self) -> Iterator["Readers"]:
        """Reads as long as the block runs."""
        with ThreadPoolExecutor(1, "readers") as thread:
            reading = thread.submit(lambda: asyncio.run(self._read()))
            try:
                yield self
            finally:
                self._ending = True
                reading.result()

    def more(self, hits: int) -> None:
        """Waits until so many more were answered."""
        wanted = len(self.safe) + len(self.lost) + hits
        until(lambda: len(self.safe) + len(self.lost) >= wanted)

    def times(self, since: int = 0) -> str:
        """How long the answers from there on took."""
        took = sorted(self.took[since:])
        return ", ".join(f"{name} {1000 * took[int(part * (len(took) - 1))]:.0f} ms" for name, part in PARTS.items())

    async def _read(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(self._connections)))

    async def _one(self) -> None:
        while not self._ending:
            try:
                asking, writing = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                while not self._ending and await self._opened(asking, writing):
                    pass
            except asyncio.IncompleteReadError as ended:
                self.broken += 1
                self.torn += bool(ended.partial)
            except OSError:
                self.broken += 1
                self.reset += 1
            finally:
                writing.close()
                with suppress(OSError):
                    await writing.wait_closed()

    async def _opened(self, asking: asyncio.StreamReader, writing: asyncio.StreamWriter) -> bool:
        """Opens the next mail; whether the connection goes on."""
        message, began = self._next(), time.monotonic()
        token = sign(Link(self._account, f"p-{hash(message) % PROFILES}", "spring", message), "open", *self._signing)
        writing.write(f"GET /o/{token}.gif HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        async with asyncio.timeout(ANSWER_SECONDS):
            head = (await asking.readuntil(b"\r\n\r\n")).lower()
            try:
                await asking.readexactly(43)
            except asyncio.IncompleteReadError as ended:
                raise asyncio.IncompleteReadError(head + ended.partial, None) from ended
        assert head.startswith(b"http/1.1 200 "), head
        took = time.monotonic() - began
        self.took.append(took)
        if b"loopwire-hit: lost" in head:
            self.lost.add(message)
        else:
            self.safe[message] = time.time()
        await asyncio.sleep(max(0.0, self._connections / self._pace - took))
        return b"connection: close" not in head

    def _next(self) -> str:
        self.asked += 1
        return f"m-{self.asked}"


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Waits for a condition; AssertionError where it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"the condition did not come true in {seconds} s"
        time.sleep(0.02)
