"""What each stage has to be allowed on a cluster with rules (ACLs): asked at its start, and told where it is not."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException

from pipeline.flow import FLOW
from pipeline.kafka.refusal import missing
from pipeline.kafka.seam import Kafka, Right
from pipeline.topics import DELIVERIES_RETRY, EVENTS, retry_topic

# What a process is made of, of the flow.
PARTS = {"capture": {"capture"}, "enrich": {"enrich"}, "deliver": {"route", "deliver"}, "console": {"console"}}
# What else it does: the console looks into `events`, and asks how far the others are.
MORE = {
    "enrich": (Right("READ", "group", "loopwire-enrich"),),
    "deliver": (Right("READ", "group", "loopwire-route"), Right("READ", "group", "loopwire-deliver")),
    "console": (
        Right("READ", "topic", EVENTS),
        *(Right("DESCRIBE", "group", f"loopwire-{one}") for one in ("enrich", "route", "deliver")),
    ),
}


def rights(process: str, ladder: Iterable[timedelta] = ()) -> list[Right]:
    """What the process can't do without, each once; `ladder` has the delays of its retry topics."""
    delays = [retry_topic(delay) for delay in ladder]
    return list(dict.fromkeys([*_of_flow(process, delays), *MORE.get(process, ())]))


def check_rights(kafka: Kafka, process: str, ladder: Iterable[timedelta] = ()) -> None:
    """KafkaException names all that the process may not do with topics, before it begins.

    Who may not be in his group, or ask how far one is, is told when he tries.
    """
    check(kafka, [one for one in rights(process, ladder) if one.kind == "topic"])


def check(kafka: Kafka, wanted: Iterable[Right]) -> None:
    """KafkaException names those that we don't have; of topics."""
    if lacking := kafka.lacking(wanted):
        line = missing([f"{one.operation} on {one.kind} {kafka.full(one.name)}" for one in lacking])
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, line))


def _of_flow(process: str, delays: list[str]) -> Iterator[Right]:
    for stage in FLOW:
        if stage.name in PARTS[process]:
            for operation, names in (("READ", (*stage.reads, *stage.tables)), ("WRITE", stage.writes)):
                for name in names:
                    for one in delays if name == DELIVERIES_RETRY else [name]:
                        yield Right(operation, "topic", one)
