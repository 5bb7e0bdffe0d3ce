"""A feed is a member of a consumer group: it hands out batches and commits only what is finished."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline.kafka.ledger import Ledger
from pipeline.kafka.refusal import FORBIDDEN, check_passing, expelled
from pipeline.kafka.seam import Consumer, Kafka, Message, Place

log = logging.getLogger(__name__)

Places = list[Place]
QUESTION_SECONDS = 10.0
RENEW_SECONDS = 5.0  # all is committed again so often: of a commit that is lost with its coordinator nobody hears


class Batch(NamedTuple):
    """Records of one partition, in order. Who takes it up opens its offsets in `ledger`."""

    topic: str
    partition: int
    messages: list[Message]
    ledger: Ledger

    @property
    def first(self) -> int:
        """The offset of its first record."""
        return self.messages[0].offset() or 0

    @property
    def end(self) -> int:
        """The offset behind its last record."""
        return (self.messages[-1].offset() or 0) + 1


class Moves(NamedTuple):
    """What a stage does when partitions come and go, on the thread that fetches.

    `gained` runs before the first record of the places is read. `settle` waits for what is under way in them
    to be acknowledged, as well as it can; then comes the last commit, unless it said False since the broker is away,
    then `lost`.
    """

    gained: Callable[[Places], None] = lambda _places: None
    settle: Callable[[Sequence[Ledger]], object] = lambda _ledgers: None
    lost: Callable[[Places], None] = lambda _places: None


class Feed:
    """Fetches batches of the topics for a stage's group `loopwire-<stage>`."""

    def __init__(self, kafka: Kafka, stage: str, topics: Sequence[str], moves: Moves, **more: Any) -> None:  # noqa: ANN401
        self._kafka = kafka
        self._moves = moves
        self._ledgers: dict[Place, Ledger] = {}
        self._companions: dict[Place, Ledger] = {}
        self._committed: dict[Place, int] = {}
        self._fresh: set[Place] = set()
        self._begun: dict[Place, int] = {}  # committed when the place came, as far as somebody asked
        self._asked_at = 0.0
        self._renewed_at = time.monotonic()
        # Whoever knows better keeps commits of a place below an offset.
        self.floor: Callable[[Place], int | None] = lambda _place: None
        # Is told how many seconds each commit took that was made without waiting for it.
        self.took: Callable[[float], None] = lambda _seconds: None
        self._group = f"loopwire-{stage}"
        self._consumer: Consumer = kafka.consumer(self._group, **{"on_commit": self._answered, **more})
        self._consumer.subscribe(
            [kafka.full(topic) for topic in topics],
            on_assign=lambda _consumer, places: self._gain(self._places(places)),
            on_revoke=lambda _consumer, places: self._give_up(self._places(places)),
            on_lost=lambda _consumer, places: self._lose(self._places(places)),
        )

    @property
    def places(self) -> Places:
        """The partitions that are ours."""
        return list(self._ledgers)

    def owns(self, place: Place) -> bool:
        """Whether the partition is ours."""
        return place in self._ledgers

    def fetch(self, most: int, timeout: float) -> list[Batch]:
        """Up to `most` records, a batch a partition; waits `timeout` seconds for the first of them."""
        self._begin_afresh()
        messages = self._readable(self._at_hand(most, timeout))
        runs = [(self._place(*_source(run[0])), run) for run in _runs(messages)]
        batches = [self._batch(place, run) for place, run in runs if place in self._ledgers]
        return [batch for batch in batches if batch.messages]

    def position(self, place: Place) -> int:
        """The offset of the next record of a place that is ours: all before it were handed out, now or earlier."""
        read = self._ledgers[place].read
        if read:
            return read
        if place not in self._begun:  # each question is one to the broker
            [committed] = self._consumer.committed([self._at(place)], QUESTION_SECONDS)
            self._begun[place] = max(committed.offset, 0)
        return self._begun[place]

    def lag(self) -> dict[str, int]:
        """How many records of each topic lie behind what is finished, in the places that are ours."""
        safe = {place: ledger.safe for place, ledger in self._ledgers.items()}
        known = {place: offset for place, offset in safe.items() if offset is not None}
        waiting = safe.keys() - known.keys()  # nothing began since they came: they are as they were left
        begun = self._kafka.committed(self._group, waiting) if waiting else {}
        known |= {place: begun.get(place, 0) for place in waiting}
        behind = Counter[str]()
        for place, end in self._kafka.ends(known).items():
            behind[place[0]] += max(end - known[place], 0)
        return dict(behind)

    def track(self, place: Place) -> Ledger:
        """A ledger for a place that is read by other means, of a number that is ours: it is committed for our group.

        It is ours as long as that number of what the group reads is.
        """
        return self._companions.setdefault(place, Ledger())

    def known_end(self, place: Place) -> int:
        """Where a place that is ours ends, as the last fetch told; 0 before the first. Nobody is asked."""
        marks = self._consumer.get_watermark_offsets(self._at(place), cached=True)
        return max(marks[1], 0) if marks else 0

    def safe(self, place: Place) -> int | None:
        """The offset below which all is finished in a place that is ours; None before anything was under way."""
        ledger = self._ledgers.get(place)
        return ledger.safe if ledger is not None else None

    def pause(self, place: Place) -> None:
        """No more records of the place until `resume`."""
        self._fresh.discard(place)
        self._consumer.pause([self._at(place)])

    def resume(self, place: Place) -> None:
        """Records of the place again."""
        self._consumer.resume([self._at(place)])

    def commit(self) -> None:
        """Commits what became safe since the last time, without waiting."""
        if time.monotonic() - self._renewed_at > RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            self._committed.clear()
        self._commit([*self._ledgers, *self._companions], wait=False)

    def close(self) -> None:
        """Settles, commits and leaves the group."""
        try:
            self._consumer.close()  # revokes first, which settles and commits
        finally:
            if self._ledgers:
                self._lose(self.places)

    def _at_hand(self, most: int, timeout: float) -> list[Message]:
        """What is there, as `seam.at_hand`; without the first record where its partition went meanwhile.

        A partition that went and came back within this call begins at what was committed: that record comes again,
        behind what is before it.
        """
        first = self._consumer.consume(1, timeout)
        if not first:
            return []
        place = self._place(*_source(first[0]))
        ledger = self._ledgers.get(place)
        rest = self._consumer.consume(most - 1, 0)
        return [*first, *rest] if self._ledgers.get(place) is ledger else list(rest)

    def _readable(self, messages: list[Message]) -> list[Message]:
        """Without what is no record, which is said; KafkaException where nothing can follow it."""
        errors = [(error, at) for at, error in enumerate(_all(messages, "error")) if error is not None]
        for error, at in errors:
            if (out := expelled(error, self._kafka.full(self._group))) is not None:
                raise out
            check_passing(error, messages[at].topic())
            log.warning("kafka: %s", error.str())
        return [message for message in messages if message.error() is None] if errors else messages

    def _batch(self, place: Place, messages: list[Message]) -> Batch:
        """Without what a rebalance inside one fetch made us read twice."""
        ledger = self._ledgers[place]
        if (messages[0].offset() or 0) < ledger.read:
            messages = [message for message in messages if (message.offset() or 0) >= ledger.read]
        batch = Batch(place[0], place[1], messages, ledger)
        if messages:
            ledger.read = batch.end
        return batch

    def _begin_afresh(self) -> None:
        """A partition that was paused when it went comes back paused, if nobody says otherwise."""
        fresh, self._fresh = self._fresh, set()
        if fresh:
            self._consumer.resume([self._at(place) for place in fresh])

    def _gain(self, places: Places) -> None:
        self._moves.gained(places)
        self._fresh.update(places)
        for place in places:
            self._ledgers[place] = Ledger()

    def _give_up(self, places: Places) -> None:
        going = [*places, *self._companions_of(places)]
        ledgers = [ledger for place in going if (ledger := self._ledger(place))]
        for ledger in ledgers:
            ledger.retire()
        if self._moves.settle(ledgers) is not False:
            self._commit(going, wait=True)
        self._lose(places)

    def _lose(self, places: Places) -> None:
        for place in [*places, *self._companions_of(places)]:
            ledger = self._ledgers.pop(place, None) or self._companions.pop(place, None)
            if ledger is not None:
                ledger.retire()
            self._committed.pop(place, None)
            self._begun.pop(place, None)
        self._moves.lost(places)

    def _companions_of(self, places: Places) -> Places:
        numbers = {number for _topic, number in places}
        return [place for place in self._companions if place[1] in numbers]

    def _ledger(self, place: Place) -> Ledger | None:
        return self._ledgers.get(place) or self._companions.get(place)

    def _commit(self, places: Places, *, wait: bool) -> None:
        # All floors first: one that stands on how far another place is must not see it further than it is committed.
        floors = {place: self.floor(place) for place in places}
        due: list[tuple[Place, int]] = []
        for place, floor in floors.items():
            ledger = self._ledger(place)
            safe = ledger.safe if ledger else None
            if safe is not None and floor is not None:
                safe = min(safe, floor)
            # The last commit of a place is always made: an earlier one may have been refused without waiting for it.
            if safe is not None and (wait or self._committed.get(place) != safe):
                due.append((place, safe))
        if not due:
            return
        self._asked_at = time.monotonic()
        try:
            offsets = [self._at(place, safe) for place, safe in due]
            self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as refused:  # a rebalance was faster: the next owner does it again
            if refused.args[0].code() not in FORBIDDEN:  # else what reads is refused too, and says so
                log.warning("kafka: a commit was refused: %s", refused)
            return
        self._committed.update(due)

    def _answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """How a commit went. One that was refused is made again at the next; too late for a rebalance it is no loss."""
        self.took(time.monotonic() - self._asked_at)
        for at in places:
            refused = error or at.error
            if refused is None or refused.code() == KafkaError._NO_OFFSET:  # noqa: SLF001
                continue
            log.warning("kafka: a commit of %s [%s] was refused: %s", at.topic, at.partition, refused.str())
            place = self._kafka.bare(at.topic), at.partition
            if self._committed.get(place) == at.offset:
                del self._committed[place]

    def _at(self, place: Place, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self._kafka.full(place[0]), place[1], offset)

    def _places(self, places: list[TopicPartition]) -> Places:
        return [self._place(place.topic, place.partition) for place in places]

    def _place(self, topic: str | None, partition: int | None) -> Place:
        return self._kafka.bare(topic or ""), partition or 0


def _source(message: Message) -> tuple[str | None, int | None]:
    return message.topic(), message.partition()


def _runs(messages: list[Message]) -> list[list[Message]]:
    """As long as they are of one place."""
    places = list(zip(_all(messages, "topic"), _all(messages, "partition"), strict=True))
    ends = [end for end, (one, next_one) in enumerate(pairwise(places), 1) if one != next_one]
    return [messages[first:end] for first, end in pairwise([0, *ends, len(messages)])] if messages else []


def _all(messages: Sequence[Message], what: str) -> Iterable[Any]:
    """What each message says of itself, asked in C: this is done once a record."""
    return map(getattr(type(messages[0]), what), messages) if messages else ()
