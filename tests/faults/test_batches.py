"""A batch is the same whatever happens to its workers: each id has one body, each event one id, and none is lost."""

import json
from collections import defaultdict
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline import topics
from pipeline.kafka.murmur2 import partition_of
from pipeline.model.ids import batch_id, delivery_id
from pipeline.model.loops import Batch, Loop
from pipeline.record import Record
from tests.bench.work import SECRET, loop
from tests.customer import Call, Customer
from tests.faults.delivering import Workers
from tests.faults.oracle import dump
from tests.story.test_story import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MANY = 6_000
LOOPS = 6
PARTITIONS = 4  # of `line_settings`


@pytest.fixture
def ladder() -> tuple[timedelta, ...]:
    return (timedelta(seconds=3),) * 4


def _batching(customer: Customer, wish: Batch, count: int = LOOPS) -> list[Loop]:
    return [replace(loop(number, customer.origin), format="json", batch=wish) for number in range(count)]


def _number(one: Loop) -> int:
    return partition_of(one.id.encode(), PARTITIONS)


def _events(call: Call) -> list[str]:
    return [told["event"] for told in json.loads(call.body)]


def _all(calls: list[Call]) -> set[tuple[str, str]]:
    """Loop and event of all that came."""
    return {(call.headers["loopwire-loop"], event) for call in calls for event in _events(call)}


def _sent(records: list[Record]) -> set[tuple[str, str]]:
    return {((record.key or b"").decode(), json.loads(record.value or b"")["event"]["id"]) for record in records}


def _check(calls: list[Call]) -> dict[str, list[str]]:
    """Each id has one body, and no event is in two of them; the events of each id."""
    bodies: defaultdict[str, set[bytes]] = defaultdict(set)
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for call in calls:
        assert call.verified(SECRET)
        name = call.headers["webhook-id"]
        assert name == batch_id(_events(call), call.headers["loopwire-loop"])
        bodies[name].add(call.body)
        for event in _events(call):
            ids[call.headers["loopwire-loop"], event].add(name)
    assert {len(several) for several in bodies.values()} == {1}
    assert {event: names for event, names in ids.items() if len(names) > 1} == {}
    return {name: [told["event"] for told in json.loads(next(iter(body)))] for name, body in bodies.items()}


def test_workers_killed_amid_batches_lose_no_event_and_put_none_into_another_batch(
    workers: Workers, customer: Customer
) -> None:
    """Three kills, each with batches half gathered, half written, half sent; a fifth of the POSTs fail at first."""
    customer.seconds = 0.02
    customer.answer = lambda call: 500 if call.headers["webhook-id"][-1] in "012" and _first(call) else 200
    loops = _batching(customer, Batch(events=20, ms=150))
    records = workers.sequence(loops, MANY, profiles=100)
    running = [workers.start(), workers.start()]
    for part in range(3):
        workers.produce(records[part * 1500 : (part + 1) * 1500])
        due = (part * 2 + 1) * 700
        customer.wait(lambda calls, due=due: len(_all(calls)) > due, 120)  # type: ignore[misc]
        workers.kill(running.pop(0))
        running.append(workers.start())
    workers.produce(records[4500:])
    sent = _sent(records)
    calls = customer.wait(lambda calls: _all(_taken(calls, customer)) == sent, 200)
    made = _check(calls)
    assert max(map(len, made.values())) == 20
    print(f"{len(records)} events, {len(made)} batches, {len(calls)} POSTs")
    assert workers.count("deliveries-dead") == 0


def test_workers_that_come_and_go_make_no_event_come_twice(workers: Workers, customer: Customer) -> None:
    """Nobody is killed: what was gathered is left as a batch to the next owner, and no POST is made again."""
    records = workers.sequence(_batching(customer, Batch(events=50, ms=400)), 3_000, profiles=100)
    first = workers.start()
    for part in range(6):
        workers.produce(records[part * 500 : (part + 1) * 500])
        customer.wait(lambda calls, part=part: len(_all(calls)) > part * 500, 60)  # type: ignore[misc]
        if part in {1, 3}:
            workers.start()
        if part == 2:
            workers.stop(first)
    sent = _sent(records)
    calls = customer.wait(lambda calls: _all(calls) == sent, 120)
    made = _check(calls)
    assert len(calls) - len(made) <= len(made) // 10  # a POST that was under way at the end of its worker's time


