"""`python -m tests.chaos`: one fault after the other under opens, and what was answered beside what was delivered.

Three brokers, seven processes, a customer's server. SECONDS=600 is how long things break; SEED=... repeats the order
of a run. stdout has one line of JSON; the exit code is 1 unless nothing was lost, and all was well again each time.
"""

import json
import os
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confluent_kafka import KafkaException

from pipeline.capture.tokens import signing_key
from pipeline.kafka.admin import Admin
from pipeline.keys import link_keys
from tests.chaos.crew import crew_of
from tests.chaos.faults import Fault, Field, bag
from tests.chaos.shop import Shop
from tests.chaos.tally import is_well, tally
from tests.faults.readers import Readers, until
from tests.faults.three import answering, three_brokers, whole
from tests.story.conftest import line_settings

SECONDS = 600.0
PACE = 100  # hits a second
CONNECTIONS = 32
LADDER = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 30, 30, 30, 30))
MENDED_SECONDS = 180.0  # after a fault, until all is as it was and what was answered since is delivered
STUCK_SECONDS = 120.0  # at the end, without anything new


def main() -> int:
    """The exit code."""
    seconds, seed = float(os.environ.get("SECONDS") or SECONDS), os.environ.get("SEED") or secrets.token_hex(4)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    began = time.monotonic()
    with TemporaryDirectory(prefix="loopwire-chaos-", ignore_cleanup_errors=True) as folder, line(Path(folder)) as run:
        run.broken(seconds, random.Random(seed))
        counts = run.counts() | {"seconds": round(time.monotonic() - began), "seed": seed}
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()
    return 0 if is_well(counts) and not counts["wrong"] else 1


@contextmanager
def line(folder: Path) -> Iterator["Run"]:
    """The cluster, the line on it, and the shop."""
    say("three brokers and seven processes start")
    with three_brokers(folder) as brokers:
        told = line_settings(folder / "data", ",".join(broker.bootstrap for broker in brokers), topic_replication=3)
        told = told.model_copy(update={"retry_ladder": LADDER})
        admin = Admin(told)
        admin.apply(admin.plan())
        with crew_of(told, folder) as members:
            shop = Shop(told)
            signing = signing_key(link_keys(told), shop.account)
            readers = Readers(told.capture_port, signing, CONNECTIONS, PACE, shop.account)
            yield Run(Field(members, brokers, shop.server), shop, readers)
            shop.close()


class Run:
    """Opens, faults, and the end."""

    def __init__(self, field: Field, shop: Shop, readers: Readers) -> None:
        self._field = field
        self._shop = shop
        self._readers = readers
        self._faults: Counter[str] = Counter()
        self._revived = 0
        self._wrong: list[str] = []  # what should not have happened, beside what the tally finds

    def broken(self, seconds: float, dice: random.Random) -> None:
        """Opens mails, and breaks things for so many seconds; returns when all that was answered is delivered."""
        deadline = time.monotonic() + seconds
        with self._readers.reading():
            self._flows()
            while time.monotonic() < deadline:
                for fault in bag(dice):
                    if time.monotonic() < deadline:
                        self._breaks(fault, dice)
        left, since = self._left(), time.monotonic()
        while left and time.monotonic() - since < STUCK_SECONDS:
            self._revive()
            time.sleep(0.2)
            if left != (left := self._left()):
                since = time.monotonic()

    def counts(self) -> dict[str, Any]:
        """What the run found."""
        readers = self._readers
        found = tally(readers.safe.keys(), readers.asked, list(self._shop.accepted))
        told = {"told_lost": len(readers.lost), "faults": dict(self._faults), "revived": self._revived}
        return found | told | {"wrong": self._wrong}

    def _breaks(self, fault: Fault, dice: random.Random) -> None:
        """One fault, and all that follows from it until all is well."""
        name, began = fault.__name__, time.monotonic()
        self._faults[name] += 1
        say(f"{name.replace('_', ' ')}; {len(self._readers.safe)} answered, {self._left()} of them under way")
        try:
            fault(self._field, dice)
            until(self._is_whole, MENDED_SECONDS)
            self._flows()
        except AssertionError as wrong:
            self._wrong.append(f"{name}: {wrong}")
            say(f"{name}: {wrong}")
        say(f"  well again after {time.monotonic() - began:.0f} s")

    def _flows(self) -> None:
        """Returns when something that was answered from now on is delivered."""
        before = set(self._readers.safe)
        until(lambda: self._is_told_beyond(before), MENDED_SECONDS)

    def _is_told_beyond(self, before: set[str]) -> bool:
        self._revive()
        return bool((self._readers.safe.keys() & self._shop.messages) - before)

    def _is_whole(self) -> bool:
        self._revive()
        with suppress(KafkaException):
            brokers = self._field.brokers
            return (
                answering(brokers) == len(brokers)
                and whole(brokers)
                and all(member.ready for member in self._field.members)
            )
        return False

    def _revive(self) -> None:
        """A process that ended by itself is started again, as its supervisor would."""
        for member in self._field.members:
            if not member.alive:
                self._revived += 1
                say(f"  {member.name} ended by itself, and is started again: {member.last_words}")
                member.start()

    def _left(self) -> int:
        return len(self._readers.safe.keys() - self._shop.messages)


def say(text: str) -> None:
    """Progress: stdout is for the tally alone."""
    sys.stderr.write(f"chaos: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
