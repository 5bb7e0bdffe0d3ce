"""The directory writes accounts and loops, and answers once its picture shows what was written.

Only what was read back from the topics changes the picture, so it is in their order, whoever wrote.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from pipeline.console.picture import Picture, Row
from pipeline.record import Record

PATIENCE_SECONDS = 10.0


class Put(Protocol):
    """Waits until all in-sync replicas have the records."""

    def __call__(self, *records: Record) -> Awaitable[None]: ...


class Directory:
    """Belongs to the event loop."""

    def __init__(self, put: Put) -> None:
        self.picture = Picture()
        self._put = put
        self._awaited: dict[Row, asyncio.Future[None]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._limits: set[asyncio.Timeout] = set()

    def lock(self, name: str) -> asyncio.Lock:
        """Held from reading a row to having written it, so that of two changes at once none is lost."""
        return self._locks.setdefault(name, asyncio.Lock())

    def take(self, rows: Iterable[Row]) -> None:
        """What was read from the topics, in order."""
        for row in rows:
            self.picture.apply(row)
            seen = self._awaited.get(row)
            if seen is not None and not seen.done():
                seen.set_result(None)

    async def send(self, *records: Record) -> None:
        """Waits until all in-sync replicas have the records; TimeoutError after 10 s. With none, others get a turn."""
        if not records:
            await asyncio.sleep(0)
            return
        async with self._patience():
            await self._put(*records)

    async def write(self, record: Record) -> None:
        """Waits until the picture shows the record; TimeoutError after 10 s: then it may come later, or never."""
        row = Row(record.topic, record.key, record.value)
        seen = self._awaited[row] = asyncio.get_running_loop().create_future()
        try:
            async with self._patience():
                await self._put(record)
                await seen
        finally:
            del self._awaited[row]

    def hurry(self, seconds: float) -> None:
        """Whoever waits now waits no longer than this: the process is about to end."""
        until = asyncio.get_running_loop().time() + seconds
        for limit in self._limits:
            limit.reschedule(min(limit.when() or until, until))

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        async with asyncio.timeout(PATIENCE_SECONDS) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)
