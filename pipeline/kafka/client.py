"""The real Kafka behind the seam: the one factory of producers and consumers."""

from typing import Any, cast

import confluent_kafka

from pipeline.kafka.asking import READER, Asking
from pipeline.kafka.making import GROUP_WORDS, common, made
from pipeline.kafka.seam import Consumer, Producer

# A queue that was full is asked for nothing more for `backoff`: by default a second, in which readers ran dry.
REFILL = {"fetch.queue.backoff.ms": 20}


class Cluster(Asking):
    """A Kafka cluster as the settings name it."""

    def producer(self, **more: Any) -> Producer:  # noqa: ANN401
        config = (
            common(self._settings)
            | {
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",  # as Java places keys; librdkafka's default is CRC32
                "linger.ms": 2,
                "message.timeout.ms": 0,  # a stage waits for its broker as long as it takes
                "queue.buffering.max.messages": 500_000,
                "compression.type": "lz4",
            }
            | more
        )
        return cast("Producer", made(confluent_kafka.Producer, config))

    def consumer(self, group: str, **more: Any) -> Consumer:  # noqa: ANN401
        config = (
            common(self._settings)
            | self._membership()
            | REFILL
            | {
                "group.id": self._prefix + group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 65_536,
            }
            | more
        )
        return cast("Consumer", made(confluent_kafka.Consumer, config))

    def reader(self) -> Consumer:
        config = {
            "group.id": self._prefix + READER,  # librdkafka wants one; nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            # A partition that is assigned anew waits for the fetch that is under way: by default half a second. With 20
            # ms an idle line's fetches took 16 % of a core of its broker, with this 8.
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,  # 40,000 rows; librdkafka takes several times that for them
        }
        return cast("Consumer", made(confluent_kafka.Consumer, common(self._settings) | REFILL | config))

    def _membership(self) -> dict[str, Any]:
        """How a group shares partitions: always by range, so that one member owns a number across topics."""
        chosen = {name: value for name, value in self._settings.kafka_config.items() if name in GROUP_WORDS}
        protocol = chosen.get("group.protocol", self._settings.group_protocol)
        if protocol == "consumer":
            return {"group.protocol": "consumer", "group.remote.assignor": "range"} | chosen
        classic = {
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000,
        }
        return classic | chosen
