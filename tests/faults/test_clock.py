"""A worker whose clock is set while retries wait: none is early by that clock, and none is late by any."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import keys
from pipeline.deliver.run import Deliver
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.settings import Settings
from tests.bench.ground import MASTER
from tests.conftest import free_port
from tests.customer import Customer
from tests.faults.delivering import Workers
from tests.faults.test_retries import BUSY_SECONDS, _delivered, _fails_first, _loops, _waits
from tests.story.conftest import line_settings
from tests.story.lines import says_yes
from tests.story.test_story import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RUNG, SHORTEST = 8.0, 6.0
LATEST = RUNG * 1.05 + SHORTEST + 2 + BUSY_SECONDS  # jitter, the shortest rung, and 2 s, as PROMISES.md says
SLEEP = 5.0  # within it a clock that was set takes effect
HOUR = 3600.0
COUNT = 200


class Clock:
    """What a worker takes for the time."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return time.time() + self.set_by


class Worker:
    """A deliver in a thread of this process, on the real broker, by a clock of its own."""

    def __init__(self, told: Settings, clock: Clock) -> None:
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._told = told.model_copy(update={"metrics_port": free_port(2)})
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._work(clock)))
        self._thread.start()
        until(lambda: says_yes(f"http://127.0.0.1:{self._told.metrics_port + 1}/ready"))

    def stop(self) -> None:
        """Ends it as a signal does."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._loop.close()

    async def _work(self, clock: Clock) -> None:
        deliver = Deliver(Cluster(self._told), self._told, keys.master_key(self._told))
        deliver._wire.now = clock.now  # type: ignore[method-assign] # the machine's own must not be set
        await deliver.run(self._stop)


@pytest.fixture
def line(kafka_address: str, tmp_path: Path) -> Workers:
    ladder = (timedelta(seconds=RUNG), timedelta(seconds=SHORTEST))
    told = line_settings(tmp_path, kafka_address).model_copy(update={"master_key": MASTER, "retry_ladder": ladder})
    return Workers(told)


@pytest.fixture
def start(line: Workers) -> Iterator[Callable[[Clock], Worker]]:
    running: list[Worker] = []

    def start(clock: Clock) -> Worker:
        running.append(Worker(line.settings, clock))
        return running[-1]

    yield start
    for worker in running:
        if worker._thread.is_alive():
            worker.stop()


@pytest.fixture
def customer(customer: Customer) -> Customer:
    customer.answer = _fails_first
    return customer


def _all_failed(line: Workers, customer: Customer) -> set[str]:
    """Deliveries whose first POST was answered 500; they wait in the retry topic."""
    ids = line.put(_loops(customer), COUNT)
    customer.wait(lambda calls: {call.headers["webhook-id"] for call in calls} == ids, 120)
    until(lambda: line.count("deliveries-retry-8s") >= COUNT)
    return ids


def _all_came(customer: Customer, ids: set[str]) -> list[float]:
    """Seconds from each delivery's first attempt to its second, once all came, and none of them twice."""
    calls = customer.wait(lambda calls: _delivered(calls) == ids, 120)
    assert len(calls) == 2 * COUNT
    return [wait for waits in _waits(calls).values() for wait in waits]


@pytest.mark.parametrize("back", [-30.0, -HOUR, -24 * HOUR])
def test_a_clock_put_back_while_retries_wait_makes_none_early_and_none_late(
    line: Workers, customer: Customer, start: Callable[[Clock], Worker], back: float
) -> None:
    clock = Clock()
    start(clock)
    ids = _all_failed(line, customer)
    clock.set_by = back
    waits = _all_came(customer, ids)
    assert min(waits) >= RUNG
    assert max(waits) <= LATEST


def test_a_clock_put_forward_lets_what_is_due_by_it_go_and_nothing_before(
    line: Workers, customer: Customer, start: Callable[[Clock], Worker]
) -> None:
    clock = Clock()
    start(clock)
    ids = _all_failed(line, customer)
    clock.set_by = 1.0  # most are not due by that
    waits = _all_came(customer, ids)
    assert min(waits) >= RUNG - 1.0
    assert max(waits) <= LATEST


def test_a_clock_put_forward_far_takes_effect_within_its_sleep(
    line: Workers, customer: Customer, start: Callable[[Clock], Worker]
) -> None:
    ladder = (timedelta(minutes=5), timedelta(seconds=SHORTEST))
    line.settings = line.settings.model_copy(update={"retry_ladder": ladder})
    admin = Admin(line.settings)
    admin.apply(admin.plan())
    clock = Clock()
    start(clock)
    ids = line.put(_loops(customer), COUNT)
    customer.wait(lambda calls: {call.headers["webhook-id"] for call in calls} == ids, 120)
    until(lambda: line.count("deliveries-retry-5m") >= COUNT)
    clock.set_by, at = HOUR, time.time()
    _all_came(customer, ids)
    assert max(call.at for call in customer.calls) - at <= SLEEP + 2 + BUSY_SECONDS


def test_a_clock_that_is_set_to_and_fro_all_the_time_makes_none_late_and_loses_none(
    line: Workers, customer: Customer, start: Callable[[Clock], Worker]
) -> None:
    clock, over = Clock(), threading.Event()

    def swing() -> None:
        while not over.wait(0.7):
            clock.set_by = -45.0 if clock.set_by == 0.0 else 0.0

    start(clock)
    swinging = threading.Thread(target=swing)
    swinging.start()
    try:
        ids = line.put(_loops(customer), COUNT)
        waits = _all_came(customer, ids)
    finally:
        over.set()
        swinging.join()
    assert max(waits) <= LATEST


@pytest.mark.parametrize("fast", [HOUR, -HOUR], ids=["an hour fast", "an hour slow"])
def test_what_a_worker_with_a_wrong_clock_left_waits_no_longer_than_its_topic_s_delay(
    line: Workers, customer: Customer, start: Callable[[Clock], Worker], fast: float
) -> None:
    wrong = Clock()
    wrong.set_by = fast
    worker = start(wrong)
    ids = _all_failed(line, customer)
    worker.stop()
    at = time.time()
    start(Clock())
    _all_came(customer, ids)
    assert max(call.at for call in customer.calls) - at <= LATEST + SLEEP + BUSY_SECONDS
