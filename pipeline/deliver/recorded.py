"""Which events are in a batch already: the topic `batches` says it, and nothing else does.

An event's delivery is known by its place in the topic it was taken from. The first record of `batches` that has a
place keeps it; a later one, written by a worker that did not know yet that its partition had gone, goes without.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from pipeline import topics
from pipeline.deliver.batches import narrowed
from pipeline.deliver.jobs import Place
from pipeline.model.deliveries import Delivery

SOURCES = frozenset({topics.DELIVERIES, topics.REPLAYS})
REMEMBERED = 20_000  # places of a partition that are committed: a worker that lost it may still write

Safe = Callable[[Place], int | None]  # the offset of a place below which all is done with, as far as that is known


class Claim(msgspec.Struct):
    """Of a record of `batches`, which places it takes, one for each of its events."""

    event: msgspec.Raw
    more: list[msgspec.Raw] = []
    source: str | None = None
    offsets: list[int] = []


class Uncommitted(NamedTuple):
    """A batch that has to be found again while the last of its places is not committed."""

    offset: int
    source: str
    last: int


@dataclass(slots=True)
class Partition:
    """What is known of one partition number: the first batch of each place, by its offset in `batches`."""

    first: dict[tuple[str, int], int] = field(default_factory=dict)
    uncommitted: deque[Uncommitted] = field(default_factory=deque)
    begun: dict[str, int] = field(default_factory=dict)  # committed when the partition came, by topic
    end: int = 0  # offsets of `batches` below were noted


_claim = msgspec.json.Decoder(Claim)


class Recorded:
    """Written by the thread that fetches; `holds` and `own` are asked on the event loop, each by look-ups alone."""

    def __init__(self) -> None:
        self._partitions: defaultdict[int, Partition] = defaultdict(Partition)

    def gain(self, begun: Iterable[tuple[Place, int]]) -> None:
        """Partitions of the sources come, committed up to there."""
        for (topic, number), offset in begun:
            self._partitions[number].begun[topic] = offset

    def note(self, number: int, offset: int, value: bytes | None) -> None:
        """A record of `batches` was read, now or for the first time."""
        try:
            claim = _claim.decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # a dead letter, once its turn comes
        known = self._partitions[number]
        if offset < known.end:
            return
        known.end = offset + 1
        if claim.source not in SOURCES or len(claim.offsets) != 1 + len(claim.more):
            return  # a half, or no batch of ours: it must not say of deliveries that they are done with
        for place in claim.offsets:
            known.first.setdefault((claim.source, place), offset)
        known.uncommitted.append(Uncommitted(offset, claim.source, max(claim.offsets)))
        self._forget_old(known)

    def holds(self, place: Place, offset: int) -> bool:
        """Whether what stands there is in a batch already."""
        known = self._partitions.get(place[1])
        return known is not None and (place[0], offset) in known.first

    def own(self, number: int, offset: int, delivery: Delivery) -> Delivery | None:
        """What a record of `batches` holds that no earlier one does; None where nothing is left of it."""
        known = self._partitions.get(number)
        if known is None or delivery.source is None:
            return delivery
        firsts = [known.first.get((delivery.source, place), offset) for place in delivery.offsets]
        return narrowed(delivery, [at for at, first in enumerate(firsts) if first == offset])

    def floor(self, number: int, safe: Safe) -> int | None:
        """The offset of `batches` that a commit has to stay below: of the oldest whose places are not all committed."""
        known = self._partitions.get(number)
        while known is not None and known.uncommitted:
            oldest = known.uncommitted[0]
            done = safe((oldest.source, number))
            if (known.begun.get(oldest.source, 0) if done is None else done) <= oldest.last:
                return oldest.offset
            known.uncommitted.popleft()
        return None

    def forget(self, numbers: Iterable[int]) -> None:
        """They are another worker's."""
        for number in numbers:
            self._partitions.pop(number, None)

    @staticmethod
    def _forget_old(known: Partition) -> None:
        """Only what is in no uncommitted batch; places come in nearly the order of their batches."""
        oldest = known.uncommitted[0].offset
        while len(known.first) > REMEMBERED:
            place = next(iter(known.first))
            if known.first[place] >= oldest:
                return
            del known.first[place]
