"""One worker: it reads requests, owes answers, and looks after time, broker and disk.

A part of the door. All of it runs on the event loop.
"""

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from confluent_kafka import KafkaException

from pipeline.capture import counts
from pipeline.capture.answer import Request, Response, Rules, answer
from pipeline.capture.choices import Chosen
from pipeline.capture.draining import Drain
from pipeline.capture.lasting import Lasting
from pipeline.capture.owing import POLL_SECONDS, PRODUCER, Losses, Owed, Owing
from pipeline.capture.segment import Kept
from pipeline.capture.spool import Spool
from pipeline.capture.spooling import ALARM
from pipeline.capture.talking import Reply
from pipeline.kafka.seam import Kafka
from pipeline.model.hits import AnyHit
from pipeline.model.ids import key_of
from pipeline.topics import HITS

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.05  # else what the drain sent, and librdkafka's own callbacks, are looked after this often
TICK_SECONDS = 0.1
SECOND = 1.0

NEVER = ("Cache-Control", "no-store")
PLAIN = (("Content-Type", "text/plain; charset=utf-8"), NEVER)
PROMETHEUS = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"), NEVER)
OWN = frozenset({"/live", "/ready", "/metrics"})
FAILED = Response(500, PLAIN, b"internal error\n")

encode = msgspec.json.Encoder().encode


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
        topic = kafka.full(HITS)
        self._producer = Lasting(lambda: kafka.producer(**PRODUCER))
        self._owing = Owing(self._producer, topic, spool, self._row, deadline)
        self._drain = Drain(spool, self._producer, topic, partial(counts.drained, self._row))
        self._random = _random()
        self._draining = False
        self._busy = asyncio.Event()

    def choose(self, chosen: Chosen) -> None:
        """What accounts chose, from now on; from any thread."""
        self._rules = self._rules._replace(chosen=chosen)

    @property
    def waiting(self) -> int:
        """How many answers are owed."""
        return self._owing.count

    @property
    def ready(self) -> bool:
        """Whether a hit that came now would be safe, as far as is known."""
        return not self._draining and (self._well or self._spool.well)

    @property
    def _well(self) -> bool:
        return self._owing.known and self._owing.broker.trusted

    def drain(self) -> None:
        """From now on it is not ready."""
        self._draining = True

    async def run(self) -> None:
        """Looks after acknowledgements, deadlines, broker and spool, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tend())
            tasks.create_task(self._watch())
            tasks.create_task(self._probe())
            tasks.create_task(self._drain.run(self._owing.oldest, self._deadline, self._owing.is_well))

    def hear(self, request: Request, reply: Reply) -> None:
        """One request; the answer goes to `reply`, now or once the hit is safe. Raises nothing."""
        try:
            response = self._heard(request, reply)
        except Exception:
            log.exception("capture: a request failed")
            response = FAILED
        if response is not None:
            reply(response)

    def _heard(self, request: Request, reply: Reply) -> Response | None:
        """What can be answered at once."""
        if request.path in OWN:
            return self._own(request.path)
        asked, response, hit, bad = answer(request, self._rules, next(self._random))
        if hit is None:
            counts.answered(self._row, asked, "bad" if bad else "none")
            return response
        if request.method == "HEAD":
            counts.head(self._row)
        self._owing.receive(Owed(self._owing, asked, response, _kept(hit), reply))
        self._busy.set()
        return None

    def _own(self, path: str) -> Response:
        match path:
            case "/live":
                return Response(200, PLAIN, b"live\n")
            case "/ready":
                return Response(200, PLAIN, b"ready\n") if self.ready else Response(503, PLAIN, b"not ready\n")
        self._show()
        return Response(200, PROMETHEUS, counts.text(self._rows).encode())

    async def _tend(self) -> None:
        """Serves acknowledgements, and spools who waited too long."""
        while True:
            if self._owing.count or len(self._producer):
                await asyncio.sleep(POLL_SECONDS)
            else:
                self._busy.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):  # Python 3.11's wait_for may swallow a cancellation
                        await self._busy.wait()
            now = time.monotonic()
            self._owing.poll(now)
            self._owing.look_at(now)

    async def _watch(self) -> None:
        """Shows how it stands; once a second tries a disk that fails, and says what changed."""
        told, said = 0.0, (True, False)
        self._spool.try_out()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._show()
            now = time.monotonic()
            if now - told >= SECOND:
                told = now
                if not self._spool.well:
                    self._spool.try_out()
                said = self._say(*said)

    def _say(self, trusted: bool, alarmed: bool) -> tuple[bool, bool]:
        """Tells of losses, and of whether broker and spool stand otherwise than was said; how they stand."""
        owing = self._owing
        if owing.losses.count:
            log.error("capture: %d hits lost: %s", owing.losses.count, owing.losses.why)
            owing.losses = Losses()
        if trusted is not owing.broker.trusted:
            trusted = not trusted
            how = "the broker takes hits again" if trusted else f"hits go to the spool: {owing.why}"
            log.warning("capture: %s", how)
        if alarmed is not (self._held > ALARM * self._spool.limit):
            alarmed = not alarmed
            log.warning("capture: the spool holds %d of its %d bytes", self._held, self._spool.limit)
        return trusted, alarmed

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
            counts.Standing(self.waiting, len(self._producer), self._held, self._spool.limit, age),
        )

    async def _probe(self) -> None:
        """Asks the broker once a second for our topic while it is not known to be well; says why it isn't, once.

        While the spool holds something, its records ask: the broker is well when it takes one.
        """
        said = ""
        while True:
            if not self._well:
                began = time.monotonic()
                why = await asyncio.to_thread(self._not_well)
                if not why and self._owing.failed < began - SECOND and (self._drain.empty or not self._owing.known):
                    self._owing.is_well()
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
