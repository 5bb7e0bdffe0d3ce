"""What a cluster says we may do with topics and groups: asked for all of them at once."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from pipeline.kafka.seam import Right

SECONDS = 10.0
REFUSED = {"topic": KafkaError.TOPIC_AUTHORIZATION_FAILED, "group": KafkaError.GROUP_AUTHORIZATION_FAILED}
UNTOLD = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.GROUP_ID_NOT_FOUND,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,  # of a group whose members read what we may not see
        KafkaError.UNSUPPORTED_VERSION,  # a broker before 2.3 does not tell
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    }
)


def forbidden_of(client: AdminClient, rights: Iterable[Right]) -> set[Right]:
    """Those that we don't have, by names as the cluster has them; KafkaException where it does not answer."""
    asked = list(rights)
    allowed = {kind: _allowed(client, kind, {one.name for one in asked if one.kind == kind}) for kind in REFUSED}
    return {one for one in asked if one.operation not in allowed[one.kind].get(one.name, {one.operation})}


def _allowed(client: AdminClient, kind: str, names: Iterable[str]) -> dict[str, set[str]]:
    """What may be done with each, as far as it is told."""
    found = {name: _operations(answer, kind) for name, answer in _answers(client, kind, sorted(names)).items()}
    return {name: operations for name, operations in found.items() if operations is not None}


def _answers(client: AdminClient, kind: str, names: list[str]) -> "Mapping[str, Future[Any]]":
    more = {"include_authorized_operations": True, "request_timeout": SECONDS}
    if not names:
        return {}
    if kind == "group":
        return client.describe_consumer_groups(names, **more)
    return client.describe_topics(TopicCollection(names), **more)


def _operations(answer: "Future[Any]", kind: str) -> set[str] | None:
    """What may be done with it; None where that is not told."""
    try:
        operations = answer.result(2 * SECONDS).authorized_operations
    except KafkaException as refused:
        code = refused.args[0].code()
        if code == REFUSED[kind]:
            return set()
        if code in UNTOLD:
            return None
        raise
    return None if operations is None else {one.name for one in operations}
