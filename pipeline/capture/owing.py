"""What is owed: each hit's answer is held back until the broker has the hit, or this machine's disk.

A part of the door. All of it runs on the event loop, but for one line: what the spool's thread says is put down
(`spooled`), and heard with the acknowledgements, a millisecond later at most.
"""

import time
from collections import deque
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from pipeline.capture import counts
from pipeline.capture.answer import Asked, Response
from pipeline.capture.segment import Kept
from pipeline.capture.spool import Spool
from pipeline.capture.spooling import Broker
from pipeline.capture.talking import Reply
from pipeline.kafka.making import UNHEARD
from pipeline.kafka.proof import fault
from pipeline.kafka.refusal import unwritten
from pipeline.kafka.seam import Message, Producer

# What a reader waits at most, where disk and broker both leave his hit in the air. librdkafka looks for late records
# once a second, so it is told a second less and speaks first: then a hit called lost is not sent later.
PATIENCE_SECONDS = 6.0
PRODUCER: dict[str, Any] = {
    "message.timeout.ms": 5_000,  # what is spooled meanwhile comes twice if it is still sent: so not for long
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 65_536,
    "reconnect.backoff.max.ms": 1_000,
    "logger": UNHEARD,  # `lasting.py` says it
}
POLL_SECONDS = 0.001  # while something is under way: what an acknowledgement waits at most for us

LOST = ("loopwire-hit", "lost")


class Owed:
    """An answer that a reader waits for, and its hit."""

    __slots__ = ("_owing", "abandoned", "answered", "asked", "kept", "reply", "response", "since")

    def __init__(self, owing: "Owing", asked: Asked, response: Response, kept: Kept, reply: Reply) -> None:
        self._owing = owing
        self.asked = asked
        self.response = response
        self.kept = kept
        self.reply = reply
        self.since = time.monotonic()
        self.answered = False
        self.abandoned = False  # the spool was asked: the broker took too long, or refused

    def told(self, error: KafkaError | None, message: Message) -> None:
        """The broker has it, or says why not."""
        self._owing.acknowledged(self, fault(error, message))

    def spooled(self, why: str) -> None:
        """The disk has it, or `why` not; from any thread."""
        self._owing.written.append((self, why))


class Losses:
    """What was lost since it was last told of, and why."""

    def __init__(self) -> None:
        self.count = 0
        self.why = ""


class Owing:
    """All answers that a worker owes; it counts in `row`.

    `deadline` is how many seconds a hit waits for the broker before it is spooled. `producer` writes to `topic`.
    """

    def __init__(self, producer: Producer, topic: str, spool: Spool, row: counts.Row, deadline: float) -> None:
        self.producer = producer
        self._topic = topic
        self._spool = spool
        self._row = row
        self._deadline = deadline
        self._line: deque[Owed] = deque()  # who waits for the broker, the oldest first
        self._late: deque[Owed] = deque()  # who waits for the disk, and then for either
        self.written: deque[tuple[Owed, str]] = deque()  # of which the disk has spoken since we last listened
        self._polled = 0.0
        self.count = 0
        self.broker = Broker()
        self.known = False  # whether the broker was ever well
        self.failed = float("-inf")  # when it failed last, and why
        self.why = ""
        self.losses = Losses()

    def receive(self, owed: Owed) -> None:
        """A hit begins its way: to the broker, or straight to the spool while the broker fails."""
        self.count += 1
        if not self.broker.trusted and self._spool.well:
            self._spool_it(owed)
        else:
            self._line.append(owed)
            self._produce(owed)
        if owed.since - self._polled > POLL_SECONDS:  # under load, acknowledgements don't wait for their turn
            self.poll(owed.since)

    def poll(self, now: float) -> None:
        """Hears what broker and disk say."""
        self._polled = now
        self.producer.poll(0)
        while self.written:
            self._spooled(*self.written.popleft())

    def look_at(self, now: float) -> None:
        """Spools who waited too long for the broker; gives up who waited too long for either."""
        line, late = self._line, self._late
        while line and (line[0].answered or line[0].abandoned or now - line[0].since > self._deadline):
            owed = line.popleft()
            if not owed.answered and not owed.abandoned:
                self._fails(owed, "no acknowledgement in time")
        while late and (late[0].answered or now - late[0].since > PATIENCE_SECONDS):
            owed = late.popleft()
            if not owed.answered:
                self._lose(owed, f"{self.why}; {self._spool.why or 'the disk does not answer'}")

    def oldest(self) -> float:
        """How many seconds the oldest hit waits for the broker."""
        return time.monotonic() - self._line[0].since if self.count and self._line else 0.0

    def is_well(self) -> None:
        """The broker took something in time, or answers again."""
        self.broker, self.known = Broker(), True

    def acknowledged(self, owed: Owed, error: KafkaError | None) -> None:
        """What the broker says of a hit."""
        if error is not None:
            self._fails(owed, error.str())
            return
        if owed.abandoned:
            counts.late(self._row)
        elif self.broker.failures or not self.known:
            self.is_well()
        self._answer(owed, "safe")

    def _spooled(self, owed: Owed, why: str) -> None:
        """What the disk says of a hit. Where it refuses, a broker that is trusted may still take it in time."""
        if not why:
            self._answer(owed, "spooled")
        elif not self.broker.trusted:
            self._lose(owed, f"{self.why}; {why}")

    def _produce(self, owed: Owed) -> None:
        try:
            self.producer.produce(self._topic, owed.kept.value, owed.kept.key, on_delivery=owed.told)
        except BufferError as full:
            self._fails(owed, str(full))
        except KafkaException as refused:
            self._fails(owed, str(unwritten(refused, self._topic).args[0].str()))

    def _fails(self, owed: Owed, why: str) -> None:
        """The broker did not take the hit, or not in time."""
        self.broker = self.broker.failed()
        self.failed, self.why = time.monotonic(), why
        self._spool_it(owed)

    def _spool_it(self, owed: Owed) -> None:
        if owed.abandoned or owed.answered:
            return
        owed.abandoned = True
        counts.waited(self._row, time.monotonic() - owed.since)
        self._late.append(owed)
        self._spool.keep(owed.kept, owed.spooled)

    def _answer(self, owed: Owed, outcome: counts.Outcome) -> None:
        if owed.answered:
            return
        owed.answered = True
        self.count -= 1
        counts.answered(self._row, owed.asked, outcome)
        if not owed.abandoned:
            counts.waited(self._row, time.monotonic() - owed.since)
        owed.reply(owed.response)

    def _lose(self, owed: Owed, why: str) -> None:
        if owed.answered:
            return
        owed.response = owed.response._replace(headers=(*owed.response.headers, LOST))
        self.losses.count += 1
        self.losses.why = why
        self._answer(owed, "lost")
