"""What a cluster lacks against topics/, and making it so: nothing is deleted, nothing shrinks."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from pipeline.kafka.client import Cluster
from pipeline.kafka.making import common, made
from pipeline.kafka.refusal import FORBIDDEN, missing
from pipeline.kafka.rights import check
from pipeline.kafka.seam import Kafka, Right
from pipeline.settings import Settings
from pipeline.topics import Wanted, read, wanted

Kind = Literal["create", "grow", "configure", "conflict"]
SECONDS = 30.0


class Step(NamedTuple):
    """One thing between the cluster and topics/. A `conflict` is told, and left to the operator."""

    kind: Kind
    topic: Wanted
    detail: str


class Present(NamedTuple):
    """One topic as the cluster has it; `config` holds what `Wanted.config` names."""

    partitions: int
    empty: bool
    config: dict[str, str]


def plan(topics: Iterable[Wanted], present: dict[str, Present]) -> list[Step]:
    """What has to be done, topic by topic.

    A topic that holds records is not grown: its keys would be looked for where they aren't.
    """
    return [step for topic in topics for step in _steps(topic, present.get(topic.name))]


def _steps(topic: Wanted, there: Present | None) -> list[Step]:
    if there is None:
        return [Step("create", topic, f"{topic.partitions} partitions")]
    steps = []
    counts = f"{there.partitions} partitions, {topic.partitions} wanted"
    if there.partitions < topic.partitions and there.empty:
        steps.append(Step("grow", topic, counts))
    elif there.partitions != topic.partitions:
        why = "it never shrinks" if there.partitions > topic.partitions else "it holds records placed by key"
        steps.append(Step("conflict", topic, f"{counts}: {why}; set LOOPWIRE_TOPIC_PARTITIONS={there.partitions}"))
    changed = {name: value for name, value in topic.config.items() if there.config.get(name) != value}
    if changed:
        steps.append(Step("configure", topic, ", ".join(f"{name}={value}" for name, value in changed.items())))
    return steps


class Admin:
    """Looks at a cluster's topics and changes them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster = Cluster(settings)
        self._client = made(AdminClient, common(settings))

    def plan(self) -> list[Step]:
        """What the cluster lacks against topics/; KafkaException where it can't be asked."""
        declared = wanted(read(), self._settings.topic_partitions, self._settings.retry_ladder)
        return plan(declared, self._present(declared))

    def apply(self, steps: Iterable[Step]) -> None:
        """Does the steps, conflicts apart; KafkaException names what the cluster refused."""
        todo = list(steps)
        self._create([step.topic for step in todo if step.kind == "create"])
        self._grow([step.topic for step in todo if step.kind == "grow"])
        self._configure([step.topic for step in todo if step.kind == "configure"])

    def _present(self, declared: list[Wanted]) -> dict[str, Present]:
        there = set(self._cluster.topics())
        unseen = [topic.name for topic in declared if topic.name not in there]
        check(
            self._cluster, [Right("DESCRIBE", "topic", name) for name in unseen]
        )  # else each would seem to be missing
        names = [topic.name for topic in declared if topic.name in there]
        counts = self._cluster.partitions(names)
        configs = self._configs(declared, names)
        return {name: Present(counts[name], self._is_empty(name, counts[name]), configs[name]) for name in names}

    def _configs(self, declared: list[Wanted], names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        check(self._cluster, [Right("DESCRIBE_CONFIGS", "topic", name) for name in names])
        asked = [ConfigResource(ResourceType.TOPIC, self._cluster.full(name)) for name in names]
        answers = self._client.describe_configs(asked, request_timeout=SECONDS)
        words = {topic.name: topic.config for topic in declared}
        found: dict[str, dict[str, str]] = {}
        for resource, answer in answers.items():
            name, entries = self._cluster.bare(resource.name), answer.result()
            found[name] = {word: str(entries[word].value) for word in words[name] if word in entries}
        return found

    def _is_empty(self, name: str, count: int) -> bool:
        return not any(self._cluster.ends([(name, number) for number in range(count)]).values())

    def _create(self, topics: list[Wanted]) -> None:
        replication = self._settings.topic_replication
        safe = {"min.insync.replicas": "2"} if replication > 2 else {}
        new = [
            NewTopic(
                self._cluster.full(topic.name),
                num_partitions=topic.partitions,
                replication_factor=replication,
                config=topic.config | safe,
            )
            for topic in topics
        ]
        if new:
            made = self._client.create_topics(new, operation_timeout=SECONDS)
            _done("CREATE", made, frozenset({KafkaError.TOPIC_ALREADY_EXISTS}))

    def _grow(self, topics: list[Wanted]) -> None:
        new = [NewPartitions(self._cluster.full(topic.name), topic.partitions) for topic in topics]
        if new:
            _done("ALTER", self._client.create_partitions(new, operation_timeout=SECONDS))

    def _configure(self, topics: list[Wanted]) -> None:
        changes = [
            ConfigResource(
                ResourceType.TOPIC,
                self._cluster.full(topic.name),
                incremental_configs=[
                    ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                    for name, value in topic.config.items()
                ],
            )
            for topic in topics
        ]
        if changes:
            changed = self._client.incremental_alter_configs(changes, request_timeout=SECONDS)
            _done("ALTER_CONFIGS", {resource.name: one for resource, one in changed.items()})


def check_family(kafka: Kafka, names: list[str]) -> int:
    """The one partition count of topics that share a key space; KafkaException names the two that differ."""
    counts = kafka.partitions(names)
    first = names[0]
    for name in names:
        if counts[name] != counts[first]:
            reason = (
                f"{kafka.full(first)} has {counts[first]} partitions and {kafka.full(name)} has {counts[name]}:"
                " topics that share a key space need one count"
            )
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG, reason))  # noqa: SLF001
    return counts[first]


def _done(operation: str, futures: Mapping[str, "Future[Any]"], fine: frozenset[int] = frozenset()) -> None:
    """Waits for what was asked for each topic; KafkaException names all for which it is not allowed."""
    lacking = []
    for topic, future in futures.items():
        try:
            future.result()
        except KafkaException as refused:
            if refused.args[0].code() in FORBIDDEN:
                lacking.append(f"{operation} on topic {topic}")
            elif refused.args[0].code() not in fine:
                raise
    if lacking:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, missing(lacking)))
