"""What Prometheus is told."""

from typing import get_args

import msgspec
import pytest
from prometheus_client import REGISTRY

from pipeline.deliver import breaker, gauges
from pipeline.deliver.jobs import Job
from pipeline.deliver.lanes import QUEUE
from pipeline.model.deliveries import Outcome, Timings
from pipeline.model.ids import utc
from pipeline.model.loops import Failing, failing_key
from tests.deliver.test_dispatch import World, _delivery, _many


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_gauges_say_how_lanes_stand() -> None:
    world = World()
    for loop in ("fast", "paused"):
        world.loop(loop, paused=loop == "paused", max_in_flight=3)
    before = _value("loopwire_deliver_held_total", why="state")
    world.take(*_many(10))
    world.take(_delivery("paused"))
    world.take(_delivery(leaves=world.clock - 7), _delivery(leaves=world.clock + 9), place=("deliveries-retry-5s", 3))
    gauges.show(world.dispatch, world.tick())
    gauges.show(world.dispatch, world.tick())
    assert _value("loopwire_deliver_lanes", breaker="closed") == 2
    assert _value("loopwire_deliver_lanes", breaker="open") == 0
    assert _value("loopwire_deliver_in_flight") == 3
    assert _value("loopwire_deliver_waiting") == 8
    assert _value("loopwire_deliver_overdue_seconds", topic="deliveries-retry-5s") == 0, "its head is not due"
    assert _value("loopwire_deliver_held_total", why="state") == before + 1


def test_the_gauges_say_how_many_loops_only_fail() -> None:
    world = World()
    for number, loop in enumerate(("well", "failing", "paused", "verified", "told")):
        world.loop(loop, paused=loop == "paused", epoch=1 if loop == "verified" else 0)
        world.take(_delivery(loop))
        row = Failing(loop=loop, epoch=0, since=utc(0), warned=number > 1)
        if number:
            world.standings.put_state(0, failing_key(loop), msgspec.json.encode(row))
    gauges.show(world.dispatch, world.tick())
    assert _value("loopwire_deliver_failing") == 1


def test_the_gauges_say_how_long_the_oldest_that_is_due_waits() -> None:
    world = World()
    world.loop("slow", max_in_flight=1)
    world.take(*_many(1 + QUEUE, "slow"))  # its lane is full
    world.take(_delivery("slow", leaves=world.clock - 7), place=("deliveries-retry-5s", 3))
    world.take(_delivery("slow", leaves=world.clock - 3), place=("deliveries-retry-5s", 4))
    world.advance(0.05)
    gauges.show(world.dispatch, world.tick())
    assert _value("loopwire_deliver_overdue_seconds", topic="deliveries-retry-5s") == pytest.approx(7.05)
    world.dispatch.forget([("deliveries-retry-5s", 3), ("deliveries-retry-5s", 4)])
    gauges.show(world.dispatch, world.tick())
    assert REGISTRY.get_sample_value("loopwire_deliver_overdue_seconds", {"topic": "deliveries-retry-5s"}) is None


def test_the_gauges_say_what_is_gathered_and_not_in_a_batch_yet() -> None:
    world = World()
    world.loop("many", format="json", batch={"events": 3})
    world.dispatch.take(("deliveries", 3), [Job(_delivery("many"), mark, size=100) for mark in (1, 2)])
    gauges.show(world.dispatch, world.tick())
    assert _value("loopwire_deliver_gathered") == 2
    assert _value("loopwire_deliver_gathered_bytes") == 200
    world.advance(2)
    gauges.show(world.dispatch, world.tick())
    assert (_value("loopwire_deliver_gathered"), _value("loopwire_deliver_gathered_bytes")) == (0, 0)


def test_the_lag_is_told_of_the_topics_that_are_read_here() -> None:
    gauges.show_lag({"deliveries": 12, "deliveries-retry-5s": 2})
    assert _value("loopwire_deliver_lag", topic="deliveries-retry-5s") == 2
    gauges.show_lag({"deliveries": 9})
    assert _value("loopwire_deliver_lag", topic="deliveries") == 9
    assert REGISTRY.get_sample_value("loopwire_deliver_lag", {"topic": "deliveries-retry-5s"}) is None


def test_the_gauges_say_which_breakers_are_open() -> None:
    world = World()
    world.loop("broken", max_in_flight=1)
    world.take(_delivery("broken"))
    lane = world.dispatch.lanes["broken"]
    for seconds in range(20):
        lane.breaker.badly(world.tick() + 2 * seconds, world.tick() + 2 * seconds)
    told = world.tick() + 40
    gauges.show(world.dispatch, told)
    assert [_value("loopwire_deliver_lanes", breaker=one) for one in ("closed", "open", "half-open")] == [0, 1, 0]
    gauges.show(world.dispatch, told + breaker.LONGEST_PROBE_SECONDS)
    assert [_value("loopwire_deliver_lanes", breaker=one) for one in ("closed", "open", "half-open")] == [0, 0, 1]


def test_a_post_is_counted_by_its_outcome_and_timed_in_its_parts() -> None:
    names = [
        ("loopwire_deliver_seconds_count", {"part": part}) for part in ("dns", "connect", "tls", "first_byte", "total")
    ]
    before = [_value(name, **labels) for name, labels in names]
    gauges.answered("again", Timings(first_byte=3, total=4))  # on a connection that was kept
    assert _grown(names, before) == [0, 0, 0, 1, 1]
    gauges.answered("again", Timings(dns=1, connect=2, tls=2.5, first_byte=3, total=4))
    assert _grown(names, before) == [1, 1, 1, 2, 2]


def test_a_bucket_has_all_that_took_so_long_at_most() -> None:
    names = [
        ("loopwire_deliver_seconds_bucket", {"part": "total", "le": le}) for le in ("0.005", "0.02", "1.0", "+Inf")
    ]
    names.append(("loopwire_deliver_seconds_sum", {"part": "total"}))
    before = [_value(name, **labels) for name, labels in names]
    for total in (5, 6, 20_000):  # milliseconds; a bound is in its bucket
        gauges.answered("delivered", Timings(total=total))
    assert _grown(names, before) == pytest.approx([1, 2, 2, 3, 20.011])


def test_all_outcomes_and_parts_are_told_before_there_is_one() -> None:
    told = {sample.labels.get("outcome") for family in gauges.ATTEMPTS.collect() for sample in family.samples}
    assert told == set(get_args(Outcome))
    assert REGISTRY.get_sample_value("loopwire_deliver_seconds_count", {"part": "dns"}) is not None


def _grown(names: list[tuple[str, dict[str, str]]], before: list[float]) -> list[float]:
    return [_value(name, **labels) - count for (name, labels), count in zip(names, before, strict=True)]


def test_posts_are_counted_by_their_outcome() -> None:
    outcomes = get_args(Outcome)
    before = [_value("loopwire_deliver_attempts_total", outcome=one) for one in outcomes]
    told: tuple[Outcome, ...] = ("delivered", "again", "again")
    for outcome in told:
        gauges.answered(outcome, Timings(total=4))
    after = [_value("loopwire_deliver_attempts_total", outcome=one) for one in outcomes]
    assert dict(zip(outcomes, (new - old for new, old in zip(after, before, strict=True)), strict=True)) == {
        "delivered": 1, "again": 2, "dead": 0,
    }  # fmt: skip
