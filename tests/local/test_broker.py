"""The embedded broker, started for real: what it promises, and what it says when it can't."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.local import broker as broker_module
from pipeline.local.broker import QUIET, Broker, BrokerError, log4j2_properties, server_properties
from tests.alive import alive
from tests.conftest import free_port


def until(holds: Callable[[], bool], seconds: float) -> None:
    assert broker_module._until(holds, seconds), f"did not come true in {seconds} s"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    data = tmp_path_factory.mktemp("data") / "a broker, ü"
    (data / "kafka.new").mkdir(parents=True)  # what an interrupted format leaves
    (data / "kafka.new" / "meta.properties").write_text("half a li")
    broker = Broker(data, free_port(2))
    broker.start()
    broker.wait_ready()
    yield broker
    broker.stop()


def create(broker: Broker, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, **QUIET})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(10)


def produce(broker: Broker, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, **QUIET})
    producer.produce(topic, value)
    assert producer.flush(10) == 0


def first_value(broker: Broker, topic: str) -> bytes | None:
    config = {"group.id": "reader", "auto.offset.reset": "earliest", "group.protocol": "consumer"}
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, **config, **QUIET})
    with closing(consumer):
        consumer.subscribe([topic])
        message = consumer.poll(20)
        return message.value() if message else None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("process.roles", "broker,controller"),
        ("listeners", "PLAINTEXT://127.0.0.1:7000,CONTROLLER://127.0.0.1:7001"),
        ("advertised.listeners", "PLAINTEXT://127.0.0.1:7000"),
        ("controller.quorum.voters", "1@127.0.0.1:7001"),
        ("log.dirs", "some/where"),
        ("auto.create.topics.enable", "false"),
        ("group.consumer.session.timeout.ms", "4000"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "3"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("share.coordinator.state.topic.num.partitions", "1"),
    ],
)
def test_the_configuration_says(name: str, value: str) -> None:
    lines = server_properties(Path("some/where"), 7000).splitlines()
    assert [line for line in lines if line.startswith(f"{name}=")] == [f"{name}={value}"]


def test_the_log_is_capped() -> None:
    text = log4j2_properties()
    assert "appender.file.policies.size=5MB\n" in text
    assert "appender.file.strategy.max=1\n" in text


def test_a_record_outlives_kill_9_and_a_move_to_another_port(broker: Broker) -> None:
    create(broker, "kept")
    produce(broker, "kept", b"still here")
    assert broker.pid
    os.kill(broker.pid, signal.SIGKILL)
    until(lambda: not broker.alive, 5)
    broker.port = free_port(2)
    broker.start()
    broker.wait_ready()
    assert first_value(broker, "kept") == b"still here"


def test_topics_are_not_made_by_chance(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, **QUIET})
    assert admin.list_topics("never-created", timeout=10).topics["never-created"].error is not None
    assert "never-created" not in admin.list_topics(timeout=10).topics


def test_stopping_takes_seconds_may_be_done_twice_and_is_not_the_end(broker: Broker) -> None:
    began = time.monotonic()
    broker.stop()
    broker.stop()
    assert time.monotonic() - began < 10
    assert (broker.alive, broker.pid) == (False, None)
    broker.start()
    broker.wait_ready()
    assert broker.alive


def test_starting_twice_keeps_the_first(broker: Broker) -> None:
    pid = broker.pid
    broker.start()
    assert broker.pid == pid


MEMBER = """
import sys
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "workers", "group.protocol": "consumer",
                     "auto.offset.reset": "earliest"})
consumer.subscribe(["work"], on_assign=lambda _, partitions: print(len(partitions), flush=True))
while True:
    consumer.poll(0.1)
"""


def test_the_partitions_of_a_killed_consumer_move_within_seconds(broker: Broker) -> None:
    create(broker, "work", 2)
    with subprocess.Popen([sys.executable, "-c", MEMBER, broker.bootstrap], stdout=subprocess.PIPE) as member:
        assert member.stdout
        assert member.stdout.readline() == b"2\n"
        member.kill()
    began = time.monotonic()
    config = {"group.id": "workers", "group.protocol": "consumer", "bootstrap.servers": broker.bootstrap}
    with closing(Consumer({**config, **QUIET})) as heir:
        heir.subscribe(["work"])
        until(lambda: heir.poll(0.1) is None and len(heir.assignment()) == 2, 20)
    assert time.monotonic() - began < 7


def test_a_folder_in_use_names_the_process_that_uses_it(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "LEAVING_SECONDS", 0.1)
    second = Broker(broker.data, free_port(2))
    with pytest.raises(BrokerError, match=rf"in use by another broker \(pid {broker.pid}\)"):
        second.start()
    second.stop()
    assert broker.alive


@pytest.mark.parametrize("offset", [0, 1])
def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path: Path, offset: int) -> None:
    port = free_port(2)
    says = rf"\Aport {port + offset} .*in use.*LOOPWIRE_BROKER_PORT moves"
    with socket.create_server(("127.0.0.1", port + offset)), pytest.raises(BrokerError, match=says):
        Broker(tmp_path, port).start()


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("kafka/hits-0/00000000000000000000.log", "kafka is half-written .* remove .* to start empty"),
        ("letters/mother.txt", r"holds files but no broker's \(letters\): choose an empty folder"),
    ],
)
def test_a_folder_that_is_no_brokers_is_left_alone(tmp_path: Path, file: str, sentence: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("precious")
    with pytest.raises(BrokerError, match=sentence):
        Broker(tmp_path, free_port(2)).start()
    assert (tmp_path / file).read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("a file where the folder should be")
    with pytest.raises(BrokerError, match=r"can't be written .*: choose another folder"):
        Broker(tmp_path / "broker", free_port(2)).start()


def test_java_that_dies_at_its_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n")
    broker = Broker(tmp_path, free_port(2))
    broker.start()
    with pytest.raises(BrokerError, match=r"\AKafka ended at its start: .*node.?id.*\Z"):
        broker.wait_ready()
    broker.stop()


PARENT = """
import sys, time
from pathlib import Path
from pipeline.local.broker import Broker
broker = Broker(Path(sys.argv[1]), int(sys.argv[2]))
broker.start()
broker.wait_ready()
print(broker.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_it_ends_with_a_parent_killed_by_9_and_the_next_may_start_at_once(tmp_path: Path) -> None:
    port = free_port(2)
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    broker = Broker(tmp_path, port)
    broker.start()
    broker.wait_ready()
    assert broker.pid != pid
    broker.stop()
    assert not alive(pid)
