"""The follower reads the topics of the picture, on a thread of its own."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from pipeline.console.picture import TOPICS, Row
from pipeline.kafka.mirror import Apply, Mirror
from pipeline.kafka.seam import Kafka

# What is there is taken at once; this is how long an idle glance lasts, and what closing waits for it.
GLANCE_SECONDS = 0.05

Take = Callable[[Iterable[Row]], None]


class Follower:
    """Hands the rows to `take`, on the event loop, in the order of the topics."""

    def __init__(self, kafka: Kafka, take: Take) -> None:
        self._take = take
        self._rows: list[Row] = []
        self._thread = ThreadPoolExecutor(1, "follower")
        self._mirror = Mirror(kafka, {topic: self._collects(topic) for topic in TOPICS})

    async def load(self) -> None:
        """All rows there are now. KafkaException where a topic is missing or can't be read."""
        await self._on_thread(self._load)

    async def follow(self) -> None:
        """What comes from now on, until cancelled."""
        while True:
            await self._on_thread(self._glance)

    async def close(self) -> None:
        """Stops reading."""
        await self._on_thread(self._mirror.close)
        self._thread.shutdown()

    def _load(self) -> None:
        self._mirror.follow_all(TOPICS)
        self._mirror.catch_up()

    def _glance(self) -> None:
        self._mirror.take(GLANCE_SECONDS)

    def _collects(self, topic: str) -> Apply:
        def collect(_partition: int, key: bytes, value: bytes | None) -> None:
            self._rows.append(Row(topic, key, value))

        return collect

    async def _on_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)
        rows, self._rows = self._rows, []
        self._take(rows)
