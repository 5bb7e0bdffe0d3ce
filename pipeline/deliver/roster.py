"""The roster has a lane for each loop that gets POSTs; what was learned of those that get none is forgotten in time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from pipeline.deliver.jobs import Job, Mark
from pipeline.deliver.lanes import IN_FLIGHT, Lane
from pipeline.deliver.pace import Pace
from pipeline.model.lanes import LaneNow
from pipeline.model.standing import Standing, Standings

TIDY = 1000  # lanes from which it is looked which of them are of no use any more
FORGET_SECONDS = 600.0  # what was learned of a server that got nothing for so long


@dataclass(slots=True)
class Roster(Generic[Mark]):
    """All lanes of one process, by loop. `tick` is seconds of a clock that is never set."""

    standings: Standings
    lanes: dict[str, Lane[Job[Mark]]] = field(default_factory=dict)
    _tidy_at: int = TIDY

    def lane(self, loop: str, tick: float) -> Lane[Job[Mark]]:
        """The loop's, as the loop now wishes it."""
        lane = self.lanes.get(loop)
        if lane is None:
            self.tidy(self._tidy_at, tick)
            lane = self.lanes[loop] = Lane(used_at=tick)
        standing = self.standings.get(loop)
        lane.most, rate = _wishes(standing)
        if rate != lane.rate:
            lane.rate, lane.pace = rate, Pace()  # turns that were given out by another pace hold nothing up
        lane.ordered = standing is not None and standing.loop.ordered
        return lane

    def held(self, loop: str) -> None:
        """One of its deliveries was put back without an attempt."""
        if (lane := self.lanes.get(loop)) is not None:
            lane.held += 1

    def told(self, loop: str, tick: float) -> LaneNow:
        """How the loop's lane stands; another thread may ask."""
        lane = self.lanes.get(loop) or Lane[Job[Mark]]()
        most, rate = _wishes(self.standings.get(loop))  # the lane itself learns of them by the next delivery
        heads = [_since(queue.jobs) for queue in (lane.now, lane.past)]
        oldest = min((since for since in heads if since is not None), default=None)
        return LaneNow(
            in_flight=lane.in_flight,
            cap=lane.cap.size(most),
            most=most,
            rate=rate,
            breaker=lane.breaker.state(tick),
            waiting=len(lane.now.jobs) + len(lane.past.jobs),
            held=lane.held,
            oldest_due=None if oldest is None else round(max(tick - oldest, 0.0), 3),
        )

    def tidy(self, lanes: int, tick: float) -> None:
        """Forgets what was learned of servers that get nothing, once there are so many lanes."""
        if len(self.lanes) < lanes:
            return
        since = tick - (FORGET_SECONDS if lanes else 0.0)
        for loop in [loop for loop, lane in self.lanes.items() if lane.idle and lane.used_at <= since]:
            del self.lanes[loop]
        self._tidy_at = max(TIDY, 2 * len(self.lanes))


def _wishes(standing: Standing | None) -> tuple[int, float | None]:
    """POSTs at a time, at most, and a second."""
    return (standing.loop.max_in_flight or IN_FLIGHT, standing.loop.rate) if standing else (IN_FLIGHT, None)


def _since(jobs: Sequence[Job[Mark]]) -> float | None:
    """Since when the first of them may go; None where there is none, by now."""
    try:
        return max(jobs[0].came, jobs[0].until)
    except IndexError:
        return None
