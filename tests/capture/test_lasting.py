"""A producer that librdkafka gave up is replaced, once all that it took is told of, and not at once again."""

from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline.capture import lasting
from pipeline.capture.lasting import AGAIN_SECONDS, Lasting
from pipeline.kafka.seam import Producer
from pipeline.settings import SettingsError

FATAL = KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no PID", fatal=True))


class Ending:
    """A producer whose first poll after `end` is refused, as librdkafka's is, once."""

    def __init__(self) -> None:
        self.left = 0
        self.failed: KafkaException | None = None
        self.purged = 0

    def produce(self, *_record: object, **_more: object) -> None:
        self.left += 1

    def poll(self, _timeout: float = -1) -> int:
        failed, self.failed = self.failed, None
        if failed is not None:
            raise failed
        return 0

    def flush(self, _timeout: float = -1) -> int:
        return 0

    def purge(self, **_what: bool) -> None:
        self.purged += 1

    def __len__(self) -> int:
        return self.left


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(lasting, "time", made)
    return made


def test_another_takes_the_place_of_one_that_ended(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    made: list[Ending] = []

    def make() -> Producer:
        made.append(Ending())
        return cast("Producer", made[-1])

    producer = Lasting(make)
    producer.produce("hits", b"value", b"key")
    made[0].failed = FATAL
    assert producer.poll(0) == 0
    assert made[0].purged == 1
    clock.now += lasting.AGAIN_SECONDS
    producer.poll(0)
    assert len(made) == len(producer) == 1, "what it took is not told of yet"
    made[0].left = 0
    producer.poll(0)
    assert len(made) == 2
    made[1].failed = FATAL
    producer.poll(0)
    producer.poll(0)
    assert len(made) == 2, "not at once"
    clock.now += lasting.AGAIN_SECONDS
    producer.poll(0)
    assert len(made) == 3
    [line] = caplog.messages  # the second time for the same reason is not said
    assert "does not allow IDEMPOTENT_WRITE on the cluster, nor WRITE on a topic" in line


@pytest.mark.parametrize("wrong", [SettingsError("ssl.ca.location failed"), FATAL])
def test_one_that_can_t_be_made_is_tried_again_later(clock: Clock, wrong: Exception) -> None:
    first, last, tries = Ending(), Ending(), list[float]()

    def make() -> Producer:
        tries.append(clock.now)
        if len(tries) == 2:
            raise wrong
        return cast("Producer", last if len(tries) > 2 else first)

    lasting = Lasting(make)
    first.failed = FATAL
    for _ in range(4):
        lasting.poll(0)
        clock.now += AGAIN_SECONDS / 2
    assert tries == [100.0, 105.0]
    clock.now += AGAIN_SECONDS
    lasting.poll(0)
    lasting.produce("hits")
    assert len(last) == 1
