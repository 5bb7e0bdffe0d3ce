"""Counts over time: which stretches a question asks for, and what the rows of counts add up to."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.console.store.latency import BUCKETS, added, percentile

MINUTE, HOUR, DAY = 1, 60, 24 * 60
STEPS = (1, 5, 15, 60, 6 * 60, DAY)  # minutes; of these the default is chosen
GOOD_POINTS = 100
MOST_POINTS = 1000


class StepError(ValueError):
    """A step that the asked time can't be cut into; the message is the rest of a sentence that begins with it."""


class Stretch(NamedTuple):
    """Whole steps from `since` to before `until`, all in minutes since 1970; `span` is which counts are added up."""

    since: int
    until: int
    step: int
    span: int

    @property
    def points(self) -> range:
        """The beginning of each step."""
        return range(self.since, self.until, self.step)


@dataclass
class Sum:
    """Attempts that were counted together; `buckets` are their latencies."""

    states: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    types: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, row: "Counted") -> None:
        """These as well."""
        count = sum(row.buckets)
        self.states[row.state] += count
        self.types[row.type] += count
        self.buckets = added(self.buckets, row.buckets)

    @property
    def attempts(self) -> int:
        """How many."""
        return sum(self.buckets)

    def latency(self, share: float) -> float | None:
        """The percentile in milliseconds; None where there were none."""
        return percentile(self.buckets, share)


class Counted(NamedTuple):
    """Attempts of one state and type in one step."""

    point: int
    state: str
    type: str
    buckets: Sequence[int]


def stretch(since: int, until: int, step: int | None, minutes_from: int) -> Stretch:
    """Minutes from `since` to `until` in whole steps around them; StepError where `step` does not fit.

    Counts by the minute are there from `minutes_from` on, those by the hour for longer.
    """
    chosen = step or _good_step(since, until, minutes_from)
    span = HOUR if chosen % HOUR == 0 else MINUTE
    first, last = since - since % chosen, -(-until // chosen) * chosen
    if span == MINUTE and first < minutes_from:
        raise StepError("must be whole hours for what is so long ago: counts by the minute are kept for 7 days")
    if last - first > MOST_POINTS * chosen:
        raise StepError(f"makes more than {MOST_POINTS} points of it: ask for a longer step, or for less")
    return Stretch(first, last, chosen, span)


def summed(asked: Stretch, rows: Iterable[Counted]) -> tuple[dict[int, Sum], Sum]:
    """Each point of the stretch, also those of which nothing was counted; and all together."""
    points, whole = {point: Sum() for point in asked.points}, Sum()
    for row in rows:
        points[row.point].add(row)
        whole.add(row)
    return points, whole


def _good_step(since: int, until: int, minutes_from: int) -> int:
    fitting = (step for step in STEPS if (until - since) / step <= GOOD_POINTS)
    step = next(fitting, STEPS[-1])
    return step if step >= HOUR or since - since % step >= minutes_from else HOUR
