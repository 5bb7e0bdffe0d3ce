"""Three real brokers that are one cluster: each record is on three, and acknowledged once two have it."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from pipeline.local.broker import HOST, QUIET, Broker, cluster_id
from tests.conftest import free_port
from tests.faults.readers import until

REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}


@contextmanager
def three_brokers(folder: Path) -> Iterator[list[Broker]]:
    """A cluster that answers, in the folder. A test may kill its members and start them again."""
    ports = [free_port(2) for _ in range(3)]
    voters = ",".join(f"{node}@{HOST}:{port + 1}" for node, port in enumerate(ports, 1))
    cluster = cluster_id()
    brokers = [
        Broker(
            folder / f"broker-{node}",
            port,
            {"node.id": str(node), "controller.quorum.voters": voters, **REPLICATED},
            cluster,
        )
        for node, port in enumerate(ports, 1)
    ]
    try:
        for broker in brokers:
            broker.start()
        until(lambda: answering(brokers) == 3)
        yield brokers
    finally:
        for broker in brokers:
            kill(broker)  # in order they would hand over to each other, the last one for 20 s


def answering(brokers: Sequence[Broker]) -> int:
    """How many brokers the cluster counts as its own."""
    return len(_metadata(brokers).brokers)


def whole(brokers: Sequence[Broker]) -> bool:
    """Whether every partition has all of its replicas in sync."""
    topics = _metadata(brokers).topics.values()
    return all(len(one.isrs) == len(one.replicas) for topic in topics for one in topic.partitions.values())


def leads(brokers: Sequence[Broker], topic: str) -> dict[int, int]:
    """How many partitions of the topic each node leads."""
    found: dict[int, int] = {}
    for one in _metadata(brokers).topics[topic].partitions.values():
        found[one.leader] = found.get(one.leader, 0) + 1
    return found


def kill(broker: Broker) -> None:
    """kill -9."""
    if broker.pid:
        os.kill(broker.pid, signal.SIGKILL)
        until(lambda: not broker.alive)


@contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    """SIGSTOP as long as the block runs."""
    pid = broker.pid
    assert pid is not None, "the broker does not run"
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _metadata(brokers: Sequence[Broker]) -> Any:
    running = ",".join(one.bootstrap for one in brokers if one.alive)
    return AdminClient({"bootstrap.servers": running, **QUIET}).list_topics(timeout=20)
