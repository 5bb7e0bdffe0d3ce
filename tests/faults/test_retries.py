"""Retry topics can be trusted: nothing is lost and nothing comes early, whatever happens to workers and the ladder."""

import itertools
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline import topics
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.model.loops import Loop
from pipeline.record import Record
from pipeline.settings import Settings
from tests.bench.ground import MASTER
from tests.bench.work import deliveries, loop, loop_rows
from tests.conftest import free_port
from tests.customer import Call, Customer
from tests.story.conftest import line_settings
from tests.story.lines import Processes
from tests.story.test_story import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MANY = 3_000  # more than is at hand of a partition, so that partitions are paused
LOOPS = 8
PROFILES = 100
BUSY_SECONDS = 8.0  # a machine that does much else is not the ladder's fault


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
        return {_id(record) for record in sent}

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


def _id(delivery: Record) -> str:
    return (delivery.value or b"").partition(b'"id":"')[2].partition(b'"')[0].decode()


@pytest.fixture
def workers(kafka_address: str, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(line_settings(tmp_path, kafka_address).model_copy(update={"master_key": MASTER}))
    yield made
    for worker in list(made.running):
        made.stop(worker)


@pytest.fixture
def customer() -> Iterator[Customer]:
    made = Customer()
    yield made
    made.close()


def _loops(customer: Customer, count: int = LOOPS) -> list[Loop]:
    return [replace(loop(number, customer.origin), max_in_flight=32) for number in range(count)]


def _fails_first(call: Call) -> int:
    return 500 if call.headers["loopwire-attempt"] == "1" else 200


def _delivered(calls: list[Call]) -> set[str]:
    return {call.headers["webhook-id"] for call in calls if call.headers["loopwire-attempt"] != "1"}


def _waits(calls: list[Call]) -> dict[str, list[float]]:
    """Of each delivery, the seconds from its first attempt to its others."""
    first: dict[str, float] = {}
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for call in calls:
        name = call.headers["webhook-id"]
        if call.headers["loopwire-attempt"] == "1":
            # The first, where a worker was killed before it committed: what it wrote down of it is due by that one.
            first.setdefault(name, call.at)
        elif name in first:
            waits[name].append(call.at - first[name])
    return waits


def test_partitions_that_are_paused_change_their_worker_and_all_is_delivered_and_none_early(
    workers: Workers, customer: Customer
) -> None:
    customer.answer = _fails_first
    ladder = (timedelta(seconds=6), timedelta(seconds=20))
    workers.settings = workers.settings.model_copy(update={"retry_ladder": ladder})
    admin = Admin(workers.settings)
    admin.apply(admin.plan())
    first = workers.start()
    ids = workers.put(_loops(customer), MANY)
    customer.wait(lambda calls: len({call.headers["webhook-id"] for call in calls}) > MANY // 2, 120)
    second, _third = workers.start(), workers.start()
    customer.wait(lambda calls: len(_delivered(calls)) > MANY // 4, 120)
    workers.stop(first)
    workers.kill(second)
    calls = customer.wait(lambda calls: _delivered(calls) == ids, 200)
    waits = _waits(calls)
    assert min(min(several) for several in waits.values()) >= 6
    assert workers.count("deliveries-dead") == 0


def test_a_worker_killed_while_deliveries_wait_loses_none_and_none_comes_early(
    workers: Workers, customer: Customer
) -> None:
    customer.answer = _fails_first
    ladder = (timedelta(seconds=8),)
    workers.settings = workers.settings.model_copy(update={"retry_ladder": ladder})
    admin = Admin(workers.settings)
    admin.apply(admin.plan())
    doomed = [workers.start(), workers.start()]
    ids = workers.put(_loops(customer), 400)
    customer.wait(lambda calls: {call.headers["webhook-id"] for call in calls} == ids, 120)
    for worker in doomed:
        workers.kill(worker)
    workers.start()
    calls = customer.wait(lambda calls: _delivered(calls) == ids, 120)
    assert min(min(several) for several in _waits(calls).values()) >= 8


def test_an_ordered_loop_keeps_its_order_when_workers_are_killed_while_deliveries_wait(
    workers: Workers, customer: Customer
) -> None:
    came: list[tuple[str, str]] = []  # profile and event, as they were taken

    def answer(call: Call) -> int:
        if call.headers["loopwire-attempt"] == "1" and call.form["event"][-1] in "01":
            return 500
        came.append((call.form["profile"], call.headers["webhook-id"]))
        return 200

    customer.answer = answer
    ladder = (timedelta(seconds=30), timedelta(seconds=2))  # a worker begins within the first wait
    workers.settings = workers.settings.model_copy(update={"retry_ladder": ladder})
    admin = Admin(workers.settings)
    admin.apply(admin.plan())
    one = replace(loop(0, customer.origin), ordered=True, max_in_flight=32)
    sent = workers.sequence([one], 400, profiles=40)
    doomed = [workers.start(), workers.start()]
    workers.produce(sent[:200])
    customer.wait(lambda calls: len(calls) > 60, 120)
    for worker in doomed:
        workers.kill(worker)
    workers.start()
    workers.produce(sent[200:])
    ids = [_id(record) for record in sent]
    customer.wait(lambda _calls: {name for _, name in came} == set(ids), 240)
    first: defaultdict[str, list[str]] = defaultdict(list)
    for profile, name in came:  # what was taken and not written down when the worker was killed comes twice
        if name not in first[profile]:
            first[profile].append(name)
    for names in first.values():
        assert names == [name for name in ids if name in set(names)]


def test_a_worker_that_takes_over_knows_what_waits_before_it_sends_what_comes_after(
    workers: Workers, customer: Customer
) -> None:
    """More waits than is at hand of a partition, and all of it for longer than the next worker needs to begin."""
    one = replace(loop(0, customer.origin), ordered=True, max_in_flight=64)
    ladder = (timedelta(seconds=40), timedelta(seconds=2))
    workers.settings = workers.settings.model_copy(update={"retry_ladder": ladder})
    admin = Admin(workers.settings)
    admin.apply(admin.plan())
    records = workers.sequence([one], MANY + PROFILES, PROFILES)
    turn = {_id(record): number for number, record in enumerate(records)}
    late = {name for name, number in turn.items() if number >= MANY}
    customer.answer = lambda _call: 500
    worker = workers.start()
    workers.produce(records[:MANY])
    until(lambda: workers.count("deliveries-retry-40s") >= MANY)
    workers.kill(worker)
    customer.answer = lambda _call: 200
    workers.produce(records[MANY:])
    workers.start()
    customer.wait(lambda calls: late <= {call.headers["webhook-id"] for call in calls}, 150)
    taken: defaultdict[str, list[str]] = defaultdict(list)
    for call in customer.calls:
        if call.headers["webhook-id"] in late or call.headers["loopwire-attempt"] != "1":
            taken[call.form["profile"]].append(call.headers["webhook-id"])
    for names in taken.values():
        first = list(dict.fromkeys(names))  # what was not committed when the worker was killed comes twice
        assert first == sorted(first, key=turn.__getitem__)


def test_a_ladder_that_was_changed_leaves_nothing_in_the_topics_of_the_old_one(
    workers: Workers, customer: Customer
) -> None:
    customer.answer = _fails_first
    old = workers.settings.model_copy(update={"retry_ladder": (timedelta(seconds=3), timedelta(seconds=90))})
    admin = Admin(old)
    admin.apply(admin.plan())
    worker = workers.start(retry_ladder=old.retry_ladder)
    ids = workers.put(_loops(customer), 200)
    customer.wait(lambda calls: {call.headers["webhook-id"] for call in calls} == ids, 120)
    workers.stop(worker)
    workers.start()  # 1s,2s
    customer.wait(lambda calls: _delivered(calls) == ids, 120)
    assert workers.count("deliveries-retry-3s") >= len(ids)


@pytest.mark.parametrize("dated", [False, True], ids=["seconds", "HTTP date"])
def test_a_retry_after_longer_than_the_ladder_is_met(workers: Workers, customer: Customer, dated: bool) -> None:
    """The ladder is 1s,2s."""
    until = datetime.now(UTC) + timedelta(seconds=25)
    customer.retry_after = format_datetime(until, usegmt=True) if dated else "9"
    customer.answer = lambda call: 503 if call.headers["loopwire-attempt"] == "1" else 200
    workers.start()
    workers.start()
    ids = workers.put(_loops(customer, 4), 40)
    calls = customer.wait(lambda calls: _delivered(calls) == ids, 120)
    asked = {name: int(until.timestamp()) for name in ids} if dated else _first(calls, 9)
    for call in calls:
        if call.headers["loopwire-attempt"] == "2":
            late = call.at - asked[call.headers["webhook-id"]]
            assert 0 <= late <= 9 * 0.05 + 1 + 2 + BUSY_SECONDS
    assert {call.headers["loopwire-attempt"] for call in calls} == {"1", "2"}, "waiting costs no attempt"


def _first(calls: list[Call], more: float) -> dict[str, float]:
    return {call.headers["webhook-id"]: call.at + more for call in calls if call.headers["loopwire-attempt"] == "1"}


def test_a_record_that_holds_no_delivery_stops_nothing_wherever_it_is(workers: Workers, customer: Customer) -> None:
    customer.answer = _fails_first
    loops = _loops(customer)
    poisoned = (
        topics.DELIVERIES,
        topics.REPLAYS,
        topics.BATCHES,
        *(topics.retry_topic(rung) for rung in workers.settings.retry_ladder),
    )
    for topic, one in itertools.product(poisoned, loops):
        workers.poison(topic, os.urandom(64), one.id.encode())
    workers.start()
    workers.start()
    ids = workers.put(loops, 200)
    for topic, one in itertools.product(poisoned, loops):
        workers.poison(topic, b'{"id": "msg_1"', one.id.encode())
    customer.wait(lambda calls: _delivered(calls) == ids, 120)
    deadline = time.monotonic() + 60
    while workers.count(topics.DELIVERIES_DEAD) < 2 * len(poisoned) * LOOPS:
        assert time.monotonic() < deadline, workers.count(topics.DELIVERIES_DEAD)
        time.sleep(0.2)
