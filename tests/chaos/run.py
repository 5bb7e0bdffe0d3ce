"""A run: opens, one fault after the other, each until all is well again; and the end, when nothing is under way."""

import random
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException

from pipeline import topics
from pipeline.kafka.client import Cluster
from pipeline.settings import Settings
from tests.chaos.faults import Fault, Field, bag
from tests.chaos.shop import Shop
from tests.chaos.tally import tally
from tests.faults.readers import Readers, until
from tests.faults.three import answering, whole

MENDED_SECONDS = 180.0  # after a fault, until all is as it was and what was answered since is delivered
STUCK_SECONDS = 120.0  # at the end, without a POST
LOOK_SECONDS = 0.5


class Run:
    """What happens to a field under its shop's readers. `wrong` is what should not have been, beside the tally's."""

    def __init__(self, field: Field, shop: Shop, readers: Readers, settings: Settings) -> None:
        self._field = field
        self._shop = shop
        self._readers = readers
        self._cluster = Cluster(settings)
        retries = [topics.retry_topic(delay) for delay in settings.retry_ladder]
        self._read = {
            "enrich": [topics.HITS],
            "route": [topics.EVENTS],
            "deliver": [topics.DELIVERIES, topics.REPLAYS, topics.BATCHES, *retries],
        }
        self._faults: Counter[str] = Counter()
        self._ended: list[str] = []  # who ended by himself, and his last words
        self._began = time.monotonic()
        self.wrong: list[str] = []

    def broken(self, seconds: float, dice: random.Random) -> None:
        """Opens mails, and breaks things for so many seconds; returns when nothing is under way any more."""
        try:
            with self._readers.reading():
                self._flows()
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline:
                    for fault in bag(dice):
                        if time.monotonic() < deadline:
                            self._breaks(fault, dice)
            self._settles()
        except Exception as failed:  # noqa: BLE001 (what was counted is told all the same)
            self.wrong.append(f"the run itself: {failed!r}")

    def counts(self) -> dict[str, Any]:
        """What the run found."""
        readers = self._readers
        wrong = [*self.wrong, *([f"{len(readers.lost)} answers said that the hit is lost"] if readers.lost else [])]
        return tally(readers.safe.keys(), readers.asked, list(self._shop.accepted)) | {
            "faults": dict(self._faults),
            "ended": self._ended,
            "wrong": wrong,
            "seconds": round(time.monotonic() - self._began),
        }

    def _breaks(self, fault: Fault, dice: random.Random) -> None:
        """One fault, and all that follows from it until all is well."""
        name, began = fault.__name__, time.monotonic()
        self._faults[name] += 1
        say(f"{name.replace('_', ' ')}; {len(self._readers.safe)} answered, {self._left()} of them under way")
        try:
            fault(self._field, dice)
            until(self._is_whole, MENDED_SECONDS)
            self._flows()
            say(f"  well again after {time.monotonic() - began:.0f} s")
        except Exception as wrong:  # noqa: BLE001 (the next fault finds what this one left)
            self.wrong.append(f"{name}: {wrong!r}")
            say(f"  not well: {wrong!r}")

    def _flows(self) -> None:
        """Returns when a mail that is opened from now on is told of."""
        asked = self._readers.asked
        until(lambda: self._shop.newest > asked or self._revive(), MENDED_SECONDS)

    def _settles(self) -> None:
        """Returns when all that was answered is delivered and no stage has anything to do, or nothing moves."""
        while self._left() or not self._is_at_rest():
            self._revive()
            if time.monotonic() - self._shop.heard_at > STUCK_SECONDS:
                self.wrong.append(f"{STUCK_SECONDS:.0f} s without a POST, and not at rest")
                return
            time.sleep(LOOK_SECONDS)

    def _is_at_rest(self) -> bool:
        """Whether every group has read its topics to their ends, and what it made of them is acknowledged."""
        with suppress(KafkaException):
            return all(self._is_read(f"loopwire-{stage}", topic) for stage, of in self._read.items() for topic in of)
        return False

    def _is_read(self, group: str, topic: str) -> bool:
        ends = self._cluster.ends((topic, number) for number in range(self._cluster.partitions([topic])[topic]))
        committed = self._cluster.committed(group, ends)
        return all(committed.get(place, 0) >= end for place, end in ends.items())

    def _is_whole(self) -> bool:
        self._revive()
        brokers = self._field.brokers
        with suppress(KafkaException):
            return (
                answering(brokers) == len(brokers) and whole(brokers) and all(one.ready for one in self._field.members)
            )
        return False

    def _revive(self) -> bool:
        """Who ended by himself is started again, as a supervisor would; False."""
        for member in self._field.members:
            if not member.alive:
                self._ended.append(f"{member.name}: {member.last_words}")
                say(f"  {member.name} ended by itself, and is started again: {member.last_words}")
                member.start()
        for broker in self._field.brokers:
            if not broker.alive:
                self.wrong.append("a broker ended by itself")
                broker.start()
        return False

    def _left(self) -> int:
        return len(self._readers.safe.keys() - self._shop.messages)


def say(text: str) -> None:
    """Progress: stdout is for the tally alone."""
    sys.stderr.write(f"chaos: {text}\n")
    sys.stderr.flush()
