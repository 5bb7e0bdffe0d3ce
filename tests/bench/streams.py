"""Streams: events a second of enrich, beside a Kafka Streams application with the same join (`Streams.java`).

The application joins, and no more: what enrich also does with a hit, its checks, machines and user agents, it need not.
It is tried in each of `WAYS` first. The baseline is the fastest of those of objects, as such applications are written;
beside it stands the fastest of all, which splices bytes as enrich does.
"""

import itertools
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.local.kafka_home import VERSION, Jars
from pipeline.topics import EVENTS, HITS
from tests.bench.enrich import ALL_SECONDS, Supply, all_joined, enriched, rate_and_price
from tests.bench.figures import Implausible, Run, compared
from tests.bench.ground import Ground, agree
from tests.bench.java import compiled, java
from tests.bench.mail import mailings, profiles
from tests.bench.processes import Process, say
from tests.bench.warmth import warm

JARS = Jars(
    f"Kafka Streams {VERSION}",
    (f"org.apache.kafka:kafka-streams:{VERSION}!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!"),
    "1d201cd6f61470d221fa24da86b84361c8396053fe065e726129d4b5af09be37",
)
SOURCE = Path(__file__).with_name("Streams.java")
# What moved its rate, or its CPU-seconds an event; the rest is Kafka's default. DECISIONS.md says what was tried.
PROPERTIES = {
    "processing.guarantee": "at_least_once",
    "statestore.cache.max.bytes": "0",
    "buffered.records.per.partition": "10000",
    "consumer.max.poll.records": "10000",
    "consumer.max.partition.fetch.bytes": str(4 * 2**20),
    "producer.acks": "all",
    "producer.linger.ms": "100",
    "producer.batch.size": str(256 * 2**10),
    "producer.buffer.memory": str(128 * 2**20),
    "producer.compression.type": "lz4",
}
FIRST = 380_000  # hits to begin with, for each second that is measured or warmed up: 5 million in all
MORE = 1.5
COLD = 5  # the first fifth of the hits is not measured
COMPARED = 20  # of the pace's profiles, for each a hit is joined by both and compared: 5,000 at full pace
OURS_ALONE = {"machine", "signals", "client", "system", "device"}


class Way(NamedTuple):
    """What it keeps profiles in, what it joins, and how many threads do."""

    table: str
    of: str
    threads: int

    def __str__(self) -> str:
        return f"{self.table} of {self.of}, {self.threads} thread{'s' if self.threads > 1 else ''}"


WAYS = tuple(itertools.starmap(Way, itertools.product(("KTable", "GlobalKTable"), ("objects", "bytes"), (1, 2))))
OBJECTS = tuple(way for way in WAYS if way.of == "objects")


def measure(ground: Ground) -> dict[str, Any]:
    """The figure."""
    application = Application(ground, compiled(SOURCE, JARS, ground.folder / "classes"))
    pace = ground.pace
    ground.load(itertools.chain(profiles(pace.profiles), mailings()))
    supply = Supply(ground, pace.profiles)
    supply.grow(pace.profiles // COMPARED)
    _same(ground, application, supply.count)
    supply.grow(int(FIRST * (pace.warm + pace.steady)))
    tried = {way: _tried(application, way, supply) for way in WAYS}
    usual, best = (max(ways, key=lambda way: tried[way].rate) for ways in (OBJECTS, WAYS))
    ours, theirs, fastest = [], [], []
    for number in range(pace.runs):
        fastest.append(application.run(best, supply))
        theirs.append(application.run(usual, supply) if usual is not best else fastest[-1])
        ours.append(enriched(ground, supply, warm(pace, supply.count // COLD)))
        for way, run in ((usual, theirs[-1]), (best, fastest[-1])):
            times = f"{rate_and_price(ours[-1])}, {way} {rate_and_price(run)}: {ours[-1].rate / run.rate:.2f} times"
            say(f"streams {number + 1}: {times}")
    beside_best = compared("streams", "events/s", ours, f"{JARS.name}, {best}", fastest)
    return {
        **compared("streams", "events/s", ours, f"{JARS.name}, {usual}", theirs),
        **{f"best_{name}": beside_best[name] for name in ("baseline", "baseline_name", "baseline_cpu_s", "ratio")},
        "ways": {str(way): round(run.rate, 1) for way, run in tried.items()},
    }


def _tried(application: "Application", way: Way, supply: Supply) -> Run:
    run = application.run(way, supply)
    say(f"streams: {way}: {rate_and_price(run)}")
    return run


class Application:
    """The Kafka Streams application, a new one each time: it has read nothing yet."""

    def __init__(self, ground: Ground, classes: str) -> None:
        self._ground = ground
        self._classes = classes
        self._count = 0

    def run(self, way: Way, supply: Supply) -> Run:
        """What it does when it is warm; with more hits where they did not last. What it read is written, and joined."""
        ground = self._ground
        while True:
            starts, before = ground.ends(EVENTS), ground.count(EVENTS)
            with self.start(way) as process:
                run = ground.steady(process, EVENTS, supply.count, warm(ground.pace, supply.count // COLD))
            agree(f"streams: {way}: hits and events", self.read, ground.count(EVENTS) - before)
            all_joined(ground, starts)
            if run:
                return run
            supply.grow(int(supply.count * MORE))

    def start(self, way: Way) -> Process:
        """The next one."""
        self._count += 1
        ground = self._ground
        properties = PROPERTIES | {
            "application.id": ground.cluster.full(self._group),
            "bootstrap.servers": ground.settings.bootstrap,
            "num.stream.threads": str(way.threads),
            "state.dir": str(ground.folder / "streams"),
        }
        words = [
            way.table,
            way.of,
            ground.settings.topic_prefix,
            *(f"{name}={value}" for name, value in properties.items()),
        ]
        return Process(java(self._classes, "Streams", words), ground.folder)

    @property
    def read(self) -> int:
        """How many hits the last one has committed."""
        return self._ground.committed(self._group, HITS)

    @property
    def _group(self) -> str:
        return f"streams-{self._count}"


def _same(ground: Ground, application: Application, hits: int) -> None:
    """Every event of the application is enrich's own, what the join does not add apart; and there is one a hit."""
    starts = ground.ends(EVENTS)
    with ground.start("enrich") as process:
        process.wait_for(lambda: ground.done("enrich", (HITS,)), ALL_SECONDS)
    ours = _events(ground, starts)
    agree("streams: hits and our events", hits, len(ours))
    for way in WAYS:
        starts, before = ground.ends(EVENTS), ground.count(EVENTS)
        with application.start(way) as process:
            process.wait_for(partial(_came, ground, before + hits), ALL_SECONDS)
        agree(f"streams: {way}: hits and events", hits, ground.count(EVENTS) - before)
        agree(f"streams: {way}: hits and what is committed", hits, application.read)
        theirs = _events(ground, starts)
        for name, event in ours.items():
            if theirs.get(name) != event:
                raise Implausible(f"streams: {way} makes {theirs.get(name)} where enrich makes {event}")


def _came(ground: Ground, events: int) -> bool:
    return ground.count(EVENTS) >= events


def _events(ground: Ground, starts: Mapping[int, int]) -> dict[str, dict[str, Any]]:
    """Events by id."""
    events = map(json.loads, ground.values(EVENTS, starts))
    return {event["id"]: {name: event[name] for name in event.keys() - OURS_ALONE} for event in events}
