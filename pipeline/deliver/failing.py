"""A loop that does nothing but fail is told of after a day, and disabled after five."""

from datetime import timedelta

import msgspec

from pipeline import topics
from pipeline.deliver.notices import notice
from pipeline.model.ids import utc
from pipeline.model.loops import Failing, Loop, LoopState, Reason, failing_key
from pipeline.model.standing import Standings
from pipeline.record import Record

NOTED_AFTER = timedelta(minutes=5).total_seconds()  # shorter trouble is nobody's business, and a restart may forget it
WARNED_AFTER = timedelta(days=1).total_seconds()
DISABLED_AFTER = timedelta(days=5).total_seconds()


class Failures:
    """Since when each loop of ours only failed. What lasts is written down, so that the next owner knows."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings
        # What we know better than the topic tells yet: None is over. Of what is not written only memory knows.
        self._known: dict[str, Failing | None] = {}
        self._unwritten: set[str] = set()

    def failed(self, loop: Loop, error: str, now: float) -> list[Record]:
        """One more failure: what is written down, and who is told."""
        known = self._of(loop)
        if known is None:
            self._known[loop.id] = Failing(loop=loop.id, epoch=loop.epoch, since=utc(now))
            self._unwritten.add(loop.id)
            return []
        since = known.since.timestamp()
        if now - since >= DISABLED_AFTER:
            return disabled(loop, "failing", now, since=known.since.isoformat(), error=error)
        if now - since >= WARNED_AFTER and not known.warned:
            told = notice("loop.failing", loop, utc(now), int(since), since=known.since.isoformat(), error=error)
            return [self._write(msgspec.structs.replace(known, warned=True)), told]
        if now - since >= NOTED_AFTER and loop.id in self._unwritten:
            return [self._write(known)]
        return []

    def succeeded(self, loop: Loop, now: float) -> list[Record]:
        """A 2xx ends it; who was told of trouble is told that it is over."""
        known = self._of(loop)
        if known is None:
            return []
        if loop.id in self._unwritten:
            self._unwritten.discard(loop.id)
            del self._known[loop.id]
            return []
        self._known[loop.id] = None
        over = Record(topics.LOOP_STATES, failing_key(loop.id), None)
        if not known.warned:
            return [over]
        return [over, notice("loop.recovered", loop, utc(now), int(known.since.timestamp()))]

    def forget(self) -> None:
        """Another worker may have our loops meanwhile: what is written down counts."""
        self._known.clear()
        self._unwritten.clear()

    def _of(self, loop: Loop) -> Failing | None:
        """What is known of the loop as it was last verified."""
        known = self._known[loop.id] if loop.id in self._known else self._standings.failing(loop.id)
        return known if known is not None and known.epoch == loop.epoch else None

    def _write(self, failing: Failing) -> Record:
        self._known[failing.loop] = failing
        self._unwritten.discard(failing.loop)
        return Record(topics.LOOP_STATES, failing_key(failing.loop), msgspec.json.encode(failing))


def disabled(loop: Loop, reason: Reason, now: float, **about: str) -> list[Record]:
    """The finding that a loop is disabled, and the notice of it."""
    state = LoopState(loop=loop.id, epoch=loop.epoch, reason=reason, at=utc(now))
    return [
        Record(topics.LOOP_STATES, loop.id.encode(), msgspec.json.encode(state)),
        notice("loop.disabled", loop, utc(now), loop.epoch, reason=reason, **about),
    ]
