"""So many POSTs a second, and what can't wait here comes back at its turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.pace import LONGEST_BOOKING, Pace


def _begun(rate: float, seconds: float) -> list[float]:
    """When POSTs begin where there is always one more."""
    pace, now, begun = Pace(), 100.0, list[float]()
    while now < 100.0 + seconds:
        wait = pace.wait(rate, now)
        if wait:
            now += wait
        else:
            pace.spend(rate, now)
            begun.append(now - 100.0)
    return begun


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace()
    for _ in range(1000):
        assert pace.wait(None, 7.0) == 0
        pace.spend(None, 7.0)


def test_a_low_rate_is_one_at_a_time_evenly() -> None:
    assert _begun(2, 3) == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])


@given(st.floats(0.5, 500))
def test_no_second_has_more_than_the_rate_and_a_tenth_of_it_at_once(rate: float) -> None:
    begun = _begun(rate, 3)
    for at in begun[:20]:
        assert sum(at <= other < at + 1 - 1e-6 for other in begun) <= rate + max(rate * 0.1, 1)
    assert len(begun) >= 3 * rate - 1


def test_idle_time_is_not_saved_up() -> None:
    pace = Pace()
    pace.spend(1, 100.0)
    assert pace.wait(1, 200.0) == 0
    pace.spend(1, 200.0)
    assert pace.wait(1, 200.0) == pytest.approx(1)


def test_what_is_booked_comes_one_after_another_behind_what_waits() -> None:
    pace = Pace()
    assert [pace.book(10, 256, 50.0) for _ in range(3)] == pytest.approx([25.7, 25.8, 25.9])
    assert pace.book(10, 0, 80.0) == pytest.approx(0.1)


def test_a_booking_is_a_day_ahead_at_most() -> None:
    assert Pace().book(0.001, 256, 0.0) == LONGEST_BOOKING
