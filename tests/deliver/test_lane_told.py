"""How a loop's lane stands, as deliver tells the console."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
import requests

from pipeline import topics
from pipeline.deliver.cap import START
from pipeline.deliver.lanes import IN_FLIGHT, QUEUE
from pipeline.deliver.run import Deliver
from pipeline.kafka.memory import Memory
from pipeline.model.lanes import LaneNow
from tests.deliver.test_dispatch import World, _delivery, _many
from tests.examples import example
from tests.story.conftest import line_settings

IDLE = LaneNow(
    in_flight=0, cap=START, most=IN_FLIGHT, rate=None, breaker="closed", waiting=0, held=0, oldest_due=None
)  # fmt: skip


def test_a_loop_that_gets_nothing_has_a_lane_that_is_idle() -> None:
    assert World().dispatch.told("nobody") == IDLE


def test_it_tells_what_is_under_way_what_waits_and_for_how_long() -> None:
    world = World()
    world.loop("paced", rate=10.0, max_in_flight=3)
    world.take(*_many(5, "paced"))
    world.advance(0.05)
    told = world.dispatch.told("paced")
    assert (told.in_flight, told.cap, told.most, told.rate, told.waiting) == (1, 3, 3, 10.0, 4)
    assert told.oldest_due == pytest.approx(0.05)


def test_it_tells_what_the_loop_wishes_now_also_where_nothing_came_since() -> None:
    world = World()
    world.loop("paced", rate=10.0, max_in_flight=3)
    told = world.dispatch.told("paced")
    assert (told.cap, told.most, told.rate) == (3, 3, 10.0)
    world.take(_delivery("paced"))
    world.loop("paced", rate=20.0, max_in_flight=2)
    told = world.dispatch.told("paced")
    assert (told.cap, told.most, told.rate) == (2, 2, 20.0)


def test_what_was_fetched_before_its_time_is_due_when_its_time_is_there() -> None:
    world = World()
    world.loop("slow", max_in_flight=1)
    world.take(_delivery("slow"))
    world.take(_delivery("slow", due=world.clock + 3, leaves=world.clock + 3), place=("deliveries-retry-5s", 3))
    world.advance(5)
    assert world.dispatch.told("slow").oldest_due == pytest.approx(2)


def test_what_was_held_is_counted_for_its_loop_alone() -> None:
    world = World()
    world.loop("full", max_in_flight=1)
    world.loop("fast")
    world.take(*_many(QUEUE + 20, "full"))
    world.advance(0.5)
    world.take(_delivery("fast"))
    assert world.dispatch.told("full").held == 19
    assert world.dispatch.told("fast").held == 0


def test_it_tells_that_the_breaker_is_open() -> None:
    world = World()
    world.loop("broken", max_in_flight=1)
    world.take(_delivery("broken"))
    for seconds in range(40):
        world.dispatch.lanes["broken"].breaker.badly(world.tick() + seconds, world.tick() + seconds)
    assert world.dispatch._roster.told("broken", world.tick() + 40).breaker == "open"


def test_the_process_that_has_the_loop_tells_it_by_http(tmp_path: Path) -> None:
    told = line_settings(tmp_path)
    declared = topics.wanted(topics.read(), told.topic_partitions, told.retry_ladder)
    kafka = Memory({topic.name: topic.partitions for topic in declared})
    kafka.producer().produce("loops", msgspec.json.encode(example("loop.v1", "active")), b"lp_1")
    url = f"http://127.0.0.1:{told.metrics_port + 1}"

    async def ask() -> requests.Response:
        deliver, stop = Deliver(kafka, told, b"m" * 32), asyncio.Event()
        running = asyncio.ensure_future(deliver.run(stop))
        while not deliver.ready or not deliver._deliveries.owns("lp_1"):
            await asyncio.wait([running], timeout=0.02)
        assert (await asyncio.to_thread(requests.get, f"{url}/lanes", timeout=10)).status_code == 404
        answer = await asyncio.to_thread(requests.get, f"{url}/lanes/lp_1", timeout=10)
        stop.set()
        await running
        return answer

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.content) == msgspec.to_builtins(IDLE)
