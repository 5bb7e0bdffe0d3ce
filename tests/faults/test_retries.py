"""Retry topics can be trusted: nothing is lost and nothing comes early, whatever happens to workers and the ladder."""

import itertools
import os
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from msgspec.structs import replace

from pipeline import topics
from pipeline.kafka.admin import Admin
from pipeline.model.loops import Loop
from tests.bench.work import loop
from tests.customer import Call, Customer
from tests.faults.delivering import Workers, id_of
from tests.story.test_story import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MANY = 3_000  # more than is at hand of a partition, so that partitions are paused
LOOPS = 8
PROFILES = 100
BUSY_SECONDS = 8.0  # a machine that does much else is not the ladder's fault


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
    ids = [id_of(record) for record in sent]
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
    turn = {id_of(record): number for number, record in enumerate(records)}
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
