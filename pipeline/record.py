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
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> list[tuple[str, bytes]] | None: ...


def headers_of(message: Message) -> dict[str, bytes]:
    """Its headers by name; of two of one name the last."""
    return {name: value or b"" for name, value in message.headers() or ()}


# librdkafka takes records up to 1,000,000 bytes, the broker a little more. Behind an event stand an envelope and a
# history, so an event is kept smaller; and what is too large even for its dead letter is cut, and says so.
LARGEST_EVENT = 900_000
LARGEST_DEAD = 900_000
LONGEST_REASON = 500


def cut(record: Record) -> Record:
    """The record with as much of its value as fits into a dead-letter topic; `truncated` tells its true size."""
    size = len(record.value or b"")
    if size <= LARGEST_DEAD:
        return record
    headers = (*record.headers, ("truncated", str(size).encode()))
    return record._replace(value=(record.value or b"")[:LARGEST_DEAD], headers=headers)


def dead(topic: str, source: str, message: Message, reason: str) -> Record:
    """The record as it came, for the dead-letter `topic`; reason and origin in headers. `source` is the bare name."""
    headers = (
        ("reason", reason[:LONGEST_REASON].encode()),
        ("topic", source.encode()),
        ("partition", str(message.partition()).encode()),
        ("offset", str(message.offset()).encode()),
    )
    return cut(Record(topic, message.key() or b"", message.value(), headers))
