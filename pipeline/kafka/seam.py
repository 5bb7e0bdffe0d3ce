"""What the stages ask of Kafka: the part of confluent-kafka we use, met by a cluster and by memory alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from confluent_kafka import KafkaError, TopicPartition

from pipeline import record

Place = tuple[str, int]
Offsets = dict[Place, int]
OnDelivery = Callable[[KafkaError | None, "Message"], None]
OnRebalance = Callable[[Any, list[TopicPartition]], None]


class Right(NamedTuple):
    """Something to be done with a topic or a group; its name is bare."""

    operation: str  # as Kafka calls it: READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS
    kind: Literal["topic", "group"]
    name: str


class Message(record.Message, Protocol):
    """One record as it was read or produced."""

    def error(self) -> KafkaError | None: ...


class Producer(Protocol):
    """Puts records into topics. A call is answered in `poll` or `flush`, by `on_delivery`, on that thread."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,  # confluent-kafka takes headers in another place than its own documentation says, and drops them in silence
        on_delivery: OnDelivery | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None: ...
    def poll(self, timeout: float = -1) -> int: ...
    def flush(self, timeout: float = -1) -> int: ...
    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None: ...
    def __len__(self) -> int: ...


class Consumer(Protocol):
    """A member of a group (`subscribe`) or a reader of partitions it chose (`assign`)."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: OnRebalance = ...,
        on_revoke: OnRebalance = ...,
        on_lost: OnRebalance = ...,
    ) -> None: ...
    def assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def assignment(self) -> list[TopicPartition]: ...
    def consume(self, num_messages: int = 1, timeout: float = -1) -> Sequence[Message]: ...
    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> Any: ...  # noqa: ANN401
    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]: ...
    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int] | None: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def close(self) -> None: ...


class Kafka(Protocol):
    """A cluster, or what stands in for one. Names given and returned are bare, without TOPIC_PREFIX."""

    def full(self, topic: str) -> str:
        """The name on the cluster."""
        ...

    def hurry(self) -> None:
        """The process ends: no question is asked a second time from now on."""
        ...

    def bare(self, topic: str) -> str:
        """The name without the prefix."""
        ...

    def producer(self, **more: Any) -> Producer:  # noqa: ANN401
        """Waits for all in-sync replicas, is idempotent, places keys by murmur2."""
        ...

    def consumer(self, group: str, **more: Any) -> Consumer:  # noqa: ANN401
        """A member of a group that starts at the earliest record and commits by hand."""
        ...

    def reader(self) -> Consumer:
        """A consumer for `assign`: no group, and it tells the end of a partition (_PARTITION_EOF)."""
        ...

    def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        """How many partitions each topic has; KafkaException where one is missing."""
        ...

    def topics(self) -> list[str]:
        """The bare names of all topics under our prefix."""
        ...

    def ends(self, places: Iterable[Place], *, undecided: bool = False) -> Offsets:
        """The next offset to be read in each place, as the broker knows it now; where records of transactions count
        that are `undecided`, the next to be written."""
        ...

    def starts(self, places: Iterable[Place]) -> Offsets:
        """The offset of the first record that is still in each place."""
        ...

    def identity(self, topic: str) -> str:
        """The topic's id: made anew under the same name it has another."""
        ...

    def config(self, topic: str) -> Mapping[str, str]:
        """How the topic is kept, in Kafka's own names; empty where we may not know it."""
        ...

    def lacking(self, rights: Iterable[Right]) -> list[Right]:
        """Those of them that we don't have, as far as the cluster says; of a topic that is missing it says nothing."""
        ...

    def since(self, places: Iterable[Place], milliseconds: int) -> Offsets:
        """The first offset in each place that was written at that Unix time or later; its end where there is none."""
        ...

    def committed(self, group: str, places: Iterable[Place]) -> Offsets:
        """How far a group came in each place; places where it committed nothing are left out."""
        ...


def at_hand(consumer: Consumer, most: int, timeout: float) -> list[Message]:
    """What is there, up to `most`; waits `timeout` seconds for the first record only.

    `consume(most, timeout)` alone would wait all that time for the last one.
    """
    first = consumer.consume(1, timeout)
    return [*first, *consumer.consume(most - 1, 0)] if first else []
