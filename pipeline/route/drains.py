"""What loops missed is read again from `events` and written to `replays`, at a capped pace: a part of route's door."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, TopicPartition

from pipeline import topics
from pipeline.kafka.seam import Kafka, Message, OnDelivery, at_hand
from pipeline.model.standing import Standing, Standings
from pipeline.record import Record
from pipeline.route.holds import Due, Holds
from pipeline.route.stage import missed

PACE = 200.0  # deliveries a second to one loop, from all partitions of this worker together
AT_ONCE = 1000
HIGH = 1000  # events at hand from which a partition's reading is paused
NOTE_SECONDS = 1.0  # how often it is written down how far a drain came: after a kill so much is sent again

Produce = Callable[[Record, OnDelivery], None]


@dataclass(slots=True)
class Drain:
    """One stretch on its way: `next` is the first offset that was not written to `replays`."""

    due: Due
    next: int
    noted_at: float
    waiting: deque[Message] = field(default_factory=deque)
    allowance: float = 0.0
    unacknowledged: int = 0
    paused: bool = False
    over: bool = False


class Drains:
    """One stretch a partition at a time. Used by the router's thread alone."""

    def __init__(self, kafka: Kafka, standings: Standings, holds: Holds, produce: Produce) -> None:
        self._kafka = kafka
        self._standings = standings
        self._holds = holds
        self._produce = produce
        self._reader = kafka.reader()
        self._drains: dict[int, Drain] = {}
        self._at = 0.0
        self.refused: list[KafkaError] = []

    def is_active(self, loop: str) -> bool:
        """Whether the loop is sent to."""
        standing = self._standings.get(loop)
        return standing is not None and standing.state == "active"

    def step(self, now: float) -> None:
        """Goes on a little; `now` is in seconds of any clock that only grows."""
        due = {one.partition: one for one in reversed(self._holds.due(self.is_active))}
        for partition in [one for one, drain in self._drains.items() if not self._goes_on(drain)]:
            self.drop(partition)
        for partition in due.keys() - self._drains.keys():
            self._begin(due[partition], now)
        if self._drains:
            self._read()
            self._write(now - self._at)
            self._note(now)
        self._at = now

    def drop(self, partition: int) -> None:
        """Stops a drain; how far it came was written down a second ago at most."""
        if self._drains.pop(partition, None):
            self._reader.incremental_unassign([self._place(partition)])

    def close(self) -> None:
        """Stops reading."""
        self._reader.close()

    def _goes_on(self, drain: Drain) -> bool:
        return self.is_active(drain.due.loop)

    def _begin(self, due: Due, now: float) -> None:
        self._drains[due.partition] = Drain(due, due.start, now)
        self._reader.incremental_assign([self._place(due.partition, due.start)])

    def _read(self) -> None:
        for message in at_hand(self._reader, AT_ONCE, 0):
            drain = self._drains.get(message.partition() or 0)
            if drain is not None:
                drain.waiting.append(message)
        for partition, drain in self._drains.items():
            if drain.paused != (len(drain.waiting) >= HIGH):
                drain.paused = not drain.paused
                (self._reader.pause if drain.paused else self._reader.resume)([self._place(partition)])

    def _write(self, seconds: float) -> None:
        shares = Counter(drain.due.loop for drain in self._drains.values())
        for drain in self._drains.values():
            drain.allowance = min(drain.allowance + PACE / shares[drain.due.loop] * seconds, PACE)
            standing = self._standings.get(drain.due.loop)
            while standing and drain.waiting and drain.allowance >= 1 and not drain.over:
                self._pass_on(drain, drain.waiting.popleft(), standing)

    def _pass_on(self, drain: Drain, message: Message, standing: Standing) -> None:
        offset, error = message.offset() or 0, message.error()
        drain.over = offset >= drain.due.end  # the end of the partition is told as a message, too
        if error is not None or drain.over:
            return
        record = missed(message, standing)
        if record is not None:
            drain.unacknowledged += 1
            drain.allowance -= 1
            self._produce(record, self._told(drain))
        drain.next = offset + 1
        drain.over = drain.next >= drain.due.end

    def _told(self, drain: Drain) -> OnDelivery:
        def told(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self.refused.append(error)
            else:
                drain.unacknowledged -= 1

        return told

    def _note(self, now: float) -> None:
        for partition, drain in list(self._drains.items()):
            late = now - drain.noted_at >= NOTE_SECONDS and drain.next > drain.due.start
            if drain.unacknowledged or not (drain.over or late):
                continue
            drain.noted_at = now
            reached = drain.due.end if drain.over else drain.next
            if record := self._holds.passed(drain.due.loop, partition, reached):
                self._produce(record, self._noted)
            if drain.over:
                self.drop(partition)

    def _noted(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.refused.append(error)

    def _place(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self._kafka.full(topics.EVENTS), partition, offset)
