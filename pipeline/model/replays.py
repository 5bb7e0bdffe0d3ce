"""A replay is past events on their way to one loop once more: what was asked for, and how far it came."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Literal

import msgspec

log = logging.getLogger(__name__)

ReplayWord = Literal["queued", "running", "done", "failed", "cancelled"]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets of one partition of `events`, from `start` to before `end`."""

    partition: int
    start: int
    end: int


class Replay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="asked"):
    """One row of the compacted topic `replay-states`, key `REPLAY`, written by the console alone.

    Wanted are the events that were written to `events` from `since` to before `until`; `ranges` is where they stand.
    Empty lists want all. `rate` is deliveries a second. A `dry_run` counts and sends nothing.
    """

    id: str
    loop: str
    account: str
    created_at: datetime
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    until: Annotated[datetime, msgspec.Meta(tz=True)]
    ranges: list[Range]
    types: list[str] = []
    mailings: list[str] = []
    tags: list[str] = []
    profiles: list[str] = []
    rate: float | None = None
    dry_run: bool = False
    cancelled_at: datetime | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="came"):
    """One row of `replay-states`, key `REPLAY/PARTITION`, written by whoever routes that partition of `events`.

    `next` is the first offset that was not looked at. `place` and `end` tell which partition of `replays` the
    deliveries went to, and the offset behind the last of them.
    """

    replay: str
    partition: int
    next: int
    matched: int = 0
    sent: int = 0
    place: int | None = None
    end: int | None = None


AnyReplay = Replay | Progress
_row = msgspec.json.Decoder(AnyReplay)


def progress_key(replay: str, partition: int) -> bytes:
    """The key of a row of progress."""
    return f"{replay}/{partition}".encode()


class Replays:
    """All replays, and how far each came in every partition. A row that can't be read changes nothing.

    Written by one thread; others may read.
    """

    def __init__(self) -> None:
        self._asked: dict[str, Replay] = {}
        self._came: defaultdict[str, dict[int, Progress]] = defaultdict(dict)
        self._over: set[str] = set()  # of which nothing is left, nor ever will be: their rows stay for a month

    def get(self, replay: str) -> Replay | None:
        """What was asked for."""
        return self._asked.get(replay)

    def of(self, loop: str) -> list[Replay]:
        """The replays of a loop, the oldest first."""
        return sorted((one for one in tuple(self._asked.values()) if one.loop == loop), key=_age)

    def unfinished(self) -> Iterator[tuple[Replay, list[Range]]]:
        """The replays of which something is left, and what, the oldest first; who has nothing left is asked no more."""
        for replay in sorted((one for one in self._asked.values() if one.id not in self._over), key=_age):
            if left := self.left(replay):
                yield replay, left
            else:
                self._over.add(replay.id)

    def came(self, replay: str) -> list[Progress]:
        """How far it came, a row for each partition where it began."""
        return list(self._came.get(replay, {}).values())

    def reached(self, replay: str, partition: int) -> Progress | None:
        """How far it came in a partition."""
        return self._came.get(replay, {}).get(partition)

    def left(self, replay: Replay) -> list[Range]:
        """What was not yet looked at; nothing of one that was cancelled."""
        if replay.cancelled_at is not None:
            return []
        reached = self._came.get(replay.id, {})
        rest = [
            Range(partition=one.partition, start=_next(one, reached.get(one.partition)), end=one.end)
            for one in replay.ranges
        ]
        return [one for one in rest if one.start < one.end]

    def put(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """One record of the topic `replay-states`; a null forgets it."""
        name = key.decode(errors="replace")
        try:
            row = None if value is None else _row.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            log.warning("a replay's row can't be read and is passed over: %s: %s", name, wrong)
            return
        if isinstance(row, Replay):
            self._asked[row.id] = row
            self._over.discard(row.id)
        elif isinstance(row, Progress):
            self.note(row)
        elif "/" not in name:
            self._asked.pop(name, None)
            self._came.pop(name, None)
            self._over.discard(name)

    def note(self, progress: Progress) -> None:
        """How far one came. It never goes back: what was written before, and is read later, says nothing new."""
        came = self._came[progress.replay]
        before = came.get(progress.partition)
        if before is None or before.next <= progress.next:
            came[progress.partition] = progress


def word_of(replay: Replay, came: Iterable[Progress]) -> ReplayWord:
    """How a replay stands, as its rows tell it; the last deliveries of one that is `done` may still be under way."""
    reached = {one.partition: one for one in came}
    if all(_next(one, reached.get(one.partition)) >= one.end for one in replay.ranges):
        return "done"
    if replay.cancelled_at is not None:
        return "cancelled"
    return "running" if reached else "queued"


def share_done(replay: Replay, came: Iterable[Progress]) -> float:
    """How much of its ranges was looked at, from 0 to 1."""
    reached = {one.partition: one for one in came}
    whole = sum(one.end - one.start for one in replay.ranges)
    left = sum(max(one.end - _next(one, reached.get(one.partition)), 0) for one in replay.ranges)
    return 1 - left / whole if whole else 1.0


def _next(asked: Range, reached: Progress | None) -> int:
    return asked.start if reached is None else max(reached.next, asked.start)


def _age(replay: Replay) -> tuple[datetime, str]:
    return replay.created_at, replay.id
