"""A lane: some POSTs in flight, a short queue, and patience of 100 ms once it is full."""

import pytest

from pipeline.deliver.lanes import QUEUE, Lane

NOW = 1_774_000_500.1


def _full(cap: int = 2) -> Lane[int]:
    lane: Lane[int] = Lane(cap)
    for job in range(QUEUE):
        assert lane.now.offer(job, NOW)
    assert not lane.now.offer(QUEUE, NOW)
    return lane


def test_jobs_begin_in_the_order_they_came_up_to_the_cap() -> None:
    lane: Lane[str] = Lane(2)
    for job in ("a", "b", "c"):
        assert lane.now.offer(job, NOW)
    assert [lane.begin() for _ in range(3)] == ["a", "b", None]
    assert (lane.in_flight, list(lane.now.jobs), lane.idle) == (2, ["c"], False)
    lane.end(past=False)
    assert lane.begin() == "c"
    for _ in range(2):
        lane.end(past=False)
    assert (lane.in_flight, list(lane.now.jobs), lane.idle, lane.begin()) == (0, [], True, None)


@pytest.mark.parametrize(
    ("later", "stuck"), [(0.0, False), (0.05, False), (0.09, False), (0.1, True), (0.11, True), (5.0, True)]
)
def test_a_full_lane_is_stuck_after_100_ms(later: float, stuck: bool) -> None:
    assert _full().now.stuck(NOW + later) is stuck


def test_a_lane_with_room_is_not_stuck() -> None:
    lane: Lane[int] = Lane(1)
    lane.now.offer(1, NOW)
    assert lane.now.stuck(NOW + 60) is False


def test_a_lane_that_was_full_and_emptied_is_not_stuck() -> None:
    lane = _full(QUEUE)
    while lane.begin() is not None:
        pass
    assert lane.now.stuck(NOW + 60) is False


def test_a_lane_whose_queue_goes_and_is_filled_again_at_once_is_not_stuck() -> None:
    lane, job = _full(), QUEUE
    for step in range(1, 101):
        for _ in range(QUEUE // 8):  # an eighth of the queue every 10 ms
            assert lane.begin() is not None
            lane.end(past=False)
            assert lane.now.offer(job := job + 1, NOW + step / 100)
        assert not lane.now.offer(job + 1, NOW + step / 100)
        assert lane.now.stuck(NOW + step / 100) is False


def test_a_lane_that_crawls_is_stuck() -> None:
    lane = _full()
    for step in range(1, 11):
        assert lane.begin() is not None
        lane.end(past=False)
        assert lane.now.offer(step, NOW + step / 100)
        assert not lane.now.offer(step, NOW + step / 100)
    assert lane.now.stuck(NOW + 0.1) is True


def test_what_happens_now_goes_before_the_past_which_has_half_of_the_cap_at_most() -> None:
    lane: Lane[str] = Lane(4)
    for job in ("p1", "p2", "p3"):
        assert lane.past.offer(job, NOW)
    assert [lane.begin() for _ in range(3)] == ["p1", "p2", None]
    for job in ("n1", "n2", "n3"):
        assert lane.now.offer(job, NOW)
    assert [lane.begin() for _ in range(3)] == ["n1", "n2", None]
    lane.end(past=True)
    assert lane.begin() == "n3"
    lane.end(past=False)
    assert [lane.begin() for _ in range(2)] == ["p3", None]
    for past in (True, True, False, False):
        lane.end(past=past)
    assert lane.idle


def test_a_cap_of_one_lets_the_past_through_where_nothing_else_waits() -> None:
    lane: Lane[str] = Lane(1)
    lane.past.offer("past", NOW)
    assert lane.begin() == "past"
    lane.now.offer("now", NOW)
    assert lane.begin() is None


def test_a_past_that_is_stuck_does_not_make_the_present_stuck() -> None:
    lane: Lane[int] = Lane(2)
    for job in range(QUEUE):
        lane.past.offer(job, NOW)
    assert not lane.past.offer(QUEUE, NOW)
    assert (lane.past.stuck(NOW + 1), lane.now.stuck(NOW + 1)) == (True, False)
