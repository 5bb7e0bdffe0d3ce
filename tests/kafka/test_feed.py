"""A feed commits again what was refused, and drops a record that a rebalance inside its fetch made old."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.kafka import consume
from pipeline.kafka.consume import Batch, Feed, Moves
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.memory import Memory, MemoryConsumer, Message
from pipeline.kafka.receipt import Receipt, shared
from pipeline.kafka.seam import Consumer

REFUSED = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)


class Scripted(MemoryConsumer):
    """Answers commits as it is told, at the next `consume` as librdkafka does; and may be interrupted there."""

    def __init__(self, memory: Memory, group: str, on_commit: Any) -> None:
        super().__init__(memory, memory.groups[group], tells_end=False)
        self._on_commit = on_commit
        self._asked: list[list[TopicPartition]] = []
        self.refuses: list[KafkaError | None] = []
        self.before_the_rest: Any = lambda: None
        self.says: KafkaError | None = None  # in a message's place

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self._asked.append(offsets)
        if not self.refuses or self.refuses[0] is None:
            super().commit(offsets=offsets, asynchronous=asynchronous)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        while self._asked:
            offsets = self._asked.pop(0)
            self._on_commit(self.refuses.pop(0) if self.refuses else None, offsets)
        if self.says is not None:
            return [Message("", 0, 0, None, None, None, error=self.says)]
        if num_messages > 1:
            self.before_the_rest()
        return super().consume(num_messages, timeout)


class Kafka(Memory):
    """One partition of hits."""

    def __init__(self) -> None:
        super().__init__({"hits": 1})
        self.made: list[Scripted] = []

    def consumer(self, group: str, **more: Any) -> Consumer:
        super().consumer(group)  # the group is there
        self.made.append(Scripted(self, group, more["on_commit"]))
        return self.made[-1]

    def put(self, count: int) -> None:
        for _ in range(count):
            self.producer().produce("hits", b"v", b"k")


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


def _finish(batches: Sequence[Batch]) -> list[int | None]:
    for batch in batches:
        batch.ledger.open(batch.first, batch.end)
        batch.ledger.close(batch.first)
    return [message.offset() for batch in batches for message in batch.messages]


def test_a_commit_that_was_refused_is_made_again_at_the_next_and_one_that_was_taken_is_not(kafka: Kafka) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    took = list[float]()
    feed.took = took.append
    kafka.put(3)
    _finish(feed.fetch(10, 1))
    kafka.made[0].refuses = [REFUSED]
    feed.commit()
    assert kafka.committed("loopwire-test", [("hits", 0)]) == {}
    feed.commit()
    assert len(kafka.made[0]._asked) == 1, "nobody knows yet how it went"
    feed.fetch(10, 0)
    feed.commit()
    assert kafka.committed("loopwire-test", [("hits", 0)]) == {("hits", 0): 3}
    feed.fetch(10, 0)
    feed.commit()
    assert kafka.made[0]._asked == []
    assert len(took) == 2
    assert all(seconds >= 0 for seconds in took)
    feed.close()


def test_a_commit_that_nobody_answered_is_made_again_after_a_while(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    kafka.put(1)
    _finish(feed.fetch(10, 1))
    feed.commit()
    kafka.made[0]._asked.clear()  # its answer is lost
    feed.commit()
    assert kafka.made[0]._asked == []
    monkeypatch.setattr(consume, "RENEW_SECONDS", 0)
    feed.commit()
    assert len(kafka.made[0]._asked) == 1
    feed.close()


def test_a_refusal_of_an_older_commit_does_not_undo_a_newer(kafka: Kafka) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    kafka.put(1)
    _finish(feed.fetch(10, 1))
    kafka.made[0].refuses = [REFUSED, None]
    feed.commit()
    kafka.put(1)
    feed._committed.clear()
    kafka.made[0]._asked.clear()
    feed._committed[("hits", 0)] = 2
    feed._answered(REFUSED, [TopicPartition("hits", 0, 1)])
    assert feed._committed == {("hits", 0): 2}
    feed.close()


def test_a_record_read_before_its_partition_went_and_came_back_in_one_fetch_is_dropped(kafka: Kafka) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    kafka.put(2)
    assert _finish(feed.fetch(1, 1)) == [0]
    consumer = kafka.made[0]

    def move() -> None:
        consumer.before_the_rest = lambda: None
        consumer._leave(set(consumer.owned))  # it comes back in the same `consume`, from what was committed

    kafka.put(2)
    consumer.before_the_rest = move
    assert _finish(feed.fetch(10, 1)) == [1, 2, 3], "each once, in order"
    feed.close()


def test_a_commit_stays_below_its_place_s_floor_and_follows_it(kafka: Kafka) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    floors: list[int | None] = [1, 2, None]
    feed.floor = lambda place: floors[0] if place == ("hits", 0) else None
    kafka.put(3)
    _finish(feed.fetch(10, 1))
    committed = []
    while floors:
        feed.commit()
        committed.append(kafka.committed("loopwire-test", [("hits", 0)])["hits", 0])
        floors.pop(0)
    assert committed == [1, 2, 3]
    floors.append(None)
    feed.close()


def test_the_lag_counts_what_was_not_begun(kafka: Kafka) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    kafka.put(3)
    batches = feed.fetch(2, 1)
    assert feed.lag() == {"hits": 3}
    _finish(batches)
    feed.commit()
    assert feed.lag() == {"hits": 1}
    feed.close()
    later = Feed(kafka, "test", ["hits"], Moves())
    later.fetch(1, 1)
    assert later.lag() == {"hits": 1}
    later.close()


def test_where_routing_goes_on_is_asked_of_the_broker_once(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(kafka, "test", ["hits"], Moves())
    feed.fetch(1, 0)
    asked, committed = list[object](), MemoryConsumer.committed

    def counted(self: MemoryConsumer, places: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        asked.append(places)
        return committed(self, places, timeout)

    monkeypatch.setattr(MemoryConsumer, "committed", counted)
    assert [feed.position(("hits", 0)) for _ in range(3)] == [0, 0, 0]
    assert len(asked) == 1
    kafka.put(2)
    feed.fetch(10, 1)
    assert feed.position(("hits", 0)) == 2
    feed.close()


def test_what_one_record_stands_for_is_done_once_that_is_acknowledged() -> None:
    ledger, refused = Ledger(), list[KafkaError]()
    told = shared([Receipt(ledger, at, at + 1, refused.append) for at in (4, 5, 9)])
    assert ledger.safe == 4
    told(None, Message("batches", 0, 0, b"k", b"v", None))
    assert (ledger.safe, ledger.finished, refused) == (10, True, [])
    told = shared([Receipt(ledger, at, at + 1, refused.append) for at in (11, 12)])
    told(REFUSED, Message("batches", 0, 0, b"k", b"v", None))
    assert (ledger.safe, len(refused)) == (11, 2)


@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError.GROUP_AUTHORIZATION_FAILED])
def test_a_feed_whose_consumer_ended_ends_too(kafka: Kafka, code: int) -> None:
    """It would give nothing more, and refuse each commit: librdkafka's mark of what is fatal is lost on the way."""
    feed = Feed(kafka, "test", ["hits"], Moves())
    kafka.made[0].says = said = KafkaError(code, "Fatal error: Broker: Group authorization failed")
    assert not said.fatal()
    with pytest.raises(KafkaException, match="does not allow READ on group loopwire-test"):
        feed.fetch(10, 0)
    kafka.made[0].says = None
    feed.close()
