"""Deliver workers as real processes on a real broker, for tests that kill, stop and add them."""

import itertools
from typing import Any

from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.model.loops import Loop
from pipeline.record import Record
from pipeline.settings import Settings
from tests.bench.work import deliveries, loop_rows
from tests.conftest import free_port
from tests.story.lines import Processes


class Workers:
    """Deliver processes that share the partitions, and the topics they work on."""

    def __init__(self, told: Settings) -> None:
        self.settings = told
        self.kafka = Cluster(told)
        self.running: list[Processes] = []
        admin = Admin(told)
        admin.apply(admin.plan())

    def start(self, **changed: Any) -> Processes:
        """One more."""
        told = self.settings.model_copy(update={"metrics_port": free_port(2)} | changed)
        told.model_fields_set.update({"metrics_port", *changed})
        made = Processes(told, ["deliver"])
        self.running.append(made)
        return made

    def kill(self, worker: Processes) -> None:
        """kill -9."""
        worker.kill("deliver")
        self.running.remove(worker)

    def stop(self, worker: Processes) -> None:
        """SIGTERM, and its end awaited."""
        worker.close()
        self.running.remove(worker)

    def put(self, loops: list[Loop], count: int) -> set[str]:
        """So many deliveries, for the loops in turn; their ids."""
        sent = self.sequence(loops, count, profiles=100)
        self.produce(sent)
        return {id_of(record) for record in sent}

    def sequence(self, loops: list[Loop], count: int, profiles: int) -> list[Record]:
        """So many deliveries, for the loops in turn, which are known from now on: those of others are dead letters."""
        self.produce(list(loop_rows(loops)))
        return list(itertools.islice(deliveries(loops, profiles), count))

    def produce(self, records: list[Record]) -> None:
        """Writes them."""
        producer = self.kafka.producer()
        for record in records:
            producer.produce(self.kafka.full(record.topic), record.value, record.key)
            producer.poll(0)
        assert producer.flush(30) == 0

    def poison(self, topic: str, value: bytes, key: bytes) -> None:
        """A record that holds no delivery."""
        producer = self.kafka.producer()
        producer.produce(self.kafka.full(topic), value, key)
        assert producer.flush(30) == 0

    def count(self, topic: str) -> int:
        """How many records the topic got."""
        places = [(topic, number) for number in range(self.kafka.partitions([topic])[topic])]
        return sum(self.kafka.ends(places).values())


def id_of(delivery: Record) -> str:
    """The delivery's id."""
    return (delivery.value or b"").partition(b'"id":"')[2].partition(b'"')[0].decode()
