"""What a cluster says we may do with topics: asked for all of them at once.

Of groups it is not asked: an admin client whose coordinator ends meanwhile ends the process (librdkafka issue 4605).
"""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from pipeline.kafka.seam import Right

SECONDS = 10.0
UNTOLD = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNSUPPORTED_VERSION,  # a broker before 2.3 does not tell
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    }
)


def forbidden_of(client: AdminClient, rights: Iterable[Right]) -> set[Right]:
    """Those that we don't have, by names as the cluster has them; KafkaException where it does not answer."""
    asked = list(rights)
    if not asked:
        return set()
    names = TopicCollection(sorted({one.name for one in asked}))
    answers = client.describe_topics(names, include_authorized_operations=True, request_timeout=SECONDS)
    allowed = {name: _operations(answer) for name, answer in answers.items()}
    return {one for one in asked if (told := allowed[one.name]) is not None and one.operation not in told}


def _operations(answer: "Future[Any]") -> set[str] | None:
    """What may be done with it; None where that is not told."""
    try:
        operations = answer.result(2 * SECONDS).authorized_operations
    except KafkaException as refused:
        code = refused.args[0].code()
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return set()
        if code in UNTOLD:
            return None
        raise
    return None if operations is None else {one.name for one in operations}
