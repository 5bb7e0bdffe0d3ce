"""What Prometheus is told."""

from prometheus_client import REGISTRY

from pipeline.deliver import gauges
from pipeline.model.deliveries import Timings
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


def test_a_post_is_counted_by_its_outcome_and_timed_in_its_parts() -> None:
    names = [("loopwire_deliver_seconds_count", {"part": part}) for part in ("dns", "connect", "first_byte", "total")]
    before = [_value(name, **labels) for name, labels in names]
    gauges.answered("again", Timings(first_byte=3, total=4))
    assert [_value(name, **labels) for name, labels in names] == [before[0], before[1], before[2] + 1, before[3] + 1]
    gauges.answered("again", Timings(dns=1, connect=2, first_byte=3, total=4))
    assert [_value(name, **labels) for name, labels in names] == [
        count + add for count, add in zip(before, (1, 1, 2, 2), strict=True)
    ]
