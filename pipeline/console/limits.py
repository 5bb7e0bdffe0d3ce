"""How many calls a key may make: a token bucket for each, in memory."""

from collections import OrderedDict
from typing import NamedTuple

RATE = 1000.0  # a second; the contract promises 100, and one console makes 870 PUTs: this stops only who runs wild
BURST = 2000.0
MOST_BUCKETS = 10_000


class Bucket(NamedTuple):
    """How many calls were left, and when that was so."""

    left: float
    at: float


class Limits:
    """The buckets of the keys that called last. One that is forgotten begins anew, full."""

    def __init__(self, rate: float = RATE, burst: float = BURST, most: int = MOST_BUCKETS) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Takes one call; 0.0 where it may be made, else the seconds until the next one may. `now` never goes back."""
        left, at = self._buckets.pop(key, Bucket(self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        self._buckets[key] = Bucket(left - 1 if left >= 1 else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate
