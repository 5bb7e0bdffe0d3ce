"""A key is served a hundred calls a second, and no other's calls are counted against it."""

import pytest

from pipeline.console.limits import Limits


def test_the_promise_of_a_hundred_a_second_is_kept() -> None:
    limits = Limits()
    assert [limits.take("a", second / 100) for second in range(10_000)] == [0.0] * 10_000


def test_a_burst_is_served_and_then_the_rate() -> None:
    limits = Limits(rate=2, burst=3, most=10)
    assert [limits.take("a", 0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]
    assert limits.take("a", 0.25) == pytest.approx(0.25)
    assert [limits.take("a", 0.5) for _ in range(2)] == [0.0, 0.5]
    assert [limits.take("a", 1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_who_is_refused_does_not_wait_the_longer_for_it() -> None:
    limits = Limits(rate=1, burst=1, most=10)
    assert limits.take("a", 0.0) == 0.0
    assert [limits.take("a", at / 10) > 0 for at in range(1, 10)] == [True] * 9
    assert limits.take("a", 1.0) == 0.0


def test_each_key_has_its_own() -> None:
    limits = Limits(rate=1, burst=1, most=10)
    assert [limits.take(key, 0.0) for key in "abab"] == [0.0, 0.0, 1.0, 1.0]


def test_the_key_that_called_longest_ago_is_forgotten() -> None:
    limits = Limits(rate=1, burst=1, most=2)
    assert [limits.take(key, 0.0) for key in "abac"] == [0.0, 0.0, 1.0, 0.0]
    assert [limits.take(key, 0.0) for key in "ab"] == [1.0, 0.0]
