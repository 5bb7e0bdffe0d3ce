"""Isolation: how long from an event in Kafka to its POST at 18 well servers, while one of 20 hangs and one answers 500.

Beside it, at the same time, a deliver process with the same 18 and without the two: what the machine has to do
otherwise slows both alike.
"""

import asyncio
import gc
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop
from msgspec.structs import replace

from pipeline.enrich.join import event_of, profile_tail, tags_tail
from pipeline.kafka.seam import Message, Producer
from pipeline.model.loops import Loop
from pipeline.record import Record
from pipeline.topics import ATTEMPTS, EVENTS, retry_topic
from tests.bench.figures import Implausible, percentiles
from tests.bench.ground import Ground
from tests.bench.mail import hit_records, hits, mailings, profiles
from tests.bench.processes import Process, say
from tests.bench.receiver import Post, Receiver
from tests.bench.work import loop, loop_rows

WELL = 18
HANGS, FAILS = WELL, WELL + 1  # their numbers
HANG_SECONDS = 30.0
EVENTS_A_SECOND = 11.0  # some 200 POSTs a second to the 18
STEADY = 30.0  # as often as the pace's steady seconds: five minutes
ARRIVE_SECONDS = 60.0
LADDER = "5s,1m,5m,30m,2h,6h,12h,24h,24h,24h"  # the default


class Id(msgspec.Struct):
    """Of an event, all that is read."""

    id: str


_id = msgspec.json.Decoder(Id)


def measure(ground: Ground) -> dict[str, Any]:
    """The figure: the p99 with the two to the p99 without them."""
    return uvloop.run(_measured(ground))


async def _measured(ground: Ground) -> dict[str, Any]:
    receiver = Receiver({f"/hooks/{HANGS}": (HANG_SECONDS, 200), f"/hooks/{FAILS}": (0.0, 500)})
    origin = await receiver.open()
    loops = [loop(number, origin) for number in range(WELL + 2)]
    alone = [replace(one, url=f"{one.url}/alone", verified_url=f"{one.url}/alone") for one in loops[:WELL]]
    with ground.beside("with", LADDER) as trial, ground.beside("alone", LADDER) as other, ExitStack() as ending:
        sides = [await _side(trial, loops, ending), await _side(other, alone, ending)]
        await _delays(sides, receiver, ground.pace.warm)
        meters = [side.ground.meter(side.process) for side in sides]
        told, calm = await _delays(sides, receiver, ground.pace.steady * STEADY)
        spent, calm_spent = (meter.run(int(told["n"])) for meter in meters)
        attempts = trial.count(ATTEMPTS)
        held = sum(trial.count(retry_topic(delay)) for delay in trial.settings.retry_ladder)
    receiver.close()
    return {
        "name": "isolation",
        "value": round(told["p99"] / calm["p99"], 3),
        "unit": "p99 with one hanging and one failing / p99 without",
        "n": spent.n,
        "cpu_s": round(spent.cpu_s, 2),
        "seconds": round(spent.seconds, 1),
        "attempts": attempts,
        "retry_records": held,
        "baseline": round(calm["p99"], 2),
        "baseline_name": "p99 of the 18 alone, ms",
        "baseline_cpu_s": round(calm_spent.cpu_s, 2),
        **{name: round(value, 2) for name, value in told.items() if name != "n"},
        **{f"baseline_{name}": round(value, 2) for name, value in calm.items() if name != "n"},
    }


@dataclass
class Side:
    """A deliver process with topics of its own, and the events it gets."""

    ground: Ground
    process: Process
    paths: set[str]  # of its well servers
    producer: Producer


async def _side(ground: Ground, loops: list[Loop], ending: ExitStack) -> Side:
    ground.load(loop_rows(loops))
    process = ending.enter_context(await asyncio.to_thread(ground.start, "deliver"))
    return Side(ground, process, {urlsplit(one.url).path for one in loops[:WELL]}, ground.cluster.producer())


async def _delays(sides: list[Side], receiver: Receiver, seconds: float) -> list[dict[str, float]]:
    """Percentiles of the ms from each event to its POST at each well server, of each side."""
    gc.collect()
    gc.disable()  # a pause of ours is no delay of theirs
    before = len(receiver.posts)
    sent = await _send(sides, max(int(seconds * EVENTS_A_SECOND), 1))
    deadline = time.monotonic() + ARRIVE_SECONDS
    while any(len(_came(side, sent, receiver.posts[before:])) < len(sent) * WELL for side in sides):
        if time.monotonic() > deadline:
            raise Implausible(f"isolation: {len(sent)} events did not all come to {WELL} loops")
        await asyncio.sleep(0.5)
    gc.enable()
    found = []
    for side in sides:
        came = _came(side, sent, receiver.posts[before:])
        told = percentiles([(at - sent[event]) * 1000 for (event, _), at in came.items()])
        say(f"isolation: {seconds:.0f} s: p50 {told['p50']:.1f} ms, p99 {told['p99']:.1f}, max {told['max']:.1f}")
        found.append(told | {"n": len(came)})
    return found


async def _send(sides: list[Side], count: int) -> dict[str, float]:
    """Events at an even pace, to all sides; when each was sent."""
    began, sent, refused = time.monotonic(), dict[str, float](), list[object]()

    def told(error: object, _message: Message) -> None:
        if error is not None:
            refused.append(error)

    for number, event in enumerate(itertools.islice(EVENTS_TO_COME, count)):
        await asyncio.sleep(max(0.0, began + number / EVENTS_A_SECOND - time.monotonic()))
        sent[_id.decode(event.value or b"").id] = time.monotonic()
        for side in sides:
            side.producer.produce(side.ground.cluster.full(EVENTS), event.value, event.key, on_delivery=told)
            side.producer.poll(0)
    for side in sides:
        side.producer.flush()
    if refused:
        raise Implausible(f"isolation: an event was refused: {refused[0]}")
    return sent


def _came(side: Side, sent: dict[str, float], posts: list[Post]) -> dict[tuple[str, str], float]:
    """When each event first came to each well server of the side."""
    came: dict[tuple[str, str], float] = {}
    for post in posts:
        event = post.body.partition(b"&event=")[2].partition(b"&")[0].decode()
        if event in sent and post.path in side.paths:
            came.setdefault((event, post.path), post.at)
    return came


def _events(profile_count: int) -> Iterator[Record]:
    """`events` without end."""
    who = {record.key: profile_tail(record.key, record.value or b"") for record in profiles(profile_count)}
    what = {record.key: tags_tail(record.key, record.value or b"") for record in mailings()}
    for record in hit_records(hits(profile_count)):
        yield Record(EVENTS, record.key, event_of(record.key, record.value or b"", who, what, lambda _hit: b""))


EVENTS_TO_COME = _events(1_000)
