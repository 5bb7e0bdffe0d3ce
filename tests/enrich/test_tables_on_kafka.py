"""Tables survive: real enrich processes on a real broker, with profiles in memory and on disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
import requests
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # not in its __all__

from pipeline import topics
from pipeline.enrich.store import Rocks, Store
from pipeline.kafka.client import Cluster
from pipeline.kafka.murmur2 import partition_of
from pipeline.settings import Settings
from tests.conftest import free_port
from tests.story.lines import environment

PARTITIONS = 4
PEOPLE = [f"p{number}" for number in range(40)]
ROCKS = Rocks()


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"the condition did not come true in {seconds} s"
        time.sleep(0.01)


class Worker:
    """One `loopwire enrich`; what it says goes into a file."""

    def __init__(self, settings: Settings, said: Path) -> None:
        self._settings = settings.model_copy(update={"metrics_port": free_port(2)})
        self._said = said
        with said.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", "enrich"],
                env=environment(self._settings), cwd=Path(__file__).parents[2], stdout=out, stderr=out,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_ready(self) -> None:
        until(lambda: self._gives("/ready") is not None)

    def wait_owner(self) -> None:
        """Until partitions were given to it, and their profiles are at hand."""
        until(lambda: self.process.poll() is not None or "are ours" in self.said)
        assert self.process.poll() is None, self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(40) == 0, self.said

    def _gives(self, path: str) -> str | None:
        assert self.process.poll() is None, self.said
        try:
            answer = requests.get(f"http://127.0.0.1:{self._settings.metrics_port}{path}", timeout=2)
        except requests.RequestException:
            return None
        return answer.text if answer.status_code == 200 else None


class World:
    """The topics, what is written into them, and what enrich makes of it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.kafka = Cluster(settings)
        self._folder = folder
        self._producer = self.kafka.producer()
        self._workers: list[Worker] = []
        self._reader = self.kafka.reader()
        events = self.kafka.full(topics.EVENTS)
        self._reader.assign([TopicPartition(events, number, 0) for number in range(PARTITIONS)])
        self._hits = 0

    def start(self) -> Worker:
        worker = Worker(self.settings, self._folder / f"said-{len(self._workers)}")
        self._workers.append(worker)
        worker.wait_ready()
        worker.wait_owner()
        return worker

    def write(self, profiles: dict[str, str | None]) -> None:
        """Profiles with their addresses; None erases."""
        for name, address in profiles.items():
            value = None if address is None else msgspec.json.encode({"id": name, "account": "a", "email": address})
            self._produce(topics.PROFILES, f"a/{name}", value)
        assert self._producer.flush(30) == 0

    def known(self, names: Iterable[str]) -> dict[str, str | None]:
        """Whom enrich says that a hit of each was of."""
        self._hits += 1
        message = f"m{self._hits}"
        asked = list(names)
        for name in asked:
            hit = {"id": f"{message}-{name}", "type": "open", "account": "a", "profile": name, "mailing": "m",
                   "message": message, "at": "2026-03-20T09:15:00Z"}  # fmt: skip
            self._produce(topics.HITS, f"a/{name}", msgspec.json.encode(hit))
        assert self._producer.flush(30) == 0
        found: dict[str, str | None] = {}

        def all_told() -> bool:
            for read in self._reader.consume(1000, 0.1):
                event = msgspec.json.decode(read.value() or b"{}") if read.error() is None else {}
                if event.get("message") == message:
                    found[event["profile"]] = event.get("recipient")
            return len(found) == len(asked)

        until(all_told)
        return found

    def stores(self) -> dict[int, Store]:
        """The stores, while no worker has them open."""
        return {number: Store(ROCKS, self.path(number)) for number in range(PARTITIONS)}

    def path(self, number: int) -> Path:
        return self.settings.data / "tables" / f"{self.kafka.full(topics.PROFILES)}-{number}"

    def loading(self) -> bool:
        """Whether rows were written by who is not ready yet."""
        return any(file.stat().st_size > 50_000 for file in self.settings.data.glob("tables/*/*.log"))

    def _produce(self, topic: str, key: str, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(self.kafka.full(topic), value, key.encode())
                return
            except BufferError:
                self._producer.poll(0.1)

    def close(self) -> None:
        self._reader.close()
        del self._producer  # else it would look for its broker when that has ended
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()


@pytest.fixture(params=["memory", "disk"])
def world(request: pytest.FixtureRequest, cluster_settings: Settings, tmp_path: Path) -> Iterator[World]:
    told = cluster_settings.model_copy(update={"data": tmp_path / "data", "table_store": request.param})
    made = World(told, tmp_path)
    yield made
    made.close()


def addresses(word: str, names: Iterable[str] = PEOPLE) -> dict[str, str | None]:
    return {name: f"{name}@{word}.example" for name in names}


slow = pytest.mark.faults
on_disk = pytest.mark.parametrize("world", ["disk"], indirect=True)


@on_disk
def test_after_a_stop_what_is_known_is_what_the_topic_says(world: World) -> None:
    world.write(addresses("old"))
    worker = world.start()
    assert world.known(PEOPLE) == addresses("old")
    world.write(addresses("new", PEOPLE[:10]) | {PEOPLE[39]: None})
    assert world.known(PEOPLE) == addresses("old") | addresses("new", PEOPLE[:10]) | {PEOPLE[39]: None}
    worker.stop()
    world.write(addresses("newer", PEOPLE[5:15]) | {PEOPLE[38]: None})
    world.start()
    wanted = addresses("old") | addresses("new", PEOPLE[:10]) | addresses("newer", PEOPLE[5:15])
    assert world.known(PEOPLE) == wanted | {PEOPLE[38]: None, PEOPLE[39]: None}


@on_disk
def test_a_warm_start_reads_only_what_is_new(world: World) -> None:
    world.write(addresses("old"))
    world.start().stop()
    number = partition_of(b"a/p1", PARTITIONS)
    stores = world.stores()
    places = [(topics.PROFILES, one) for one in stores]
    assert {place: mark.offset for place, one in zip(places, stores.values(), strict=True) if (mark := one.mark)} == (
        world.kafka.ends(places)
    )
    mark = stores[number].mark
    assert mark is not None
    stores[number].write([(b"a/p1", b',"recipient":"only@disk.example"')], mark)
    for store in stores.values():
        store.close()
    world.write(addresses("new", ["p2"]))
    world.start()
    assert world.known(["p1", "p2"]) == {"p1": "only@disk.example", "p2": "p2@new.example"}


@slow
@on_disk
def test_kill_9_in_the_middle_of_a_load_and_of_its_end_leaves_nothing_wrong(world: World) -> None:
    many = {f"p{number}": f"p{number}@mail.example" for number in range(60_000)}
    world.write(dict(many))
    for _ in range(3):
        worker = Worker(world.settings, world.settings.data.parent / "killed")
        until(world.loading)
        worker.kill()
    killed = world.stores()
    assert any(store.mark and store.mark.offset for store in killed.values())
    for store in killed.values():
        store.close()
    worker = world.start()
    assert "made anew" not in worker.said
    worker.kill()
    world.write({"p7": None, "p8": "p8@new.example"})
    world.start().stop()
    stores = world.stores()
    keys: dict[int, list[bytes]] = {number: [] for number in stores}
    for name in many:
        keys[partition_of(f"a/{name}".encode(), PARTITIONS)].append(f"a/{name}".encode())
    found = {key: tail for number, own in keys.items() for key, tail in zip(own, stores[number].many(own), strict=True)}
    wanted = {f"a/{name}".encode(): b',"recipient":"%s"' % address.encode() for name, address in many.items()}
    assert found == wanted | {b"a/p7": None, b"a/p8": b',"recipient":"p8@new.example"'}
    for store in stores.values():
        store.close()


def made_anew(world: World) -> None:
    """Deletes the topic `profiles` and makes it again."""
    admin = AdminClient({"bootstrap.servers": world.settings.kafka})
    name = world.kafka.full(topics.PROFILES)
    before = world.kafka.identity(topics.PROFILES)
    admin.delete_topics([name])[name].result()
    until(lambda: topics.PROFILES not in world.kafka.topics())
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result()
    until(lambda: topics.PROFILES in world.kafka.topics())
    assert world.kafka.identity(topics.PROFILES) != before


@slow
@on_disk
def test_a_topic_made_anew_is_seen_and_nothing_of_the_old_one_is_left(world: World) -> None:
    world.write(addresses("old"))
    world.start().stop()
    made_anew(world)
    # As many as before and more, so that offsets alone could not tell.
    world.write(addresses("new", (f"q{number}" for number in range(400))))
    worker = world.start()
    assert world.known([*PEOPLE, "q1"]) == dict.fromkeys(PEOPLE) | {"q1": "q1@new.example"}
    assert worker.said.count("is made anew from the topic: the topic was made anew") == PARTITIONS


@slow
def test_partitions_move_between_two_workers_on_one_machine_with_what_is_known(world: World) -> None:
    world.write(addresses("old"))
    first = world.start()
    second = world.start()
    assert world.known(PEOPLE) == addresses("old")
    world.write(addresses("new", PEOPLE[:20]) | {"p39": None})
    wanted = addresses("old") | addresses("new", PEOPLE[:20]) | {"p39": None}
    assert world.known(PEOPLE) == wanted
    first.stop()
    assert world.known(PEOPLE) == wanted
    world.write(addresses("newer", PEOPLE[:5]))
    third = world.start()
    wanted |= addresses("newer", PEOPLE[:5])
    assert world.known(PEOPLE) == wanted
    second.kill()
    assert world.known(PEOPLE) == wanted
    assert "held by another" not in first.said + second.said + third.said
    assert "made anew" not in first.said + second.said + third.said


@slow
@on_disk
def test_what_was_on_disk_goes_when_tables_are_kept_in_memory_again(world: World) -> None:
    world.write(addresses("old"))
    world.start().stop()
    folder = world.settings.data / "tables"
    assert any(path.is_dir() for path in folder.iterdir())
    world.settings = world.settings.model_copy(update={"table_store": "memory"})
    world.start()
    assert not any(path.is_dir() for path in folder.iterdir())
    assert world.known(["p1"]) == addresses("old", ["p1"])


@slow
@pytest.mark.parametrize("world", ["memory", "disk"], indirect=True)
def test_a_topic_made_anew_while_a_worker_runs_stops_it(world: World) -> None:
    world.write(addresses("old"))
    worker = world.start()
    made_anew(world)
    until(lambda: worker.process.poll() is not None, 100)
    assert f"{world.kafka.full(topics.PROFILES)} was made anew: its rows are loaded again" in worker.said
    world.write(addresses("new", ["q1"]))
    world.start()
    assert world.known(["p1", "q1"]) == {"p1": None, "q1": "q1@new.example"}


@slow
@on_disk
def test_a_store_that_was_damaged_is_made_anew(world: World) -> None:
    world.write(addresses("old"))
    world.start().stop()
    damaged = world.path(0)
    for file in damaged.glob("MANIFEST-*"):
        file.write_bytes(os.urandom(100))
    worker = world.start()
    assert world.known(PEOPLE) == addresses("old")
    assert worker.said.count("is made anew from the topic") == 1
