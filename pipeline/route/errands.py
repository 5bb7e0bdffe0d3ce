"""An errand is a stretch of past events to be read again for one loop: what it missed, or what a replay asks for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pipeline import topics
from pipeline.model.replays import Progress, Range, Replay, Replays, progress_key
from pipeline.model.standing import Standing, Standings
from pipeline.record import Message, Record
from pipeline.route.holds import Due, Holds
from pipeline.route.stage import again, missed

PACE = 200.0  # deliveries a second to one loop, from all partitions of this worker together, where nobody says more
PROBES = 1 / 60  # and to one that only fails: each shows whether it still does
Position = Callable[[], int]  # the offset routing goes on from
Key = tuple[str, int]  # of whom, and the partition of `events`
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Came:
    """How far an errand came: `next` is the first offset not looked at, and what was found and sent before it."""

    next: int
    matched: int = 0
    sent: int = 0
    place: int | None = None
    end: int | None = None


class Errand(Protocol):
    """One stretch of one partition of `events`, for one loop."""

    @property
    def key(self) -> Key:
        """What no other errand of this worker has."""
        ...

    @property
    def loop(self) -> str:
        """Whose pace it keeps."""
        ...

    @property
    def start(self) -> Came:
        """Where it begins, or goes on."""
        ...

    @property
    def end(self) -> int:
        """The offset before which it ends."""
        ...

    @property
    def counts_only(self) -> bool:
        """Whether nothing is sent."""
        ...

    @property
    def probes(self) -> bool:
        """Whether it is there to show if its loop still fails: one now and then, and thousands may want to."""
        ...

    def pick(self, message: Message) -> Record | None:
        """The delivery of an event that is wanted."""
        ...

    def pace(self, errands: int) -> float:
        """Deliveries a second, where so many errands of its loop are under way in this worker."""
        ...

    def passed(self, came: Came) -> Record | None:
        """What is written down of how far it came."""
        ...


@dataclass(frozen=True, slots=True)
class Missed:
    """What a loop missed while it was paused, disabled or failing; slowly where it `probes` whether it still does."""

    due: Due
    standing: Standing
    holds: Holds
    probes: bool = False
    counts_only: bool = False

    @property
    def key(self) -> Key:
        return self.due.loop, self.due.partition

    @property
    def loop(self) -> str:
        return self.due.loop

    @property
    def start(self) -> Came:
        return Came(self.due.start)

    @property
    def end(self) -> int:
        return self.due.end

    def pick(self, message: Message) -> Record | None:
        return missed(message, self.standing)

    def pace(self, errands: int) -> float:
        return (PROBES if self.probes else PACE) / errands

    def passed(self, came: Came) -> Record | None:
        return self.holds.passed(self.due.loop, self.due.partition, came.next)


@dataclass(frozen=True, slots=True)
class Again:
    """What a replay asks for."""

    replay: Replay
    left: Range
    standing: Standing
    replays: Replays
    probes: bool = False

    @property
    def key(self) -> Key:
        return self.replay.id, self.left.partition

    @property
    def loop(self) -> str:
        return self.replay.loop

    @property
    def start(self) -> Came:
        before = self.replays.reached(self.replay.id, self.left.partition)
        if before is None:
            return Came(self.left.start)
        return Came(self.left.start, before.matched, before.sent, before.place, before.end)

    @property
    def end(self) -> int:
        return self.left.end

    @property
    def counts_only(self) -> bool:
        return self.replay.dry_run

    def pick(self, message: Message) -> Record | None:
        return again(message, self.standing, self.replay)

    def pace(self, errands: int) -> float:
        """A rate that was given is shared by all partitions that are not at their end, whoever has them."""
        if self.replay.rate is None:
            return PACE / errands
        return self.replay.rate / max(len(self.replays.left(self.replay)), 1)

    def passed(self, came: Came) -> Record:
        progress = Progress(
            replay=self.replay.id,
            partition=self.left.partition,
            next=came.next,
            matched=came.matched,
            sent=came.sent,
            place=came.place,
            end=came.end,
        )
        self.replays.note(progress)
        key = progress_key(progress.replay, progress.partition)
        return Record(topics.REPLAY_STATES, key, _json.encode(progress))


def errands(standings: Standings, holds: Holds, replays: Replays, ours: Mapping[int, Position]) -> Iterator[Errand]:
    """All there is to do now in the partitions that are `ours`: first what was missed, then replays by age.

    Only an active loop is sent to, and one replay at a time; a dry run is under way beside it, whatever the state.
    """

    def fails(loop: str) -> bool:
        standing = standings.get(loop)
        return standing is not None and standings.fails(standing.loop)

    for due in holds.due(standings.is_active, fails, lambda partition: ours[partition]()):
        if standing := standings.get(due.loop):
            yield Missed(due, standing, holds, standings.fails(standing.loop))
    busy: set[str] = set()
    for replay, left in replays.unfinished():
        standing = standings.get(replay.loop)
        if standing is None or standing.loop.account != replay.account:
            continue
        if not replay.dry_run and (standing.state != "active" or replay.loop in busy):
            continue
        if not replay.dry_run:
            busy.add(replay.loop)
        yield from (Again(replay, one, standing, replays) for one in left if one.partition in ours)
