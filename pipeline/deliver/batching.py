"""Batching leads deliveries of loops that want batches into records of `batches`, and sends nothing.

A batch is written down before anything of it is sent, and read again like any delivery: so what it holds is the same in
each attempt, after a kill, and for the next worker.
"""

from collections import defaultdict
from collections.abc import Collection
from functools import partial
from typing import Generic, NamedTuple

import msgspec

from pipeline import topics
from pipeline.deliver.batches import batch, recorded
from pipeline.deliver.body import body_of, names
from pipeline.deliver.gathering import LARGEST_RECORD, Gathering, Weight
from pipeline.deliver.jobs import Job, Mark, Place
from pipeline.deliver.recorded import SOURCES, Recorded
from pipeline.deliver.world import World
from pipeline.model.deliveries import Delivery
from pipeline.model.events import Event
from pipeline.model.loops import Loop
from pipeline.model.standing import Standings

MOST_BYTES = 64 * 1024 * 1024  # gathered at a time in this process; then all goes that is there

_event = msgspec.json.Decoder(Event)


class Kind(NamedTuple):
    """What goes together: of one loop, what happens now, or what is past, or one replay."""

    loop: str
    place: Place
    replay: str | None


class Batching(Generic[Mark]):
    """All that is gathered in one process, and what is known to be in a batch already."""

    def __init__(self, world: World[Mark], standings: Standings) -> None:
        self._world = world
        self._standings = standings
        self._gatherings: defaultdict[Kind, Gathering[Job[Mark]]] = defaultdict(Gathering)
        self.bytes = 0  # of deliveries that are gathered
        self.recorded = Recorded()

    @property
    def events(self) -> int:
        """How many are gathered, and in no batch yet."""
        return sum(len(gathering.items) for gathering in self._gatherings.values())

    def takes(self, place: Place, job: Job[Mark]) -> bool:
        """Whether the job needs nothing else: it is gathered, or it is in a batch already.

        Of a batch that was read, what an earlier one holds is left out.
        """
        delivery = job.delivery
        if place[0] == topics.BATCHES:
            own = self.recorded.own(place[1], job.offset, delivery)
            job.what = own or delivery
            return own is None and self._over(job)
        if place[0] not in SOURCES:
            return False
        if self.recorded.holds(place, job.offset):
            return self._over(job)
        standing = self._standings.get(delivery.loop)
        if standing is None or standing.loop.batching is None:
            return False
        weight = weighed(delivery, standing.loop, job.size)
        if weight is None:
            return False
        if self._world.owned(job) and self._world.begin(job):
            self._gather(Kind(delivery.loop, place, delivery.replay), job, standing.loop, weight)
        return True  # else its next owner begins it again

    def close(self) -> None:
        """Writes down all that is gathered."""
        for kind in list(self._gatherings):
            self._write(kind)

    def forget(self, places: Collection[Place]) -> None:
        """Drops what was gathered of these partitions and not written: they are another worker's."""
        for kind in [kind for kind in self._gatherings if kind.place in places]:
            self._give_up(kind)

    def _over(self, job: Job[Mark]) -> bool:
        if self._world.begin(job):
            self._world.end(job, [])
        return True

    def _gather(self, kind: Kind, job: Job[Mark], loop: Loop, weight: Weight) -> None:
        wish = loop.batching
        if wish is None:
            return
        if not self._gatherings[kind].fits(wish, weight):
            self._write(kind)
        gathering = self._gatherings[kind]
        gathering.add(job, weight)
        self.bytes += job.size
        if gathering.full(wish):
            self._write(kind)
        elif self.bytes > MOST_BYTES:
            self.close()
        elif len(gathering.items) == 1:
            self._world.later(wish.ms / 1000, partial(self._late, kind, gathering))

    def _late(self, kind: Kind, gathering: Gathering[Job[Mark]]) -> None:
        """The first has waited for as long as it may."""
        if self._gatherings.get(kind) is not gathering:
            return
        if self._world.owned(gathering.items[0]):  # all are of one partition
            self._write(kind)
        else:
            self._give_up(kind)

    def _write(self, kind: Kind) -> None:
        jobs = self._out(kind)
        whole = batch([job.delivery for job in jobs], kind.place[0], [job.offset for job in jobs])
        self._world.record(jobs, recorded(whole))

    def _give_up(self, kind: Kind) -> None:
        for job in self._out(kind):
            self._world.owned(job)  # is told that it isn't: its next owner begins it again

    def _out(self, kind: Kind) -> list[Job[Mark]]:
        gathering = self._gatherings.pop(kind)
        jobs, gathering.items = gathering.items, []  # its timer still knows it, for `ms`: not what was in it
        self.bytes -= sum(job.size for job in jobs)
        return jobs


def weighed(delivery: Delivery, loop: Loop, size: int) -> Weight | None:
    """What a delivery weighs in a batch; None for one that goes alone.

    One whose event can't be told dies alone, and one that is too large for a record with others goes by itself.
    """
    if size > LARGEST_RECORD:
        return None
    try:
        _, body = body_of(names(_event.decode(delivery.event), loop.fields), "json")
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return None
    return Weight(len(body), size)
