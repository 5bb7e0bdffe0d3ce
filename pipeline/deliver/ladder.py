"""The ladder: how long a delivery waits after each failed attempt, and in which retry topics it waits."""

from datetime import timedelta
from typing import NamedTuple

from pipeline import topics


class Wait(NamedTuple):
    """A place to wait: the retry topic, and the Unix time the record may leave it."""

    topic: str
    leaves: float


class Ladder:
    """The delays of RETRY_LADDER, one rung for each failed attempt."""

    def __init__(self, rungs: tuple[timedelta, ...]) -> None:
        self._rungs = tuple(rung.total_seconds() for rung in rungs)
        self._sorted = sorted(set(self._rungs))

    def after(self, attempts: int) -> float | None:
        """Seconds to wait after that many attempts; None where the ladder ends."""
        return self._rungs[attempts - 1] if attempts <= len(self._rungs) else None

    def held(self, holds: int) -> float:
        """Seconds to wait for a delivery held that many times before: a rung higher each time."""
        return self._rungs[min(holds, len(self._rungs) - 1)]

    def first(self, now: float, due: float) -> Wait:
        """The first retry topic, whatever `due` is: from there a longer wait goes on as any other."""
        rung = self._rungs[0]
        leaves = due if due - now - rung < self._sorted[0] else now + rung
        return Wait(topics.retry_topic(timedelta(seconds=rung)), leaves)

    def wait(self, now: float, due: float) -> Wait:
        """Where a delivery due at `due` waits first: the longest rung that fits, else the shortest.

        A longer wait is a chain of them; leaving the last one, the record is due.
        """
        left = due - now
        rung = max((rung for rung in self._sorted if rung <= left + 0.001), default=self._sorted[0])
        # A remainder too short for a rung of its own is waited out where the record is.
        leaves = due if left - rung < self._sorted[0] else now + rung
        return Wait(topics.retry_topic(timedelta(seconds=rung)), leaves)
