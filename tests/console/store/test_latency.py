"""Percentiles out of buckets are a tenth off at most, whatever is added up."""

import random

import pytest

from pipeline.console.store.latency import BUCKETS, added, bucket_of, middle_of, percentile


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [(0.0, 0), (0.25, 0), (0.26, 0), (0.3, 1), (0.5, 4), (1.0, 8), (15_000.0, 63), (16_384.0, 63), (1e9, 63)],
)
def test_a_latency_has_its_bucket(ms: float, bucket: int) -> None:
    assert bucket_of(ms) == bucket


@pytest.mark.parametrize("ms", [0.3, 1.0, 7.7, 81.5, 499.0, 5000.5, 14_999.0])
def test_a_bucket_s_middle_is_a_tenth_off_at_most(ms: float) -> None:
    assert abs(middle_of(bucket_of(ms)) / ms - 1) < 0.1


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_percentile_of_merged_minutes_is_that_of_all(share: float) -> None:
    drawn = random.Random(7)
    all_of_them = [drawn.lognormvariate(4, 1) for _ in range(5000)]
    merged = [0] * BUCKETS
    for first in range(0, 5000, 700):
        minute = [0] * BUCKETS
        for ms in all_of_them[first : first + 700]:
            minute[bucket_of(ms)] += 1
        merged = added(merged, minute)
    exact = sorted(all_of_them)[int(share * 5000) - 1]
    found = percentile(merged, share)
    assert found is not None
    assert abs(found / exact - 1) < 0.1


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([0] * BUCKETS, 0.5) is None
