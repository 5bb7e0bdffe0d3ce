"""How the installation stands: stages by HTTP, groups and topics by Kafka, none of them waited for over a second."""

import asyncio
import http.client
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from confluent_kafka import KafkaException
from prometheus_client import REGISTRY

from pipeline import topics
from pipeline.console.console import Held, Lag, Plant, Stage
from pipeline.kafka.seam import Kafka
from pipeline.model.lanes import LaneNow

PATIENCE_SECONDS = 0.9
LONGEST_ANSWER = 1_000_000
VERSION = re.compile(r'^loopwire_(?:capture_)?build\{version="([^"]{1,40})"\}', re.MULTILINE)
GROUPS = {
    "loopwire-enrich": (topics.HITS,),
    "loopwire-route": (topics.EVENTS,),
    "loopwire-deliver": (topics.DELIVERIES, topics.BATCHES, topics.DELIVERIES_RETRY, topics.REPLAYS),
}


class Numbers(NamedTuple):
    """What Kafka says."""

    topics: list[Held]
    lags: list[Lag]


class Probing:
    """Belongs to the event loop. `stages` are the addresses of those that are asked.

    A question that is still open is not put again: whoever asks next waits for the same answer.
    """

    def __init__(self, kafka: Kafka, stages: dict[str, str]) -> None:
        self._kafka = kafka
        self._stages = stages
        self._threads = ThreadPoolExecutor(len(stages) + 1, "probing")
        self._open: dict[str, asyncio.Future[Any]] = {}

    async def look(self) -> Plant:
        """All of it, within a second."""
        asked = {name: self._ask(name, partial(_probe, name, at)) for name, at in self._stages.items()}
        numbers = self._ask("kafka", self._numbers)
        await asyncio.wait([*asked.values(), numbers], timeout=PATIENCE_SECONDS)
        stages = [
            asked[name].result() if asked[name].done() else Stage(name, at, None, None)
            for name, at in self._stages.items()
        ]
        known: Numbers | None = numbers.result() if numbers.done() else None
        return Plant(
            stages,
            known.topics if known else None,
            known.lags if known else None,
            bool(REGISTRY.get_sample_value("loopwire_console_recording")),
            _counted("recorded"),
            _counted("skipped"),
        )

    async def lane(self, loop: str) -> LaneNow | None:
        """How the loop's lane stands, within a second; None where the deliver that has it is not reached here."""
        asked = self._ask(f"lane of {loop}", partial(_lane, self._stages["deliver"], loop))
        done, _ = await asyncio.wait([asked], timeout=PATIENCE_SECONDS)
        found: LaneNow | None = asked.result() if done else None
        return found

    def close(self) -> None:
        """Asks no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, name: str, question: Callable[[], Any]) -> "asyncio.Future[Any]":
        known = self._open.get(name)
        if known is None or known.done():
            # What was answered goes: of each loop that was looked at, one would stay for ever.
            self._open = {other: asked for other, asked in self._open.items() if not asked.done()}
            known = self._open[name] = asyncio.get_running_loop().run_in_executor(self._threads, question)
        return known

    def _numbers(self) -> Numbers | None:
        try:
            names = self._kafka.topics()
            counts = self._kafka.partitions(names)
            places = [(name, number) for name in names for number in range(counts[name])]
            ends, starts = self._kafka.ends(places), self._kafka.since(places, 0)
            lags = []
            for group, read in GROUPS.items():
                own = [place for place in places if _is_read(place[0], read)]
                reached = self._kafka.committed(group, own)
                behind = dict.fromkeys((topic for topic, _ in own), 0)
                for place in own:
                    behind[place[0]] += max(ends[place] - max(reached.get(place, 0), starts[place]), 0)
                lags += [Lag(group, topic, records) for topic, records in behind.items()]
        except (KafkaException, TimeoutError):
            return None
        held = dict.fromkeys(names, 0)
        for place in places:
            held[place[0]] += max(ends[place] - starts[place], 0)
        return Numbers([Held(name, counts[name], held[name]) for name in names], lags)


def _is_read(topic: str, read: tuple[str, ...]) -> bool:
    return topic in read or (topics.DELIVERIES_RETRY in read and topic.startswith(f"{topics.DELIVERIES_RETRY}-"))


def _probe(name: str, address: str) -> Stage:
    try:
        status, _ = _get(address, "/ready")
        _, metrics = _get(address, "/metrics")
    except (OSError, http.client.HTTPException, ValueError):
        return Stage(name, address, None, None)
    found = VERSION.search(metrics)
    return Stage(name, address, status == 200, found[1] if found else None)


def _lane(address: str, loop: str) -> LaneNow | None:
    try:
        status, said = _get(address, f"/lanes/{loop}")
        return msgspec.json.decode(said, type=LaneNow) if status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):  # of msgspec, too
        return None


def _get(address: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(LONGEST_ANSWER).decode(errors="replace")
    finally:
        connection.close()


def _counted(result: str) -> int:
    return int(REGISTRY.get_sample_value("loopwire_console_attempts_total", {"result": result}) or 0)
