"""Tallies count what one thread does thousands of times a second; who scrapes reads them where they are.

prometheus_client's own take a lock and five calls for each count, which is a twentieth of what a POST takes.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pipeline.metrics import Name


class Tally(Collector):
    """Something that only grows, by the value of one label: `NAME_total`. All `values` are there from the start."""

    def __init__(self, name: Name, meaning: str, label: str, values: Iterable[str] = ()) -> None:
        self._about = name, meaning
        self._label = label
        self.counts = Counter(dict.fromkeys(values, 0))
        REGISTRY.register(self)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """What Prometheus is told."""
        family = CounterMetricFamily(*self._about, labels=[self._label])
        for value, count in self.counts.copy().items():
            family.add_metric([value], count)
        yield family


class Spread(Collector):
    """How long something took, in seconds, by the value of one label: a histogram of these bounds."""

    def __init__(self, name: Name, meaning: str, bounds: Sequence[float], label: str, values: Iterable[str]) -> None:
        self._about = name, meaning
        self._label = label
        self._bounds = tuple(bounds)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._counts = {value: [0] * len(self._names) for value in values}
        self._sums = defaultdict[str, float](float)
        REGISTRY.register(self)

    def observe(self, value: str, seconds: float) -> None:
        """It took so long, once more."""
        self._counts[value][bisect_left(self._bounds, seconds)] += 1
        self._sums[value] += seconds

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What Prometheus is told."""
        family = HistogramMetricFamily(*self._about, labels=[self._label])
        for value, counts in self._counts.items():
            family.add_metric([value], list(zip(self._names, accumulate(counts), strict=True)), self._sums[value])
        yield family
