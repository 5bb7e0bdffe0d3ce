"""What loops miss while they are paused, disabled or failing: stretches of events, by partition, never copies."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

import msgspec

from pipeline import topics
from pipeline.model.loops import Hold, Stretch
from pipeline.record import Record

IsActive = Callable[[str], bool]  # by a loop's id, as are other words about it
_json = msgspec.json.Encoder()


class Due(NamedTuple):
    """A stretch that is over, of a loop that is active again: what its loop missed from `start` to before `end`."""

    loop: str
    partition: int
    start: int
    end: int


class Holds:
    """The stretches of the partitions that are ours. Each change is a record for `loop-states`.

    For those partitions this is the truth, and what the topic says comes later: read it when they are gained.
    """

    def __init__(self) -> None:
        self._stretches: dict[str, dict[int, list[Stretch]]] = {}  # by loop and partition
        self._open: dict[str, set[int]] = {}  # where a loop misses something now

    def any_over(self, flows: IsActive) -> bool:
        """Whether a loop that misses something is well again: then `over` is to be told where, in each partition."""
        return any(map(flows, self._open))

    def own(self, partition: int, rows: Iterable[Hold]) -> None:
        """The partition is ours, and this is what the topic has of it."""
        for row in rows:
            self._stretches.setdefault(row.loop, {})[partition] = list(row.stretches)
            self._look(row.loop, partition)

    def disown(self, partition: int) -> None:
        """The partition is another worker's."""
        for loop in [loop for loop, partitions in self._stretches.items() if partition in partitions]:
            del self._stretches[loop][partition]
            self._look(loop, partition)

    def miss(self, loop: str, partition: int, offset: int) -> Record | None:
        """The loop missed the event at `offset`; a record where that begins a stretch, or begins it earlier."""
        stretches = self._stretches.setdefault(loop, {}).setdefault(partition, [])
        if stretches and stretches[-1].end is None:
            if offset >= stretches[-1].start:
                return None
            stretches.pop()  # read again after a kill: that it was routed before is not known
        stretches.append(Stretch(start=offset))
        return self._record(loop, partition)

    def over(self, partition: int, position: int, flows: IsActive) -> list[Record]:
        """Ends the open stretches of loops that are well again: from `position` on they miss nothing."""
        ended = [loop for loop, partitions in self._open.items() if partition in partitions and flows(loop)]
        for loop in ended:
            stretches = self._stretches[loop][partition]
            stretches[-1] = Stretch(start=stretches[-1].start, end=position)
        return [self._record(loop, partition) for loop in ended]

    def due(self, is_active: IsActive, fails: IsActive, position: Callable[[int], int]) -> list[Due]:
        """The oldest stretch of each loop and partition that can be sent now.

        Of a loop that fails one alone, which may be open, up to the `position` of its partition: it shows when all is
        well, and each of thousands would cost as much as one that is sent.
        """
        found: list[Due] = []
        for loop, partitions in self._stretches.items():
            if not is_active(loop):
                continue
            firsts = ((partition, stretches[0]) for partition, stretches in partitions.items())
            if fails(loop):
                ends = ((at, one, position(at) if one.end is None else one.end) for at, one in firsts)
                found += islice((Due(loop, at, one.start, end) for at, one, end in ends if one.start < end), 1)
            else:
                found += [Due(loop, at, one.start, one.end) for at, one in firsts if one.end is not None]
        return found

    def passed(self, loop: str, partition: int, offset: int) -> Record | None:
        """What the loop missed before `offset` was sent; None where the partition is no longer ours."""
        stretches = self._stretches.get(loop, {}).get(partition)
        if not stretches:
            return None
        end = stretches[0].end
        if end is not None and offset >= end:
            stretches.pop(0)
        else:
            stretches[0] = Stretch(start=offset, end=end)
        return self._record(loop, partition)

    def _record(self, loop: str, partition: int) -> Record:
        stretches = self._stretches[loop][partition]
        if not stretches:
            del self._stretches[loop][partition]
        self._look(loop, partition)
        hold = Hold(loop=loop, partition=partition, stretches=stretches)
        return Record(topics.LOOP_STATES, f"{loop}/{partition}".encode(), _json.encode(hold) if stretches else None)

    def _look(self, loop: str, partition: int) -> None:
        """What changed there may have opened or ended a stretch, or been all there was of the loop."""
        partitions = self._stretches[loop]
        stretches, misses = partitions.get(partition), self._open.setdefault(loop, set())
        if stretches and stretches[-1].end is None:
            misses.add(partition)
        else:
            misses.discard(partition)
        if not misses:
            del self._open[loop]
        if not partitions:
            del self._stretches[loop]
