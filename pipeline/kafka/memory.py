"""A Kafka in memory for fast tests: the seam's promises, without a broker, a network or a disk."""

import time
from collections.abc import Iterable, Mapping, Sequence
from threading import Condition
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from pipeline.kafka.murmur2 import partition_of
from pipeline.kafka.seam import Consumer, OnDelivery, OnRebalance, Place, Producer, Right


class Message:
    """One record in memory."""

    def __init__(  # noqa: PLR0913, PLR0917 (the fields of a record)
        self,
        topic: str,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] | None,
        error: KafkaError | None = None,
    ) -> None:
        self._place = (topic, partition)
        self._offset = offset
        self._key = key
        self._value = value
        self._headers = list(headers) if headers else None
        self._error = error
        self._at = int(time.time() * 1000)

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at

    def error(self) -> KafkaError | None:
        return self._error


class Group:
    """Who is in a consumer group, what each member should own, and what was committed."""

    def __init__(self) -> None:
        self.members: list[MemoryConsumer] = []
        self.committed: dict[Place, int] = {}

    def share(self, member: "MemoryConsumer", counts: Mapping[str, int]) -> set[Place]:
        """The places of one member: the range assignor, the same numbers in every topic."""
        at, of = self.members.index(member), len(self.members)
        return {
            (topic, number)
            for topic in member.topics
            for number in range(counts.get(topic, 0))
            if number * of // counts[topic] == at
        }

    def owner(self, place: Place) -> "MemoryConsumer | None":
        return next((member for member in self.members if place in member.owned), None)


