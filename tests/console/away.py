"""A Kafka in memory that can be away: then it gives nothing, and whoever asks it something waits."""

from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any

from pipeline.kafka.memory import Memory, MemoryConsumer
from pipeline.kafka.seam import Consumer, Message, Place

PATIENCE_SECONDS = 20.0


class Away(Memory):
    """While `here` is not set nothing is read and nothing answered, as of a broker that was cut off."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        super().__init__(topics)
        self.here = Event()
        self.here.set()
        self.asked = 0  # for how many partitions there are

    def consumer(self, group: str, **more: Any) -> Consumer:
        return _shut(self, super().consumer(group, **more))

    def reader(self) -> Consumer:
        return _shut(self, super().reader())

    def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        self.asked += 1
        self.here.wait(PATIENCE_SECONDS)
        return super().partitions(topics)

    def ends(self, places: Iterable[Place], *, undecided: bool = False) -> dict[Place, int]:
        self.here.wait(PATIENCE_SECONDS)
        return super().ends(places, undecided=undecided)


def _shut(memory: Away, consumer: Consumer) -> Consumer:
    assert isinstance(consumer, MemoryConsumer)
    read = consumer.consume

    def consume(num_messages: int = 1, timeout: float = -1) -> list[Message]:
        if not memory.here.wait(max(timeout, 0)):
            return []
        return list(read(num_messages, timeout))

    consumer.consume = consume  # type: ignore[method-assign,assignment]
    return consumer
