"""What the world writes while enrich is put to the test: hits, and changes of the profiles and mailings they are of."""

import secrets
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random

import msgspec
from confluent_kafka import KafkaError

from pipeline import topics
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.ids import uuid7

ACCOUNT = "shop"
MAILINGS = 5
CHANGED = 0.1  # changes of rows for each hit
ERASED = 0.1  # of these changes
PACE_SECONDS = 0.01


class Traffic:
    """Hits that tell what their writer knew to be acknowledged: `referer` is PROFILE'S VERSION/MAILING'S VERSION."""

    def __init__(self, kafka: Kafka, profiles: int = 60, seed: int = 1) -> None:
        self._kafka = kafka
        self._producer = kafka.producer()
        self._random = Random(seed)
        self._versions: defaultdict[str, int] = defaultdict(int)
        self._safe: defaultdict[str, int] = defaultdict(int)
        self.profiles = [f"{ACCOUNT}/p{number}" for number in range(profiles)]
        self.mailings = [f"{ACCOUNT}/m{number}" for number in range(MAILINGS)]
        self.refused: list[KafkaError] = []
        self.written = 0

    def know(self) -> None:
        """A row for each profile and mailing."""
        for key in self.profiles:
            self.change(topics.PROFILES, key)
        for key in self.mailings:
            self.change(topics.TAGS, key)
        self.flush()

    def change(self, topic: str, key: str, *, erase: bool = False) -> None:
        """The next version of a row."""
        self._versions[key] += 1
        version = self._versions[key]
        name = key.partition("/")[2]
        row: dict[str, object] = {"id": name, "account": ACCOUNT, "email": f"{name}@mail.example",
                                  "fields": {"version": version}} if topic == topics.PROFILES else {
                                  "mailing": name, "account": ACCOUNT, "tags": [f"v{version}"]}  # fmt: skip

        def told(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                self._safe[key] = max(self._safe[key], version)
            else:
                self.refused.append(error)

        self._producer.produce(
            self._kafka.full(topic), None if erase else msgspec.json.encode(row), key.encode(), on_delivery=told
        )

    def hit(self, key: str | None = None, *, partition: int = -1, **more: object) -> None:
        """One open of a profile, any if none is named."""
        key = key or self._random.choice(self.profiles)
        mailing = self._random.choice(self.mailings)
        hit = {
            "id": uuid7(datetime.now(UTC), secrets.token_bytes(10)),
            "type": "open",
            "account": ACCOUNT,
            "profile": key.partition("/")[2],
            "mailing": mailing.partition("/")[2],
            "at": "2026-01-01T00:00:00.000000Z",
            "referer": f"{self._safe[key]}/{self._safe[mailing]}",
        }
        self.raw(key.encode(), msgspec.json.encode(hit | more), partition)

    def row(self, key: str, partition: int) -> None:
        """A row of `profiles` in any partition."""
        account, _, name = key.partition("/")
        row = {"id": name, "account": account, "email": "stray@mail.example", "fields": {"version": 0}}
        self._producer.produce(
            self._kafka.full(topics.PROFILES), msgspec.json.encode(row), key.encode(), partition, on_delivery=self._told
        )

    def raw(self, key: bytes, value: bytes | None, partition: int = -1) -> None:
        """Any record in `hits`."""
        self._producer.produce(self._kafka.full(topics.HITS), value, key, partition, on_delivery=self._told)
        self.written += 1

    def some(self, hits: int) -> None:
        """That many hits and, between them, changes."""
        for _ in range(hits):
            if self._random.random() < CHANGED:
                erase = self._random.random() < ERASED
                self.change(topics.PROFILES, self._random.choice(self.profiles), erase=erase)
                self.change(topics.TAGS, self._random.choice(self.mailings))
            self.hit()
            self._producer.poll(0)

    def flush(self) -> None:
        """Returns when all that was written is acknowledged."""
        assert self._producer.flush(60) == 0
        assert self.refused == []

    @contextmanager
    def flowing(self, a_second: int = 2000) -> Iterator[None]:
        """Hits and changes on a thread of its own, until the block ends; then all of it is acknowledged."""
        end = threading.Event()

        def flow() -> None:
            while not end.wait(PACE_SECONDS):
                self.some(round(a_second * PACE_SECONDS))

        thread = threading.Thread(target=flow, name="traffic")
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
        self.flush()

    def _told(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.refused.append(error)
