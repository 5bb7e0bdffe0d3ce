"""A server gets more POSTs at a time while it answers well, half as many when it is in trouble."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.cap import START, Cap


def test_it_begins_low_and_doubles_with_each_round_of_good_answers_up_to_what_the_loop_allows() -> None:
    cap, sizes = Cap(), []
    for _ in range(4):
        sizes.append(cap.size(50))
        for in_flight in [cap.size(50)] * cap.size(50):
            cap.well(max(in_flight, cap.size(50)), 50)
    assert sizes == [8, 16, 32, 50]


def test_who_does_not_use_it_does_not_earn_more() -> None:
    cap = Cap()
    for _ in range(100):
        cap.well(3, 32)
    assert cap.size(32) == START


def test_trouble_halves_it_once_for_all_that_was_under_way() -> None:
    cap = Cap()
    for _ in range(8):
        cap.badly(began=10.0, now=20.0)
    assert cap.size(32) == 4
    for at in (21.0, 31.0, 41.0, 51.0):
        cap.badly(began=at, now=at + 5)
    assert cap.size(32) == 1


def test_after_trouble_it_grows_by_one_for_a_whole_round() -> None:
    cap = Cap()
    cap.badly(10.0, 20.0)
    for _ in range(5):
        cap.well(4, 32)
    assert cap.size(32) == 5


def test_what_the_loop_allows_less_counts_at_once() -> None:
    assert [Cap().size(most) for most in (1, 3, 100)] == [1, 3, START]


@given(st.lists(st.booleans()), st.integers(1, 10_000))
def test_it_is_never_below_one_nor_above_what_the_loop_allows(answers: list[bool], most: int) -> None:
    cap = Cap()
    for at, good in enumerate(answers):
        if good:
            cap.well(cap.size(most), most)
        else:
            cap.badly(at, at + 0.5)
        assert 1 <= cap.size(most) <= most
