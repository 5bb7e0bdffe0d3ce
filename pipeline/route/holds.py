"""What loops miss while they are paused, disabled or failing: stretches of events, by partition, never copies."""

from collections.abc import Callable, Iterable
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
        self._stretches: dict[tuple[str, int], list[Stretch]] = {}

    @property
    def any_open(self) -> bool:
        """Whether any loop misses something now, as far as is known."""
        return any(stretches and stretches[-1].end is None for stretches in self._stretches.values())

    def own(self, partition: int, rows: Iterable[Hold]) -> None:
        """The partition is ours, and this is what the topic has of it."""
        self._stretches.update({(row.loop, partition): list(row.stretches) for row in rows})

    def disown(self, partition: int) -> None:
        """The partition is another worker's."""
        self._stretches = {key: value for key, value in self._stretches.items() if key[1] != partition}

    def miss(self, loop: str, partition: int, offset: int) -> Record | None:
        """The loop missed the event at `offset`; a record where that begins a stretch."""
        stretches = self._stretches.setdefault((loop, partition), [])
        if stretches and stretches[-1].end is None:
            return None
        stretches.append(Stretch(start=offset))
        return self._record(loop, partition)

    def over(self, partition: int, position: int, flows: IsActive) -> list[Record]:
        """Ends the open stretches of loops that are well again: from `position` on they miss nothing."""
        ended = [
            key
            for key, stretches in self._stretches.items()
            if key[1] == partition and stretches and stretches[-1].end is None and flows(key[0])
        ]
        for key in ended:
            self._stretches[key][-1] = Stretch(start=self._stretches[key][-1].start, end=position)
        return [self._record(*key) for key in ended]

    def due(self, is_active: IsActive, fails: IsActive, position: Callable[[int], int]) -> list[Due]:
        """The oldest stretch of each loop and partition that can be sent now.

        Of a loop that fails an open one too, up to the `position` of its partition: some of it shows when all is well.
        """
        first = [(key, stretches[0]) for key, stretches in self._stretches.items() if stretches and is_active(key[0])]
        return [
            Due(*key, stretch.start, position(key[1]) if stretch.end is None else stretch.end)
            for key, stretch in first
            if stretch.end is not None or fails(key[0])
        ]

    def passed(self, loop: str, partition: int, offset: int) -> Record | None:
        """What the loop missed before `offset` was sent; None where the partition is no longer ours."""
        stretches = self._stretches.get((loop, partition))
        if not stretches:
            return None
        end = stretches[0].end
        if end is not None and offset >= end:
            stretches.pop(0)
        else:
            stretches[0] = Stretch(start=offset, end=end)
        return self._record(loop, partition)

    def _record(self, loop: str, partition: int) -> Record:
        stretches = self._stretches[loop, partition]
        if not stretches:
            del self._stretches[loop, partition]
        hold = Hold(loop=loop, partition=partition, stretches=stretches)
        return Record(topics.LOOP_STATES, f"{loop}/{partition}".encode(), _json.encode(hold) if stretches else None)
