"""Latencies are counted in fixed buckets, so that percentiles of any stretch of time come from adding counts up."""

import math
from collections.abc import Sequence

# Four buckets to a doubling, from 0.25 ms on: 64 of them reach to 16.4 s, behind the 15 s that a POST may take. A
# percentile is told as the geometric middle of its bucket, so it is at most 2 ** (1/8) - 1 = 9.1 % off.
FIRST_MS = 0.25
A_DOUBLING = 4
BUCKETS = 64
_OFF = math.log2(FIRST_MS)


def bucket_of(ms: float) -> int:
    """The bucket of a latency; the first takes all that is shorter, the last all that is longer."""
    if ms <= FIRST_MS:
        return 0
    return min(int((math.log2(ms) - _OFF) * A_DOUBLING), BUCKETS - 1)


def middle_of(bucket: int) -> float:
    """What a bucket stands for, in milliseconds."""
    return float(FIRST_MS * 2 ** ((bucket + 0.5) / A_DOUBLING))


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The latency in milliseconds that `share` of all counted did not exceed (nearest rank); None where none was."""
    rank, passed = math.ceil(sum(counts) * share), 0
    for bucket, count in enumerate(counts):
        passed += count
        if count and passed >= rank:
            return round(middle_of(bucket), 2)
    return None


def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Both, bucket by bucket."""
    return [here + there for here, there in zip(one, other, strict=True)]