class Memory:
    """All topics of one pretended cluster. Names are full names; there is no prefix here."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.logs: dict[str, list[list[Message]]] = {
            topic: [[] for _ in range(count)] for topic, count in topics.items()
        }
        self.groups: dict[str, Group] = {}
        self.changed = Condition()

    def full(self, topic: str) -> str:
        return topic

    def hurry(self) -> None:
        """Memory answers at once."""

    def bare(self, topic: str) -> str:
        return topic

    def producer(self, **_more: Any) -> Producer:  # noqa: ANN401
        return MemoryProducer(self)

    def consumer(self, group: str, **_more: Any) -> Consumer:  # noqa: ANN401
        return MemoryConsumer(self, self.groups.setdefault(group, Group()), tells_end=False)

    def reader(self) -> Consumer:
        return MemoryConsumer(self, Group(), tells_end=True)

    def partitions(self, topics: Iterable[str]) -> Mapping[str, int]:
        for topic in topics:
            if topic not in self.logs:
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"there is no topic {topic}"))
        return {topic: len(self.logs[topic]) for topic in topics}

    def topics(self) -> list[str]:
        return sorted(self.logs)

    def ends(self, places: Iterable[Place], *, undecided: bool = False) -> dict[Place, int]:  # noqa: ARG002
        with self.changed:
            return {place: len(self.logs[place[0]][place[1]]) for place in places}

    def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def identity(self, topic: str) -> str:
        return f"{topic} of {id(self)}"

    def config(self, _topic: str) -> Mapping[str, str]:
        return {}

    def lacking(self, _rights: Iterable[Right]) -> list[Right]:
        return []

    def since(self, places: Iterable[Place], milliseconds: int) -> dict[Place, int]:
        if milliseconds < 0:  # -1 to -3 are words of Kafka's, the rest it refuses
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, f"invalid offset {milliseconds}"))  # noqa: SLF001
        with self.changed:
            logs = {place: self.logs[place[0]][place[1]] for place in places}
            return {
                place: next((one.offset() for one in log if one.timestamp()[1] >= milliseconds), len(log))
                for place, log in logs.items()
            }

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        known = self.groups[group].committed if group in self.groups else {}
        return {place: known[place] for place in places if place in known}

    def counts(self) -> dict[str, int]:
        return {topic: len(partitions) for topic, partitions in self.logs.items()}


class MemoryProducer:
    """Writes at once, tells of it in `poll`, as librdkafka does."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._untold: list[tuple[OnDelivery, Message]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: OnDelivery | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        with self._memory.changed:
            logs = self._memory.logs[topic]
            number = partition if partition >= 0 else partition_of(key or b"", len(logs))
            message = Message(topic, number, len(logs[number]), key, value, headers)
            logs[number].append(message)
            self._memory.changed.notify_all()
        if on_delivery is not None:
            self._untold.append((on_delivery, message))

    def poll(self, timeout: float = -1) -> int:  # noqa: ARG002 (everything is there at once)
        told, self._untold = self._untold, []
        for on_delivery, message in told:
            on_delivery(None, message)
        return len(told)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Nothing waits in it."""

    def flush(self, timeout: float = -1) -> int:
        while self._untold:
            self.poll(timeout)
        return 0

    def __len__(self) -> int:
        return len(self._untold)


def _nothing(_consumer: object, _places: list[TopicPartition]) -> None:
    pass


class MemoryConsumer:
    """Reads by group or by hand; rebalances are noticed in `consume`, as with librdkafka."""

    def __init__(self, memory: Memory, group: Group, *, tells_end: bool) -> None:
        self._memory = memory
        self._group = group
        self._tells_end = tells_end
        self._position: dict[Place, int] = {}
        self._end_told: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._gained: OnRebalance = _nothing
        self._given_up: OnRebalance = _nothing
        self.topics: list[str] = []
        self.owned: set[Place] = set()

    def subscribe(
        self,
        topics: list[str],
        on_assign: OnRebalance = _nothing,
        on_revoke: OnRebalance = _nothing,
        on_lost: OnRebalance = _nothing,  # noqa: ARG002 (nothing is lost in memory)
    ) -> None:
        self.topics, self._gained, self._given_up = list(topics), on_assign, on_revoke
        with self._memory.changed:
            self._group.members.append(self)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.owned.clear()
        self.incremental_assign(partitions)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            place = at.topic, at.partition
            self.owned.add(place)
            self._position[place] = 0 if at.offset == OFFSET_BEGINNING else max(at.offset, 0)
            self._end_told.pop(place, None)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.owned -= {(at.topic, at.partition) for at in partitions}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in sorted(self.owned)]

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        deadline = None if timeout < 0 else time.monotonic() + timeout
        while True:
            self._rebalance()
            with self._memory.changed:
                found = self._next(num_messages)
                left = None if deadline is None else deadline - time.monotonic()
                if found or (left is not None and left <= 0):
                    return found
                self._memory.changed.wait(0.05 if left is None else min(left, 0.05))

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:  # noqa: ARG002
        with self._memory.changed:
            self._group.committed.update({(at.topic, at.partition): at.offset for at in offsets})

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:  # noqa: ARG002
        places = [(at.topic, at.partition) for at in partitions]
        return [TopicPartition(*place, self._group.committed.get(place, -1001)) for place in places]

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:  # noqa: ARG002
        return 0, len(self._memory.logs[partition.topic][partition.partition])

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {(at.topic, at.partition) for at in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {(at.topic, at.partition) for at in partitions}

    def close(self) -> None:
        if self in self._group.members:
            self._leave(self.owned.copy())
            with self._memory.changed:
                self._group.members.remove(self)
        self.owned.clear()

    def _rebalance(self) -> None:
        if self not in self._group.members:
            return
        share = self._group.share(self, self._memory.counts())
        self._leave(self.owned - share)
        free = {place for place in share - self.owned if self._group.owner(place) is None}
        if free:
            self._gained(self, [TopicPartition(*place) for place in sorted(free)])
            self.owned |= free
            self._position.update({place: self._group.committed.get(place, 0) for place in free})

    def _leave(self, places: set[Place]) -> None:
        if places:
            self._given_up(self, [TopicPartition(*place) for place in sorted(places)])
            self.owned -= places
            self._paused -= places

    def _next(self, most: int) -> list[Message]:
        found: list[Message] = []
        for topic, number in sorted(self.owned - self._paused):
            log, start = self._memory.logs[topic][number], self._position[topic, number]
            taken = log[start : start + max(most - len(found), 0)]
            found += taken
            self._position[topic, number] = end = start + len(taken)
            if self._tells_end and end == len(log) and self._end_told.get((topic, number)) != end:
                self._end_told[topic, number] = end
                eof = KafkaError(KafkaError._PARTITION_EOF)  # noqa: SLF001
                found.append(Message(topic, number, end, None, None, None, eof))
        return found
