"""Loops: what a delivery costs where there are 10,000 of them, 2,000 of which are dead, and what memory they take.

Beside it, at the same time, a deliver process with a single loop gets as many: what the machine has to do otherwise
costs both alike. Then the dead get a backlog: half of them refuse connections, half take a POST and never answer.
"""

import asyncio
import gc
import itertools
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import uvloop
from msgspec.structs import replace

from pipeline.kafka.seam import Message, Producer
from pipeline.model.loops import Loop
from pipeline.record import Record
from pipeline.topics import ATTEMPTS, DELIVERIES_DEAD, retry_topic
from tests.bench.figures import Implausible
from tests.bench.ground import Ground, agree
from tests.bench.isolation import HANG_SECONDS, LADDER
from tests.bench.processes import Process, say
from tests.bench.receiver import Receiver
from tests.bench.work import deliveries, loop, loop_rows
from tests.conftest import free_port

MANY = 10  # profiles of the other benchmarks for each loop
DEAD = 5  # one in so many loops
BACKLOG = 50  # deliveries of each dead loop
RATE = 400  # deliveries a second to the well, of each process
TICK = 0.02
ARRIVE_SECONDS = 90.0


@dataclass
class Side:
    """A deliver process with topics of its own, and the deliveries it gets."""

    ground: Ground
    process: Process
    producer: Producer
    paths: frozenset[str]  # of its well servers
    supply: Iterator[Record]
    refused: list[object] = field(default_factory=list)

    def send(self, count: int) -> None:
        """So many more deliveries."""
        for record in itertools.islice(self.supply, count):
            topic = self.ground.cluster.full(record.topic)
            self.producer.produce(topic, record.value, record.key, on_delivery=self._told)
        self.producer.poll(0)

    def _told(self, error: object, _message: Message) -> None:
        if error is not None:
            self.refused.append(error)


def measure(ground: Ground) -> dict[str, Any]:
    """The figure: CPU-microseconds a delivery with all the loops, to those with one."""
    return uvloop.run(_measured(ground))


async def _measured(ground: Ground) -> dict[str, Any]:
    count = ground.pace.profiles // MANY
    dead = range(count - count // DEAD, count)
    receiver = Receiver({f"/hooks/{number}": (HANG_SECONDS, 200) for number in dead[::2]})
    origin, nobody = await receiver.open(), f"http://127.0.0.1:{free_port()}"
    loops = [loop(number, nobody if number in dead[1::2] else origin) for number in range(count)]
    single = loop(0, origin)
    path = f"{single.url}/single"
    single = replace(single, url=path, verified_url=path, max_in_flight=256)  # or it would be a slow server among many
    with ground.beside("many", LADDER) as here, ground.beside("single", LADDER) as there, ExitStack() as ending:
        began = time.monotonic()
        many = await _side(here, loops, loops[: dead.start], ending)
        say(f"loops: {count:,} of them are ready after {time.monotonic() - began:.1f} s")
        other = await _side(there, [single], [single], ending)
        sides = [many, other]
        await _paced([many], receiver, 0, at_once=dead.start)  # each server is known by then
        await _paced(sides, receiver, ground.pace.warm)
        quiet, _ = many.process.memory_mb
        meters = [side.ground.meter(side.process) for side in sides]
        n = await _paced(sides, receiver, ground.pace.steady)
        spent, alone = (meter.run(n) for meter in meters)
        say(f"loops: {spent.cpu_s / n * 1e6:.0f} CPU-us a delivery, with one loop {alone.cpu_s / n * 1e6:.0f}")
        well, _ = many.process.memory_mb
        await asyncio.to_thread(here.load, itertools.islice(deliveries(loops[dead.start :], 1000), len(dead) * BACKLOG))
        attempts = here.count(ATTEMPTS)
        storm = here.meter(many.process)
        await _paced([many], receiver, ground.pace.steady * 3)
        dying = storm.run(here.count(ATTEMPTS) - attempts)
        resident, peak = many.process.memory_mb
        waits = _gauge(here, "loopwire_deliver_waiting"), _gauge(here, "loopwire_deliver_waiting_bytes") / 1e6
        say(f"loops: {resident:.0f} MB, at most {peak:.0f}, with {len(dead):,} dead")
        say(f"loops: {waits[0]:,.0f} deliveries wait in memory, {waits[1]:.0f} MB")
        agree("loops: dead letters and 0", here.count(DELIVERIES_DEAD), 0)
        retries = sum(here.count(retry_topic(delay)) for delay in here.settings.retry_ladder)
        single_mb, _ = other.process.memory_mb
    receiver.close()
    each, of_one = (run.cpu_s / run.n * 1e6 for run in (spent, alone))
    return {
        "name": "loops",
        "value": round(each, 1),
        "unit": "CPU-us a delivery",
        "n": n,
        "cpu_s": round(spent.cpu_s, 2),
        "seconds": round(spent.seconds, 1),
        "baseline": round(of_one, 1),
        "baseline_name": "with one loop",
        "baseline_cpu_s": round(alone.cpu_s, 2),
        "ratio": round(each / of_one, 3),
        "loops": count,
        "dead": len(dead),
        "resident_mb": {"one loop": single_mb, "loops": quiet, "well": well, "dead": resident},
        "peak_mb": peak,
        "dead_attempts": dying.n,
        "dead_cpu_s": round(dying.cpu_s, 2),
        "dead_seconds": round(dying.seconds, 1),
        "retry_records": retries,
        "waiting": int(waits[0]),
        "waiting_mb": round(waits[1], 1),
    }


def _gauge(ground: Ground, name: str) -> float:
    url = f"http://127.0.0.1:{ground.settings.metrics_port + 1}/metrics"
    [found] = re.findall(rf"^{name} (\S+)", requests.get(url, timeout=10).text, re.MULTILINE)
    return float(found)


async def _side(ground: Ground, loops: list[Loop], well: list[Loop], ending: ExitStack) -> Side:
    ground.load(loop_rows(loops))
    process = ending.enter_context(await asyncio.to_thread(ground.start, "deliver"))
    paths = frozenset(urlsplit(one.url).path for one in well)
    return Side(ground, process, ground.cluster.producer(), paths, deliveries(well, 1000))


async def _paced(sides: list[Side], receiver: Receiver, seconds: float, at_once: int = 0) -> int:
    """Deliveries at an even pace for so long, to each side, and so many before; how many, once all of them came."""
    gc.collect()
    before, began, sent = len(receiver.posts), time.monotonic(), at_once
    for side in sides:
        side.send(at_once)
    while (now := time.monotonic() - began) < seconds:
        due = at_once + int(now * RATE) - sent
        for side in sides:
            side.send(due)
        sent += due
        await asyncio.sleep(TICK)
    for side in sides:
        side.producer.flush()
        if side.refused:
            raise Implausible(f"loops: a delivery was refused: {side.refused[0]}")
    deadline = time.monotonic() + ARRIVE_SECONDS
    while any(sum(post.path in side.paths for post in receiver.posts[before:]) < sent for side in sides):
        if time.monotonic() > deadline:
            raise Implausible(f"loops: {sent} deliveries did not all come")
        await asyncio.sleep(0.5)
    return sent
