"""Past events are read again, errand by errand, and written to `replays` at each errand's pace: a part of route's door.

One reader serves all. In a partition the errands take turns: the one whose turn it is reads until it has enough at
hand, so a slow one keeps nobody waiting.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import inf
from operator import itemgetter

from confluent_kafka import KafkaError, TopicPartition

from pipeline import topics
from pipeline.kafka.proof import fault, noted
from pipeline.kafka.seam import Kafka, Message, OnDelivery, at_hand
from pipeline.record import Record
from pipeline.route.errands import Came, Errand, Key

AT_ONCE = 1000
MOST_ERRANDS = 500  # under way at a time; the others wait for one of these to end
MOST_PROBES = 100  # and of those that probe; where more want to, each makes room once it has
AHEAD = 50  # deliveries an errand has at hand at least, before another's turn comes
AHEAD_SECONDS = 0.5  # and how long they should last at its pace
TURN = 5000  # events an errand reads in one turn where others wait for theirs
LOOK_SECONDS = 0.1  # how often it is looked what there is to do
LOOK_PAUSE = 20  # and at most so: of thousands of loops it takes a while, and 1 / LOOK_PAUSE of the time is enough
MOST_ENDED, ENDED_SECONDS = 10_000, 900.0  # from how many, and until when, it is known when an errand ended
NOTE_SECONDS = 1.0  # how often it is written down how far an errand came: after a kill so much is sent again

Produce = Callable[[Record, OnDelivery], None]
Look = Callable[[], Iterable[Errand]]


@dataclass(slots=True)
class Reread:
    """An errand on its way."""

    errand: Errand
    came: Came
    read: int  # the offset reading goes on from
    at_hand: deque[tuple[int, Record]] = field(default_factory=deque)
    allowance: float = 1.0
    unacknowledged: int = 0
    noted: Came | None = None
    noted_at: float = 0.0
    given_up: bool = False

    @property
    def partition(self) -> int:
        """Of `events`."""
        return self.errand.key[1]

    @property
    def all_read(self) -> bool:
        """Whether nothing is left to be read."""
        return self.read >= self.errand.end

    @property
    def over(self) -> bool:
        """Whether all of it was read and sent."""
        return self.all_read and not self.at_hand and not self.unacknowledged

    @property
    def has_its_probe(self) -> bool:
        """Whether it needs no more than it has at hand."""
        return self.errand.probes and bool(self.at_hand)

    @property
    def has_probed(self) -> bool:
        """Whether it did what it is there for, and would wait until it may again."""
        return self.errand.probes and self.came.sent > 0 and self.allowance < 1

    def take(self, message: Message) -> None:
        """The next event of the partition, or word of the partition's end."""
        offset = message.offset() or 0
        if message.error() is not None or offset >= self.errand.end:
            self.read = max(self.read, min(offset, self.errand.end))
        elif offset >= self.read:
            self.read = offset + 1
            if record := self.errand.pick(message):
                self._found(offset, record)
        if not self.at_hand:
            self.came = replace(self.came, next=self.read)

    def _found(self, offset: int, record: Record) -> None:
        if self.errand.counts_only:
            self.came = replace(self.came, matched=self.came.matched + 1)
        else:
            self.at_hand.append((offset, record))

    def next(self) -> Record:
        """The next delivery to be written; it counts as sent."""
        offset, record = self.at_hand.popleft()
        self.came = replace(
            self.came,
            next=offset + 1 if self.at_hand else self.read,
            matched=self.came.matched + 1,
            sent=self.came.sent + 1,
        )
        self.unacknowledged += 1
        return record

    def written(self, message: Message) -> None:
        """A delivery is safe in `replays`."""
        self.unacknowledged -= 1
        end = (message.offset() or 0) + 1
        self.came = replace(self.came, place=message.partition(), end=max(end, self.came.end or 0))


