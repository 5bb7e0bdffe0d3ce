"""What a cluster lacks against topics/, and making it so: nothing is deleted, nothing shrinks."""

import time
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from pipeline import topics
from pipeline.kafka.admin import Admin, Kind, Present, Step, check_family, plan
from pipeline.kafka.client import Cluster
from pipeline.kafka.making import common
from pipeline.kafka.memory import Memory
from pipeline.settings import Settings
from pipeline.topics import Wanted

KEPT = {"cleanup.policy": "delete", "retention.ms": "604800000"}
HITS = Wanted("hits", 12, KEPT)


@pytest.mark.parametrize(
    ("there", "steps"),
    [
        (None, [("create", "12 partitions")]),
        (Present(12, False, KEPT), []),
        (Present(12, True, KEPT), []),
        (Present(12, True, KEPT | {"compression.type": "lz4"}), []),
        (Present(4, True, KEPT), [("grow", "4 partitions, 12 wanted")]),
        (
            Present(4, False, KEPT),
            [("conflict", "4 partitions, 12 wanted: it holds records placed by key; set LOOPWIRE_TOPIC_PARTITIONS=4")],
        ),
        (
            Present(20, False, KEPT),
            [("conflict", "20 partitions, 12 wanted: it never shrinks; set LOOPWIRE_TOPIC_PARTITIONS=20")],
        ),
        (
            Present(20, True, KEPT),
            [("conflict", "20 partitions, 12 wanted: it never shrinks; set LOOPWIRE_TOPIC_PARTITIONS=20")],
        ),
        (Present(12, False, KEPT | {"retention.ms": "1"}), [("configure", "retention.ms=604800000")]),
        (Present(12, False, {}), [("configure", "cleanup.policy=delete, retention.ms=604800000")]),
        (
            Present(4, True, KEPT | {"cleanup.policy": "compact"}),
            [("grow", "4 partitions, 12 wanted"), ("configure", "cleanup.policy=delete")],
        ),
    ],
)
def test_the_steps_between_a_cluster_and_what_is_wanted(there: Present | None, steps: list[tuple[Kind, str]]) -> None:
    present = {} if there is None else {"hits": there}
    assert plan([HITS], present) == [Step(kind, HITS, detail) for kind, detail in steps]


def test_a_topic_that_nobody_declared_is_left_alone() -> None:
    assert plan([], {"theirs": Present(1, False, {})}) == []


@dataclass
class Bench:
    """A cluster of the test's own."""

    settings: Settings

    def __post_init__(self) -> None:
        self.admin = Admin(self.settings)
        self.cluster = Cluster(self.settings)
        self.client = AdminClient(common(self.settings))

    def plan(self, **changed: Any) -> list[tuple[str, str]]:
        admin = Admin(self.settings.model_copy(update=changed))
        return [(step.kind, step.topic.name) for step in admin.plan()]

    def soon(self, steps: list[tuple[str, str]], **changed: Any) -> bool:
        """Whether the plan becomes this: a broker shows a change a moment after it took it."""
        deadline = time.monotonic() + 30
        while (found := self.plan(**changed)) != steps and time.monotonic() < deadline:
            pass
        return found == steps

    def apply(self, **changed: int) -> None:
        admin = Admin(self.settings.model_copy(update=changed))
        admin.apply(admin.plan())

    def put(self, topic: str, key: bytes) -> None:
        producer = self.cluster.producer()
        producer.produce(self.cluster.full(topic), b"x", key)
        assert producer.flush(30) == 0

    def configure(self, topic: str, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.cluster.full(topic), incremental_configs=[entry])
        for future in self.client.incremental_alter_configs([resource]).values():
            future.result()

    def config(self, topic: str, name: str) -> str:
        resource = ConfigResource(ResourceType.TOPIC, self.cluster.full(topic))
        (answer,) = self.client.describe_configs([resource]).values()
        return str(answer.result()[name].value)


