"""The ground a benchmark stands on: a real broker on this machine, topics of its own, and the stages it starts."""

import base64
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # not in its __all__

from pipeline import settings
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.kafka.making import common
from pipeline.kafka.seam import Message
from pipeline.local.broker import SERVER, Broker
from pipeline.record import Record
from pipeline.settings import Settings
from tests.bench.figures import Implausible, Pace, Run
from tests.bench.meter import Meter
from tests.bench.processes import Process
from tests.conftest import free_port
from tests.story.lines import environment, ready, says_yes

MASTER = base64.b64encode(b"m" * 32).decode()
TOKENS = f"k1:{base64.b64encode(b't' * 32).decode()}"
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.2

Warm = Callable[[Process, Callable[[], int]], None]  # returns when the process is warm, by what it has written so far


class Ground:
    """One benchmark's topics on the broker; `settings` are what its stages are told."""

    def __init__(self, broker: Broker, told: Settings, pace: Pace) -> None:
        self.settings = told
        self.pace = pace
        self.folder = told.data
        self.cluster = Cluster(told)
        self._broker = broker
        self._counts: dict[str, int] = {}
        self._admin = AdminClient(common(told))
        admin = Admin(told)
        admin.apply(admin.plan())

    @contextmanager
    def beside(self, name: str, ladder: str) -> Iterator["Ground"]:
        """Another ground on the same broker, with its RETRY_LADDER, for a process that runs at the same time."""
        folder = self.folder / name
        folder.mkdir()
        made = Ground(self._broker, _told(self._broker, folder, ladder), self.pace)
        try:
            yield made
        finally:
            made.close()

    @property
    def environment(self) -> dict[str, str]:
        """The settings as a process is told them."""
        return environment(self.settings) | {"LOOPWIRE_LOG": "WARNING"}

    def start(self, stage: str, more: Mapping[str, str] | None = None, patience: float = PATIENCE_SECONDS) -> Process:
        """The stage as its command starts it, ready; `more` are settings of its own."""
        process = Process([sys.executable, "-m", "pipeline", stage], self.folder, {**self.environment, **(more or {})})
        try:
            process.wait_for(lambda: says_yes(ready(self.settings, stage)), patience)
        except BaseException:
            process.stop()
            raise
        return process

    def metrics(self) -> str:
        """What enrich tells."""
        return requests.get(f"http://127.0.0.1:{self.settings.metrics_port}/metrics", timeout=PATIENCE_SECONDS).text

    def meter(self, *processes: Process) -> Meter:
        """CPU-seconds of the processes, from now on."""
        return Meter(processes, self._broker.pid or 0)

    def load(self, records: Iterable[Record]) -> int:
        """Produces the records as the stages do; how many, once all are acknowledged."""
        producer = self.cluster.producer(**{"linger.ms": 20})
        refused: list[KafkaError] = []

        def told(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refused.append(error)

        count = 0
        for count, record in enumerate(records, 1):  # noqa: B007 (it is the answer)
            topic = self.cluster.full(record.topic)
            while True:
                try:
                    producer.produce(topic, record.value, record.key, on_delivery=told)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.flush()
        if refused:
            raise KafkaException(refused[0])
        return count

    def make(self, topics: Iterable[str]) -> None:
        """Compacted topics that are not Loopwire's, partitioned as its own are; returns when the broker knows them."""
        count, names = self.settings.topic_partitions, list(topics)
        new = [NewTopic(self.cluster.full(name), count, 1, config={"cleanup.policy": "compact"}) for name in names]
        for made in self._admin.create_topics(new).values():
            made.result()
        self.cluster.partitions(names)

    def count(self, topic: str) -> int:
        """How many records the topic ever got: its end offsets, summed."""
        return sum(self._ends(topic).values())

    def values(self, topic: str, starts: Mapping[int, int]) -> Iterator[bytes]:
        """The values of the topic from the offsets `starts`, by partition, to its present end."""
        ends = self._ends(topic)
        reader = self.cluster.reader()
        full = self.cluster.full(topic)
        reader.assign([TopicPartition(full, partition, start) for partition, start in starts.items()])
        left = sum(end - starts[partition] for (_, partition), end in ends.items())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left:
            if time.monotonic() > deadline:
                raise Implausible(f"{topic}: {left} records could not be read")
            messages = [message for message in reader.consume(5000, 0.2) if message.error() is None]
            left -= len(messages)
            yield from (message.value() or b"" for message in messages)
        reader.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The end offset of each partition of the topic."""
        return {partition: end for (_, partition), end in self._ends(topic).items()}

    def from_the_start(self, stage: str) -> None:
        """Forgets what the stage's group has read, so that its next process begins at the first record."""
        group = self.cluster.full(f"loopwire-{stage}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._admin.delete_consumer_groups([group])[group].result()
                return
            except KafkaException as refused:
                if refused.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)  # its last member is still leaving

    def committed(self, group: str, topic: str) -> int:
        """How far the group has read the topic: its committed offsets, summed."""
        places = [TopicPartition(self.cluster.full(topic), number) for number in self.ends(topic)]
        asked = ConsumerGroupTopicPartitions(self.cluster.full(group), places)
        [answer] = self._admin.list_consumer_group_offsets([asked]).values()
        return sum(max(0, place.offset) for place in answer.result().topic_partitions)

    def done(self, stage: str, topics: Iterable[str]) -> bool:
        """Whether the stage has read the topics to their ends, and all that it made of them is acknowledged."""
        return all(self.committed(f"loopwire-{stage}", topic) == self.count(topic) for topic in topics)

    def steady(self, process: Process, topic: str, most: int, warm: Warm | None = None) -> Run | None:
        """What `process` writes into `topic` once it is warm; None where all of `most` came too soon to tell.

        Without `warm` it is warm after the pace's time.
        """
        before = self.count(topic)
        process.wait_for(lambda: self.count(topic) > before)
        if warm is None:
            time.sleep(self.pace.warm)
        else:
            warm(process, partial(self.count, topic))
        first = self.count(topic)
        meter = self.meter(process)
        process.wait_for(lambda: meter.seconds >= self.pace.steady)
        last = self.count(topic)
        run = meter.run(last - first)
        return None if last - before >= most else run

    def close(self) -> None:
        """Deletes its topics: the next benchmark's broker is as empty as this one's."""
        names = [self.cluster.full(topic) for topic in self.cluster.topics()]
        for deleted in self._admin.delete_topics(names, operation_timeout=PATIENCE_SECONDS).values():
            deleted.result()

    def _ends(self, topic: str) -> dict[tuple[str, int], int]:
        if topic not in self._counts:
            self._counts |= self.cluster.partitions([topic])
        return self.cluster.ends((topic, number) for number in range(self._counts[topic]))


def agree(what: str, one: int, other: int) -> None:
    """Implausible unless both counts are the same."""
    if one != other:
        raise Implausible(f"{what}: {one} and {other}")


class Land:
    """A broker of this run's own, and a ground on it for each benchmark."""

    def __init__(self, broker: Broker, folder: Path, pace: Pace) -> None:
        self._broker = broker
        self._folder = folder
        self._pace = pace

    @contextmanager
    def ground(self, name: str) -> Iterator[Ground]:
        """Fresh topics under a prefix of its own."""
        folder = self._folder / name
        folder.mkdir()
        made = Ground(self._broker, _told(self._broker, folder), self._pace)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def land(pace: Pace) -> Iterator[Land]:
    """A broker in a folder that goes with it."""
    with TemporaryDirectory(prefix="loopwire-bench-", ignore_cleanup_errors=True) as folder:
        broker = Broker(Path(folder) / "broker", free_port(2), jvm=SERVER)
        try:
            broker.start()
            broker.wait_ready()
            yield Land(broker, Path(folder), pace)
        finally:
            broker.stop()


# Where no POST fails: a delivery that was held because its lane was full comes back soon.
SHORT_LADDER = "5s"


def _told(broker: Broker, folder: Path, ladder: str = SHORT_LADDER) -> Settings:
    return settings.read(
        _env_file=None,
        kafka=broker.bootstrap,
        data=folder,
        topic_prefix=f"{folder.name}-{secrets.token_hex(2)}-",
        capture_port=free_port(),
        capture_workers=1,
        console_port=free_port(),
        metrics_port=free_port(2),
        admin_key="adm_bench",
        master_key=MASTER,
        token_keys=TOKENS,
        allow_networks="127.0.0.0/8",
        retry_ladder=ladder,
    )
