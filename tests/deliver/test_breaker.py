"""A broken server gets nothing but a probe now and then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.breaker import FAILURES, LONGEST_PROBE_SECONDS, PROBE_SECONDS, SECONDS, Breaker


def _opened(at: float = 100.0) -> Breaker:
    breaker = Breaker()
    for number in range(FAILURES):
        breaker.badly(at - SECONDS + number, at if number == FAILURES - 1 else at - 1)
    assert breaker.state(at) == "open"
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_that_took_so_long() -> None:
    assert not _opened().lets(100.0)


@pytest.mark.parametrize(("count", "seconds"), [(FAILURES - 1, 3600), (1000, SECONDS - 1)])
def test_a_few_or_a_short_trouble_leave_it_closed(count: int, seconds: float) -> None:
    breaker = Breaker()
    for number in range(count):
        breaker.badly(100.0, 100.0 + seconds * number / count)
    assert breaker.lets(100.0 + seconds)


def test_one_good_answer_begins_the_count_anew() -> None:
    breaker = Breaker()
    for number in range(FAILURES * 10):
        breaker.badly(number * 10.0, number * 10.0 + 1)
        if number % (FAILURES - 1) == 0:
            breaker.well()
        assert breaker.state(number * 10.0) == "closed"


def test_after_a_while_one_probe_goes_and_none_beside_it() -> None:
    breaker = _opened()
    assert [breaker.state(100.0 + after) for after in (0, PROBE_SECONDS - 0.1, PROBE_SECONDS)] == [
        "open", "open", "half-open",
    ]  # fmt: skip
    assert breaker.lets(105.0)
    breaker.began()
    assert (breaker.state(300.0), breaker.lets(300.0)) == ("half-open", False)


def test_a_probe_that_goes_well_closes_it() -> None:
    breaker = _opened()
    breaker.began()
    breaker.well()
    assert (breaker.state(105.0), breaker.lets(105.0)) == ("closed", True)


def test_each_probe_that_fails_doubles_the_time_to_the_next_up_to_a_minute() -> None:
    breaker, now, waits = _opened(), 100.0, []
    for _ in range(6):
        wait = next(after for after in range(1, 100) if breaker.lets(now + after))
        waits.append(wait)
        now += wait
        breaker.began()
        breaker.badly(now, now)
    assert waits == [5, 10, 20, 40, 60, LONGEST_PROBE_SECONDS]


def test_what_began_before_it_opened_says_nothing_new() -> None:
    breaker = _opened()
    breaker.badly(99.0, 104.0)
    assert breaker.lets(105.0)


def test_but_a_good_answer_to_it_does() -> None:
    breaker = _opened()
    breaker.well()
    assert breaker.lets(100.0)


def test_a_probe_that_came_to_nothing_makes_way_for_another() -> None:
    breaker = _opened()
    breaker.began()
    breaker.gave_up()
    assert breaker.lets(105.0)


@given(st.lists(st.tuples(st.sampled_from(["began", "well", "badly", "gave up"]), st.floats(0, 30)), max_size=80))
def test_it_always_lets_one_through_within_a_minute_once_none_is_under_way(steps: list[tuple[str, float]]) -> None:
    breaker, now, began = Breaker(), 0.0, 0.0
    for what, seconds in steps:
        now += seconds
        match what:
            case "began" if breaker.lets(now):
                breaker.began()
                began = now
            case "well":
                breaker.well()
            case "badly":
                breaker.badly(began, now)
            case "gave up":
                breaker.gave_up()
    breaker.gave_up()
    assert breaker.lets(now + LONGEST_PROBE_SECONDS)
