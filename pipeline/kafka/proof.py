"""An acknowledgement is proof where it names the record's offset: those that don't, librdkafka made up."""

from collections.abc import Callable

from confluent_kafka import KafkaError

from pipeline.kafka.refusal import forbidden
from pipeline.kafka.seam import Message, OnDelivery

UNPLACED = KafkaError(KafkaError._INCONSISTENT, "acknowledged without an offset")  # noqa: SLF001


def fault(error: KafkaError | None, message: Message) -> KafkaError | None:
    """Why a produced record is not known to be in its topic; None where it is. For what `on_delivery` is told.

    An idempotent librdkafka (2.16, `rd_kafka_dr_implicit_ack`) takes the success of a batch for that of all before it
    in the partition, since a broker takes no batch whose predecessor it lacks. But it does, where it has nothing of
    this producer in the partition, or nothing any more: then of two batches under way the first may be refused, by a
    broker that is about to be the leader, and the second taken. The first is nowhere, and told as delivered.
    """
    if error is not None:
        return forbidden(error, "WRITE", f"topic {message.topic()}")
    return UNPLACED if message.offset() is None else None


def noted(refused: Callable[[KafkaError], None]) -> OnDelivery:
    """For a record that nobody waits for: `refused` hears where it is not known to be in its topic."""

    def told(error: KafkaError | None, message: Message) -> None:
        if (wrong := fault(error, message)) is not None:
            refused(wrong)

    return told