class Rereads:
    """All errands under way. Used by the router's thread alone."""

    def __init__(self, kafka: Kafka, look: Look, produce: Produce) -> None:
        self._kafka = kafka
        self._look = look
        self._produce = produce
        self._reader = kafka.reader()
        self._rereads: dict[Key, Reread] = {}
        self._turns: dict[int, tuple[Key, int]] = {}  # by partition: whose turn it is, and how much it read in it
        self._ended: dict[Key, float] = {}  # when an errand of that key ended: one begun anew is not ahead of its pace
        self._look_at = -inf
        self._crowded = False  # whether some that probe wait for others to make room
        self._at = 0.0
        self.refused: list[KafkaError] = []

    def step(self, now: float) -> None:
        """Goes on a little; `now` is in seconds of any clock that only grows."""
        if now >= self._look_at:
            began = time.monotonic()
            self._look_around(now)
            self._look_at = now + max(LOOK_SECONDS, LOOK_PAUSE * (time.monotonic() - began))
        if self._rereads:
            self._take_turns()
            self._read()
            self._write(now - self._at)
            self._note(now)
        self._at = now

    @property
    def busy(self) -> bool:
        """Whether something is being read."""
        return bool(self._turns)

    def note_all(self) -> None:
        """Writes down how far each errand came whose deliveries are all safe: its partition may go."""
        for reread in self._rereads.values():
            self._write_down(reread)

    def drop(self, partition: int) -> None:
        """The partition is another worker's: it goes on from what was written down."""
        self._end_turn(partition)
        for key in [key for key in self._rereads if key[1] == partition]:
            del self._rereads[key]
        self._ended = {key: at for key, at in self._ended.items() if key[1] != partition}

    def close(self) -> None:
        """Stops reading."""
        self._reader.close()

    def _look_around(self, now: float) -> None:
        if len(self._ended) > MOST_ENDED:
            self._ended = {key: at for key, at in self._ended.items() if now - at < ENDED_SECONDS}
        wanted = {errand.key: errand for errand in self._look()}
        for key, reread in self._rereads.items():
            reread.given_up = key not in wanted  # its loop is paused, say: nothing more is sent
            if key in wanted:
                reread.errand = wanted[key]
        self._crowded = False
        under_way = Counter(one.errand.probes for one in self._rereads.values())
        new = [(self._ended.get(key, -inf), key) for key in wanted if key not in self._rereads]
        new.sort(key=itemgetter(0))  # who waits longest first, and those that did not begin yet as they came
        for ended, key in new:
            errand = wanted[key]
            allowance = min(errand.pace(1) * (now - ended), 1.0)
            if errand.probes and allowance < 1:
                continue  # all it would do is wait
            if under_way[errand.probes] >= (MOST_PROBES if errand.probes else MOST_ERRANDS):
                self._crowded |= errand.probes
                continue
            under_way[errand.probes] += 1
            self._ended.pop(key, None)
            start = errand.start
            self._rereads[key] = Reread(errand, start, start.next, allowance=allowance, noted_at=now - NOTE_SECONDS)

    def _take_turns(self) -> None:
        pace = self._paces()
        hungry: dict[int, list[Key]] = {}
        for key, reread in self._rereads.items():
            enough = 1 if reread.errand.probes else max(AHEAD, pace(reread) * AHEAD_SECONDS)
            if not reread.all_read and not reread.given_up and len(reread.at_hand) < enough:
                hungry.setdefault(reread.partition, []).append(key)
        for partition, (key, count) in list(self._turns.items()):
            waiting = hungry.get(partition, [])
            if key not in waiting or (count >= TURN and len(waiting) > 1):
                self._end_turn(partition)
        for partition, keys in hungry.items():
            if partition not in self._turns:
                self._begin_turn(partition, keys[0])

    def _begin_turn(self, partition: int, key: Key) -> None:
        reread = self._rereads.pop(key)
        self._rereads[key] = reread  # behind all others, so that each has its turn
        self._turns[partition] = key, 0
        self._reader.incremental_assign([self._place(partition, reread.read)])

    def _end_turn(self, partition: int) -> None:
        if self._turns.pop(partition, None):
            self._reader.incremental_unassign([self._place(partition)])

    def _read(self) -> None:
        if not self._turns:
            return
        for message in at_hand(self._reader, AT_ONCE, 0):
            partition = message.partition() or 0
            turn = self._turns.get(partition)
            if turn is None:
                continue
            key, count = turn
            if self._rereads[key].has_its_probe:
                self._end_turn(partition)  # it will read from there
                continue
            self._turns[partition] = key, count + 1
            self._rereads[key].take(message)

    def _write(self, seconds: float) -> None:
        pace = self._paces()
        for reread in self._rereads.values():
            a_second = pace(reread)
            reread.allowance = min(reread.allowance + a_second * seconds, max(a_second, 1.0))
            if reread.given_up or self._is_late(reread):
                continue
            while reread.at_hand and reread.allowance >= 1:
                reread.allowance -= 1
                self._produce(reread.next(), self._told(reread))

    def _is_late(self, reread: Reread) -> bool:
        """Whether it has to be written down how far it came before more is sent."""
        return reread.unacknowledged > 0 and self._at - reread.noted_at >= NOTE_SECONDS

    def _told(self, reread: Reread) -> OnDelivery:
        def told(error: KafkaError | None, message: Message) -> None:
            if (wrong := fault(error, message)) is not None:
                self.refused.append(wrong)
            else:
                reread.written(message)

        return told

    def _note(self, now: float) -> None:
        for key, reread in list(self._rereads.items()):
            leaves = reread.given_up or (self._crowded and reread.has_probed)
            done = reread.over or (leaves and not reread.unacknowledged)
            if done or now - reread.noted_at >= NOTE_SECONDS:
                if self._write_down(reread):
                    reread.noted_at = now
                if done:
                    self._forget(key)
                    self._ended[key] = now

    def _write_down(self, reread: Reread) -> bool:
        """Writes down how far an errand came; not while a delivery of it is not safe."""
        if reread.unacknowledged:
            return False
        if reread.came != reread.noted:
            reread.noted = reread.came
            if record := reread.errand.passed(reread.came):
                self._produce(record, noted(self.refused.append))
        return True

    def _forget(self, key: Key) -> None:
        if self._turns.get(key[1], (None, 0))[0] == key:
            self._end_turn(key[1])
        del self._rereads[key]

    def _paces(self) -> Callable[[Reread], float]:
        """Each errand's deliveries a second; those that only count take no share of their loop's."""
        sending = Counter(one.errand.loop for one in self._rereads.values() if not one.errand.counts_only)
        return lambda reread: reread.errand.pace(max(sending[reread.errand.loop], 1))

    def _place(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self._kafka.full(topics.EVENTS), partition, offset)
