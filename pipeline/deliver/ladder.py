"""The ladder: how long a delivery waits after each failed attempt, and in which retry topics it waits."""

from datetime import timedelta
from math import inf
from typing import NamedTuple

from pipeline import topics

JITTER = 0.05  # a wait is longer by this part of it at most, and by the shortest rung at most; it is never shorter
ROUNDING = 0.001  # seconds


class Wait(NamedTuple):
    """A place to wait: the retry topic, and the Unix time the record may leave it."""

    topic: str
    leaves: float


class Ladder:
    """The delays of RETRY_LADDER, one rung for each failed attempt."""

    def __init__(self, rungs: tuple[timedelta, ...]) -> None:
        self._rungs = tuple(rung.total_seconds() for rung in rungs)
        self._sorted = sorted(set(self._rungs))
        self._longest = {topics.retry_topic(rung): rung.total_seconds() + self._sorted[0] for rung in rungs}

    def after(self, attempts: int) -> float | None:
        """Seconds to wait after that many attempts; None where the ladder ends."""
        return self._rungs[attempts - 1] if attempts <= len(self._rungs) else None

    def jittered(self, seconds: float, luck: float) -> float:
        """The wait, a little longer; `luck` is from 0 to 1. What it adds is waited out in the wait's last topic."""
        return seconds + luck * min(seconds * JITTER, self._sorted[0])

    def held(self, holds: int) -> float:
        """Seconds to wait for a delivery held that many times before: a rung higher each time."""
        return self._rungs[min(holds, len(self._rungs) - 1)]

    def longest(self, topic: str) -> float:
        """Seconds that nothing in the topic has to wait longer than, as far as that is known: an old ladder's is not.

        Only retry topics are waited in: what says so elsewhere is nobody's, and must not hold up what is behind it.
        """
        return self._longest.get(topic, inf) if topic.startswith(topics.DELIVERIES_RETRY) else 0.0

    def first(self, now: float, due: float) -> Wait:
        """The first retry topic, whatever `due` is: from there a longer wait goes on as any other."""
        return self._wait(self._rungs[0], now, due)

    def wait(self, now: float, due: float) -> Wait:
        """Where a delivery due at `due` waits first: the longest rung that fits, else the shortest.

        A longer wait is a chain of them; leaving the last one, the record is due. A topic is read in order, so who
        may leave first waits for who came first: all that came by a time may leave within the shortest rung of each
        other, hence none is later than that.
        """
        left = due - now
        return self._wait(max((r for r in self._sorted if r <= left + ROUNDING), default=self._sorted[0]), now, due)

    def _wait(self, rung: float, now: float, due: float) -> Wait:
        rest, shortest = due - now - rung, self._sorted[0]
        # A remainder too short for a rung of its own is waited out where the record is; in the topic of the shortest,
        # where others have less than that to wait, no more of it than a jitter.
        in_place = rest <= shortest if rung > shortest else rest <= shortest * JITTER + ROUNDING
        return Wait(topics.retry_topic(timedelta(seconds=rung)), due if in_place else now + rung)