@pytest.fixture
def bench(cluster_settings: Settings) -> Bench:
    return Bench(cluster_settings)


def test_what_was_applied_needs_nothing_more(bench: Bench) -> None:
    assert bench.soon([])
    bench.apply()
    assert bench.plan() == []
    wanted = topics.wanted(topics.read(), 4, bench.settings.retry_ladder)
    assert bench.cluster.partitions([topic.name for topic in wanted]) == {
        topic.name: topic.partitions for topic in wanted
    }
    assert {(topic.name, name): bench.config(topic.name, name) for topic in wanted for name in topic.config} == {
        (topic.name, name): value for topic in wanted for name, value in topic.config.items()
    }


def test_steps_that_another_took_meanwhile_are_no_fault(bench: Bench) -> None:
    bench.admin.apply([Step("create", Wanted("hits", 4, KEPT), "4 partitions")])
    assert bench.plan() == []


def test_a_topic_that_is_missing_is_made_and_the_others_are_left_alone(bench: Bench) -> None:
    prefix = bench.settings.topic_prefix + "x-"
    other = Admin(bench.settings.model_copy(update={"topic_prefix": prefix}))
    other.apply(step for step in other.plan() if step.topic.name != "tags")
    assert bench.soon([("create", "tags")], topic_prefix=prefix)
    other.apply(other.plan())
    assert bench.soon([], topic_prefix=prefix)


def test_an_empty_topic_grows_and_one_that_holds_records_does_not(bench: Bench) -> None:
    bench.put(topics.PROFILES, b"shop/jane")
    steps = {name: kind for kind, name in bench.plan(topic_partitions=6)}
    assert {name: kind for name, kind in steps.items() if kind == "conflict"} == {"profiles": "conflict"}
    assert {steps[name] for name in ("hits", "events", "deliveries", "tags")} == {"grow"}
    assert not {"loops", "loop-states", "accounts"} & set(steps), "they have one partition whatever is set"
    bench.apply(topic_partitions=6)
    assert bench.soon([("conflict", "profiles")], topic_partitions=6)
    assert bench.cluster.partitions(["hits", "profiles"]) == {"hits": 6, "profiles": 4}
    with pytest.raises(KafkaException) as refused:
        check_family(bench.cluster, topics.family(topics.read(), "profile"))
    prefix = bench.settings.topic_prefix
    assert refused.value.args[0].str() == (
        f"{prefix}events has 6 partitions and {prefix}profiles has 4: topics that share a key space need one count"
    )


def test_a_topic_never_shrinks(bench: Bench) -> None:
    assert {kind for kind, _ in bench.plan(topic_partitions=2)} == {"conflict"}
    bench.apply(topic_partitions=2)
    assert bench.cluster.partitions(["hits"]) == {"hits": 4}


def test_a_wrong_config_is_mended_and_what_the_operator_added_stays(bench: Bench) -> None:
    bench.configure(topics.HITS, "retention.ms", "1000")
    bench.configure(topics.HITS, "max.message.bytes", "2000000")
    assert bench.soon([("configure", "hits")])
    bench.apply()
    assert bench.soon([])
    assert (bench.config("hits", "retention.ms"), bench.config("hits", "max.message.bytes")) == ("604800000", "2000000")


def test_a_prefix_keeps_two_installations_apart(bench: Bench) -> None:
    other = Admin(bench.settings.model_copy(update={"topic_prefix": bench.settings.topic_prefix + "x-"}))
    assert {step.kind for step in other.plan()} == {"create"}


def test_topics_of_one_family_have_one_count() -> None:
    memory = Memory({"hits": 4, "events": 4, "profiles": 6})
    assert check_family(memory, ["hits", "events"]) == 4
    with pytest.raises(KafkaException, match="hits has 4 partitions and profiles has 6"):
        check_family(memory, ["hits", "events", "profiles"])
    with pytest.raises(KafkaException, match="there is no topic nowhere"):
        check_family(memory, ["hits", "nowhere"])
