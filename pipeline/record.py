"""A record is what rules and Kafka share: a key and a value, bound for a topic."""

from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """One record to be produced. `topic` is the bare name, without TOPIC_PREFIX.

    A `value` of None is a tombstone. A `partition` of -1 lets murmur2 of the key decide.
    """

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers = ()
    partition: int = -1


class Message(Protocol):
    """A record as it was read: what rules may know of Kafka's message."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


def dead(topic: str, source: str, message: Message, reason: str) -> Record:
    """The record as it came, for the dead-letter `topic`; reason and origin in headers. `source` is the bare name."""
    headers = (
        ("reason", reason.encode()),
        ("topic", source.encode()),
        ("partition", str(message.partition()).encode()),
        ("offset", str(message.offset()).encode()),
    )
    return Record(topic, message.key() or b"", message.value(), headers)
