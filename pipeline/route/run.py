"""Route's door to the world: a thread of the deliver process that reads events and writes deliveries."""

import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from threading import Event, Thread

from confluent_kafka import KafkaError, KafkaException

from pipeline import metrics, topics
from pipeline.kafka.consume import Batch, Feed, Moves, Places
from pipeline.kafka.ledger import Ledger
from pipeline.kafka.mirror import Apply, Mirror
from pipeline.kafka.proof import noted
from pipeline.kafka.receipt import Receipt
from pipeline.kafka.refusal import unwritten
from pipeline.kafka.seam import Kafka, OnDelivery
from pipeline.model.replays import Replays
from pipeline.model.standing import Standings
from pipeline.record import Record
from pipeline.route.errands import Errand, errands
from pipeline.route.holds import Holds
from pipeline.route.rereads import Rereads
from pipeline.route.stage import outcome

log = logging.getLogger(__name__)

AT_ONCE = 1000
FETCH_SECONDS = 0.1
POLL_SECONDS = 0.005  # while deliveries wait for their acknowledgement
COMMIT_SECONDS = 0.2
SETTLE_SECONDS = 10.0

WRITTEN = metrics.counter("loopwire_route_records", "records written, by topic", "topic")


class Router(Thread):
    """Routes until `stop`. `failed` is why it ended by itself, if it did."""

    def __init__(self, kafka: Kafka) -> None:
        super().__init__(name="route", daemon=True)
        self.failed: BaseException | None = None
        self.ready = False
        self._kafka = kafka
        self._stop_asked = Event()
        self._producer = kafka.producer()
        self._standings = Standings()
        self._holds = Holds()
        self._replays = Replays()
        self._rereads = Rereads(kafka, self._errands, self._produce)
        self._feed: Feed
        self._refused: list[KafkaError] = []
        self._committed_at = 0.0

    def stop(self) -> None:
        """Finishes what is under way, commits and ends."""
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        """The thread's work."""
        try:
            self._route()
        except KafkaException as failed:  # told in a line by who waits for our end
            self.failed = failed
        except BaseException as failed:
            log.exception("route stopped")
            self.failed = failed

    def _route(self) -> None:
        standings = self._standings
        tables: dict[str, Apply] = {
            topics.LOOPS: standings.put_loop,
            topics.LOOP_STATES: standings.put_state,
            topics.REPLAY_STATES: self._replays.put,
        }
        self._mirror = Mirror(self._kafka, tables)
        self._mirror.follow_all(tables)
        self._mirror.catch_up()
        self._feed = Feed(self._kafka, "route", [topics.EVENTS], Moves(self._gain, self._settle, self._lose))
        self.ready = True
        try:
            while not self._stop_asked.is_set():
                self._step(self._feed)
        finally:
            self._feed.close()
            self._rereads.close()
            self._mirror.close()

    def _step(self, feed: Feed) -> None:
        busy = len(self._producer) or self._rereads.busy
        batches = feed.fetch(AT_ONCE, POLL_SECONDS if busy else FETCH_SECONDS)
        if batches:
            self._mirror.catch_up()  # a loop's change holds for every hit answered after it
        else:
            self._mirror.take(0)
        for batch in batches:
            self._end_holds(batch.partition, batch.first)
            self._write(batch)
        for place in feed.places if self._holds.any_over(self._standings.flows) else ():
            self._end_holds(place[1], feed.position(place))
        self._rereads.step(time.monotonic())
        self._producer.poll(0)
        for refused in [*self._refused, *self._rereads.refused]:
            raise KafkaException(refused)
        if time.monotonic() - self._committed_at > COMMIT_SECONDS:
            feed.commit()
            self._committed_at = time.monotonic()

    def _write(self, batch: Batch) -> None:
        receipt = Receipt(batch.ledger, batch.first, batch.end, self._refused.append)
        if not receipt.owed:
            return
        for message in batch.messages:
            records = outcome(message, self._standings, self._holds)
            receipt.expect(len(records))
            for record in records:
                self._produce(record, receipt)
        receipt.complete()

    def _end_holds(self, partition: int, position: int) -> None:
        """Loops that are well again miss nothing from here on; what they missed is due."""
        for record in self._holds.over(partition, position, self._standings.flows):
            self._produce(record, noted(self._refused.append))

    def _errands(self) -> Iterable[Errand]:
        ours = {place[1]: partial(self._feed.position, place) for place in self._feed.places}
        return errands(self._standings, self._holds, self._replays, ours)

    def _produce(self, record: Record, told: OnDelivery) -> None:
        WRITTEN.labels(record.topic).inc()
        topic, headers = self._kafka.full(record.topic), list(record.headers) or None
        while True:
            try:
                self._producer.produce(
                    topic, record.value, record.key, record.partition, on_delivery=told, headers=headers
                )
                return
            except BufferError:
                self._producer.poll(POLL_SECONDS)
            except KafkaException as refused:
                raise unwritten(refused, topic) from refused

    def _gain(self, places: Places) -> None:
        self._mirror.catch_up()  # with what the last owner of the places wrote of them
        for _topic, partition in places:
            self._holds.own(partition, self._standings.holds(partition))

    def _lose(self, places: Places) -> None:
        for _topic, partition in places:
            self._rereads.drop(partition)
            self._holds.disown(partition)

    def _settle(self, _ledgers: Sequence[Ledger]) -> None:
        self._producer.flush(SETTLE_SECONDS)
        self._rereads.note_all()
        self._producer.flush(SETTLE_SECONDS)
