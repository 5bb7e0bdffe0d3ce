"""One worker's answers: each waits until its hit is on the broker, or on this machine's disk.

A part of the door. Three threads meet here: granian's, which asks (`Capture.hear`); the event loop's, which looks
after time; the spool's. Whoever learns that a hit is safe answers it, under one lock.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import cast

import msgspec
from confluent_kafka import KafkaError, KafkaException

from pipeline.capture import counts
from pipeline.capture.answer import Asked, Request, Response, Rules, answer
from pipeline.capture.draining import Drain
from pipeline.capture.listening import Reply, Scope
from pipeline.capture.segment import Kept
from pipeline.capture.spool import Spool
from pipeline.capture.spooling import ALARM, Broker
from pipeline.kafka.seam import Kafka, Message
from pipeline.model.hits import AnyHit
from pipeline.model.ids import key_of
from pipeline.topics import HITS

log = logging.getLogger(__name__)

# What a reader waits at most, where disk and broker both leave his hit in the air. librdkafka looks for late records
# once a second, so it is told a second less and speaks first: then a hit called lost is not sent later.
PATIENCE_SECONDS = 6.0
PRODUCER = {
    "message.timeout.ms": 5_000,  # a hit that is spooled meanwhile comes twice if it is still sent after that
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 65_536,
    "reconnect.backoff.max.ms": 1_000,
}
POLL_SECONDS = 0.001  # while something is under way: what an acknowledgement waits at most for us
IDLE_SECONDS = 0.05  # else what the drain sent, and librdkafka's own callbacks, are looked after this often
TICK_SECONDS = 0.1
SECOND = 1.0

LOST = ("loopwire-hit", "lost")
CLOSE = ("Connection", "close")
NEVER = ("Cache-Control", "no-store")
PLAIN = (("Content-Type", "text/plain; charset=utf-8"), NEVER)
PROMETHEUS = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"), NEVER)
OWN = frozenset({"/live", "/ready", "/metrics"})
FAILED = Response(500, PLAIN, b"internal error\n")

encode = msgspec.json.Encoder().encode


class Owed:
    """An answer that a reader waits for, and its hit."""

    __slots__ = ("_capture", "abandoned", "answered", "asked", "kept", "reply", "response", "since")

    def __init__(self, capture: "Capture", asked: Asked, response: Response, kept: Kept, reply: Reply) -> None:
        self._capture = capture
        self.asked = asked
        self.response = response
        self.kept = kept
        self.reply = reply
        self.since = time.monotonic()
        self.answered = False
        self.abandoned = False  # the spool was asked: the broker took too long, or refused

    def told(self, error: KafkaError | None, _message: Message) -> None:
        """The broker has it, or says why not."""
        self._capture.acknowledged(self, error)

    def spooled(self, why: str) -> None:
        """The disk has it, or `why` not."""
        self._capture.spooled(self, why)


class Capture:
    """Answers over any `Kafka`. `rows` holds the counts of all workers, `seat` is the number of ours.

    `deadline` is how many seconds a hit waits for the broker before it is spooled.
    """

    def __init__(
        self,
        kafka: Kafka,
        rules: Rules,
        spool: Spool,
        rows: Sequence[counts.Row],
        seat: int = 0,
        deadline: float = 0.15,
    ) -> None:
        self._kafka = kafka
        self._rules = rules
        self._spool = spool
        self._rows = rows
        self._row = rows[seat]
        self._deadline = deadline
        self._topic = kafka.full(HITS)
        self._producer = kafka.producer(**PRODUCER)
        self._drain = Drain(spool, self._producer, self._topic)
        self._lock = Lock()
        self._line: deque[Owed] = deque()  # who waits for the broker, the oldest first
        self._late: deque[Owed] = deque()  # who waits for the disk, and then for either
        self._owed = 0
        self._broker = Broker()
        self._known = False  # whether the broker was ever well
        self._failed = float("-inf")
        self._why = ""
        self._lost = 0
        self._lost_why = ""
        self._polled = 0.0
        self._asleep = False
        self._random = _random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._busy = asyncio.Event()
        self.draining = False

    @property
    def waiting(self) -> int:
        """How many answers are owed."""
        return self._owed

    @property
    def ready(self) -> bool:
        """Whether a hit that came now would be safe, as far as is known."""
        return not self.draining and ((self._known and self._broker.trusted) or self._spool.well)

    async def run(self) -> None:
        """Looks after acknowledgements, deadlines, broker and spool, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tend())
            tasks.create_task(self._watch())
            tasks.create_task(self._probe())
            tasks.create_task(self._drain.run(self._oldest, self._deadline, self._is_well))

    def hear(self, scope: Scope, reply: Reply) -> None:
        """One request; the answer goes to `reply`, now or once the hit is safe. Raises nothing."""
        try:
            response = self._heard(scope, reply)
        except Exception:
            log.exception("capture: a request failed")
            response = FAILED
        if response is not None:
            self._send(reply, response)

    def _heard(self, scope: Scope, reply: Reply) -> Response | None:
        """What can be answered at once."""
        path = scope.path
        if path in OWN:
            return self._own(path)
        request = self._request(scope, path)
        asked, response, hit, bad = answer(request, self._rules, next(self._random))
        if hit is None:
            with self._lock:
                counts.answered(self._row, asked, "bad" if bad else "none")
            return response
        self._receive(Owed(self, asked, response, _kept(hit), reply), request.method)
        return None

    def _own(self, path: str) -> Response:
        match path:
            case "/live":
                return Response(200, PLAIN, b"live\n")
            case "/ready":
                return Response(200, PLAIN, b"ready\n") if self.ready else Response(503, PLAIN, b"not ready\n")
        self._show()
        return Response(200, PROMETHEUS, counts.text(self._rows).encode())

    def _request(self, scope: Scope, path: str) -> Request:
        headers = scope.headers
        return Request(
            scope.method,
            path,
            scope.client.rpartition(":")[0].strip("[]"),
            datetime.now(UTC),
            headers.get("user-agent"),
            headers.get("referer"),
            tuple(headers.get_all("x-forwarded-for")) if self._rules.privacy.trusted else (),
        )

    def _receive(self, owed: Owed, method: str) -> None:
        """A hit begins its way: to the broker, or straight to the spool while the broker fails."""
        with self._lock:
            self._owed += 1
            if method == "HEAD":
                counts.head(self._row)
        if not self._broker.trusted and self._spool.well:
            self._spool_it(owed)
        else:
            self._line.append(owed)
            self._produce(owed)
        if self._asleep:
            self._wake()
        elif owed.since - self._polled > POLL_SECONDS:  # under load nobody has to be woken for an acknowledgement
            self._polled = owed.since
            self._producer.poll(0)

    def _produce(self, owed: Owed) -> None:
        try:
            self._producer.produce(self._topic, owed.kept.value, owed.kept.key, on_delivery=owed.told)
        except BufferError as full:
            self._fails(owed, str(full))
        except KafkaException as refused:
            self._fails(owed, str(cast("KafkaError", refused.args[0]).str()))

    def _wake(self) -> None:
        self._asleep = False
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._busy.set)

    def acknowledged(self, owed: Owed, error: KafkaError | None) -> None:
        """What the broker says of a hit, on whatever thread polls."""
        if error is not None:
            self._fails(owed, error.str())
            return
        if owed.abandoned:
            with self._lock:
                counts.late(self._row)
        elif self._broker.failures or not self._known:
            self._is_well()
        self._answer(owed, "safe")

    def spooled(self, owed: Owed, why: str) -> None:
        """What the disk says of a hit. Where it refuses, a broker that is trusted may still take it in time."""
        if not why:
            self._answer(owed, "spooled")
        elif not self._broker.trusted:
            self._lose(owed, f"{self._why}; {why}")

    def _fails(self, owed: Owed, why: str) -> None:
        """The broker did not take the hit, or not in time."""
        self._broker = self._broker.failed()
        self._failed, self._why = time.monotonic(), why
        self._spool_it(owed)

    def _spool_it(self, owed: Owed) -> None:
        if owed.abandoned or owed.answered:
            return
        owed.abandoned = True
        self._late.append(owed)
        with self._lock:
            counts.waited(self._row, time.monotonic() - owed.since)
        self._spool.keep(owed.kept, owed.spooled)

    def _is_well(self) -> None:
        self._broker, self._known = Broker(), True

    def _answer(self, owed: Owed, outcome: counts.Outcome) -> None:
        with self._lock:
            if owed.answered:
                return
            owed.answered = True
            self._owed -= 1
            counts.answered(self._row, owed.asked, outcome)
            if not owed.abandoned:
                counts.waited(self._row, time.monotonic() - owed.since)
        self._send(owed.reply, owed.response)

    def _lose(self, owed: Owed, why: str) -> None:
        with self._lock:
            self._lost += not owed.answered
            self._lost_why = why
        owed.response = owed.response._replace(headers=(*owed.response.headers, LOST))
        self._answer(owed, "lost")

    def _send(self, reply: Reply, response: Response) -> None:
        headers = (*response.headers, CLOSE) if self.draining else response.headers
        reply.response_bytes(response.status, headers, response.body)

    def _oldest(self) -> float:
        """How many seconds the oldest hit waits for the broker."""
        line = self._line
        try:
            return time.monotonic() - line[0].since if self._owed else 0.0
        except IndexError:
            return 0.0

    async def _tend(self) -> None:
        """Serves acknowledgements, and spools who waited too long."""
        while True:
            self._asleep = not (self._owed or len(self._producer))
            if self._asleep and not self._owed:
                self._busy.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):  # Python 3.11's wait_for may swallow a cancellation
                        await self._busy.wait()
            else:
                await asyncio.sleep(POLL_SECONDS)
            now = time.monotonic()
            if now - self._polled > POLL_SECONDS:
                self._polled = now
                self._producer.poll(0)
            self._look_at(now)

    def _look_at(self, now: float) -> None:
        line, late = self._line, self._late
        while line and (line[0].answered or line[0].abandoned or now - line[0].since > self._deadline):
            owed = line.popleft()
            if not owed.answered and not owed.abandoned:
                self._fails(owed, "no acknowledgement in time")
        while late and (late[0].answered or now - late[0].since > PATIENCE_SECONDS):
            owed = late.popleft()
            if not owed.answered:
                self._lose(owed, f"{self._why}; {self._spool.why or 'the disk does not answer'}")

    async def _watch(self) -> None:
        """Shows how it stands, tries the disk while that fails, and says what changed, at most once a second."""
        told, trusted, alarmed = 0.0, True, False
        self._spool.try_out()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._show()
            now = time.monotonic()
            if now - told < SECOND:
                continue
            told = now
            if not self._spool.well:
                self._spool.try_out()
            if self._lost:
                log.error("capture: %d hits lost: %s", self._lost, self._lost_why)
                self._lost = 0
            if trusted is not self._broker.trusted:
                trusted = self._broker.trusted
                log.warning("capture: %s", "the broker takes hits again" if trusted else
                            f"hits go to the spool: {self._why}")  # fmt: skip
            if alarmed is not (self._held > ALARM * self._spool.limit):
                alarmed = not alarmed
                log.warning("capture: the spool holds %d of its %d bytes", self._held, self._spool.limit)

    @property
    def _held(self) -> int:
        draining = self._drain.held
        return self._spool.held + (draining.size if draining else 0)

    def _show(self) -> None:
        draining = self._drain.held
        since = draining.since if draining else self._spool.since
        age = max(0.0, time.time() - since) if since else 0.0
        counts.stands(
            self._row,
            counts.Standing(self._drain.drained, self._owed, len(self._producer), self._held, self._spool.limit, age),
        )

    async def _probe(self) -> None:
        """Asks the broker once a second for our topic while it is not known to be well; says why it isn't, once.

        While the spool holds something, its records ask: the broker is well when it takes one.
        """
        said = ""
        while True:
            if not (self._known and self._broker.trusted):
                began = time.monotonic()
                why = await asyncio.to_thread(self._not_well)
                if not why and self._failed < began - SECOND and (self._drain.empty or not self._known):
                    self._is_well()
                if why and why != said:
                    log.warning("capture: the broker is not ready: %s", why)
                said = why
            await asyncio.sleep(SECOND)

    def _not_well(self) -> str:
        try:
            self._kafka.partitions((HITS,))
        except KafkaException as away:
            return str(away.args[0].str())
        return ""


def _kept(hit: AnyHit) -> Kept:
    return Kept(key_of(hit.account, hit.profile).encode(), encode(hit))


def _random() -> Iterator[bytes]:
    """Ten random bytes at a time: a system call for each was 7 % of a hit's work."""
    while True:
        pool = os.urandom(10_000)
        yield from (pool[at : at + 10] for at in range(0, len(pool), 10))