def test_a_server_that_takes_no_large_body_gets_halves_and_they_are_the_same_after_a_kill(
    workers: Workers, customer: Customer
) -> None:
    customer.answer = lambda call: 413 if len(_events(call)) > 4 else 200
    records = workers.sequence(_batching(customer, Batch(events=32, ms=300), 3), 600, profiles=50)
    worker = workers.start()
    workers.produce(records)
    customer.wait(lambda calls: len(calls) > 10, 60)
    workers.kill(worker)
    workers.start()
    sent = _sent(records)
    calls = customer.wait(lambda calls: _all([call for call in calls if len(_events(call)) <= 4]) == sent, 120)
    bodies: defaultdict[str, set[bytes]] = defaultdict(set)
    for call in calls:
        bodies[call.headers["webhook-id"]].add(call.body)
    assert {len(several) for several in bodies.values()} == {1}
    _check([call for call in calls if len(_events(call)) <= 4])
    assert workers.count("deliveries-dead") == 0
    assert sum(workers.count(name) for name in workers.kafka.topics() if name.startswith(topics.DELIVERIES_RETRY)) == 0


def test_a_batch_that_fails_comes_again_as_the_same_one_and_its_letters_are_its_events(
    workers: Workers, customer: Customer
) -> None:
    customer.answer = lambda _call: 500
    records = workers.sequence(_batching(customer, Batch(events=10, ms=10_000), 1), 30, profiles=10)
    worker = workers.start()
    workers.produce(records)
    calls = customer.wait(lambda calls: len(calls) >= 3, 60)
    workers.kill(worker)
    workers.start()
    calls = customer.wait(lambda calls: sum(call.headers["loopwire-attempt"] == "5" for call in calls) >= 3, 120)
    assert sorted(map(len, _check(calls).values())) == [10, 10, 10]
    keys = {f"{one}/{delivery_id(event, one)}".encode() for one, event in _sent(records)}
    until(lambda: {letter.key() for letter in dump(workers.kafka, topics.DELIVERIES_DEAD)} == keys)


def test_a_batch_is_known_of_after_a_kill_also_where_it_was_taken_and_its_events_are_not_committed(
    workers: Workers, customer: Customer
) -> None:
    """A delivery of the same partition hangs, so that nothing behind it is committed; batches behind it are taken."""
    hanging = Customer(seconds=60)
    wish = Batch(events=10, ms=200)
    stuck = loop(0, hanging.origin)
    others = _batching(customer, wish, 30)[1:]
    here = next(one for one in others if _number(one) == _number(stuck))
    there = next(one for one in others if _number(one) != _number(stuck))
    first = workers.sequence([stuck], 1, profiles=1)
    records = workers.sequence([here], 14, profiles=10)
    elsewhere = workers.sequence([there], 1, profiles=1)
    worker = workers.start()
    workers.produce(first)
    hanging.wait(lambda calls: len(calls) == 1)
    workers.produce(records[:7])
    customer.wait(lambda calls: len(_all(calls)) == 7)
    workers.produce(records[7:])
    customer.wait(lambda calls: len(_all(calls)) == 14)
    until(lambda: workers.count(topics.ATTEMPTS) >= 2)
    workers.produce(elsewhere)
    place = topics.BATCHES, _number(there)
    until(lambda: workers.kafka.committed("loopwire-deliver", [place]).get(place) == 1)  # so is all that may be
    workers.kill(worker)
    workers.start()
    calls = customer.wait(lambda calls: len(_all(calls)) == 15 and len(calls) >= 5)
    assert sorted(map(len, _check(calls).values())) == [1, 7, 7]
    hanging.close()


def _first(call: Call) -> bool:
    return call.headers["loopwire-attempt"] == "1"


def _taken(calls: list[Call], customer: Customer) -> list[Call]:
    return [call for call in calls if customer.answer is None or customer.answer(call) == 200]
