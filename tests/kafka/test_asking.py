"""What a cluster is asked about partitions: where they begin and end, and since when; also while it can't tell."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.kafka import asking, making
from pipeline.kafka.client import Cluster
from pipeline.settings import Settings
from pipeline.topics import HITS, TAGS

PLACES = [(TAGS, 0), (TAGS, 1)]


@pytest.fixture
def cluster(cluster_settings: Settings) -> Cluster:
    made = Cluster(cluster_settings)
    producer: Any = made.producer()  # the stages say no times
    for at in range(3):
        producer.produce(made.full(TAGS), b"{}", b"k", 1, timestamp=1_000 * (at + 1))
    assert producer.flush(30) == 0
    return made


def test_where_partitions_begin_and_end_and_since_when(cluster: Cluster) -> None:
    assert cluster.starts(PLACES) == {(TAGS, 0): 0, (TAGS, 1): 0}
    assert cluster.ends(PLACES) == cluster.ends(PLACES, undecided=True) == {(TAGS, 0): 0, (TAGS, 1): 3}
    assert cluster.ends([]) == {}
    assert cluster.since(PLACES, 2_000) == {(TAGS, 0): 0, (TAGS, 1): 1}
    assert cluster.since(PLACES, 3_001) == {(TAGS, 0): 0, (TAGS, 1): 3}


@pytest.mark.parametrize("before_1970", [-1, -2, -3, -1_000_000])
def test_since_before_there_were_computers_is_from_the_start(cluster: Cluster, before_1970: int) -> None:
    assert cluster.since(PLACES, before_1970) == {(TAGS, 0): 0, (TAGS, 1): 0}


class Asker:
    """One that is answered by what stands in `answers`, the first first, then by the cluster."""

    def __init__(self, behind: Any, answers: list[KafkaException]) -> None:
        self._behind = behind
        self._answers = answers

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        if self._answers:
            raise self._answers.pop(0)
        found: list[TopicPartition] = self._behind.offsets_for_times(asked, timeout)
        return found

    def poll(self, timeout: float) -> None:
        self._behind.poll(timeout)


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_PARTITION, KafkaError._DESTROY_BROKER, KafkaError._RESOLVE])
def test_partitions_without_a_leader_are_asked_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real, answers = making.made, [KafkaException(KafkaError(code)), KafkaException(KafkaError(code))]

    def made(kind: Any, config: dict[str, Any]) -> Any:
        return Asker(real(kind, config), answers) if kind is Consumer else real(kind, config)

    monkeypatch.setattr(asking, "made", made)
    assert cluster.ends(PLACES) == {(TAGS, 0): 0, (TAGS, 1): 3}
    assert answers == []


def test_a_topic_that_is_not_there_is_named_by_kafka_s_own_reason(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(KafkaException) as refused:
        cluster.ends([("no-such-topic", 0)])
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_who_is_in_a_hurry_is_not_kept(cluster: Cluster) -> None:
    cluster.hurry()
    began = time.monotonic()
    with pytest.raises(KafkaException):
        cluster.ends([(HITS, 999)])
    assert time.monotonic() - began < asking.PATIENCE_SECONDS
