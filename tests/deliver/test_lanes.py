"""A lane: some POSTs in flight, a short queue, and patience of 100 ms once it is full."""

import pytest

from pipeline.deliver.lanes import QUEUE, Lane

NOW = 1_774_000_500.1


def _full(cap: int = 2) -> Lane[int]:
    lane: Lane[int] = Lane(cap)
    for job in range(QUEUE):
        assert lane.offer(job, NOW)
    assert not lane.offer(QUEUE, NOW)
    return lane


def test_jobs_begin_in_the_order_they_came_up_to_the_cap() -> None:
    lane: Lane[str] = Lane(2)
    for job in ("a", "b", "c"):
        assert lane.offer(job, NOW)
    assert [lane.begin() for _ in range(3)] == ["a", "b", None]
    assert (lane.in_flight, list(lane.waiting), lane.idle) == (2, ["c"], False)
    lane.end()
    assert lane.begin() == "c"
    for _ in range(2):
        lane.end()
    assert (lane.in_flight, list(lane.waiting), lane.idle, lane.begin()) == (0, [], True, None)


@pytest.mark.parametrize(
    ("later", "stuck"), [(0.0, False), (0.05, False), (0.09, False), (0.1, True), (0.11, True), (5.0, True)]
)
def test_a_full_lane_is_stuck_after_100_ms(later: float, stuck: bool) -> None:
    assert _full().stuck(NOW + later) is stuck


def test_a_lane_with_room_is_not_stuck() -> None:
    lane: Lane[int] = Lane(1)
    lane.offer(1, NOW)
    assert lane.stuck(NOW + 60) is False


def test_a_lane_that_was_full_and_emptied_is_not_stuck() -> None:
    lane = _full(QUEUE)
    while lane.begin() is not None:
        pass
    assert lane.stuck(NOW + 60) is False


def test_a_lane_whose_queue_goes_and_is_filled_again_at_once_is_not_stuck() -> None:
    lane, job = _full(), QUEUE
    for step in range(1, 101):
        for _ in range(QUEUE // 8):  # an eighth of the queue every 10 ms
            assert lane.begin() is not None
            lane.end()
            assert lane.offer(job := job + 1, NOW + step / 100)
        assert not lane.offer(job + 1, NOW + step / 100)
        assert lane.stuck(NOW + step / 100) is False


def test_a_lane_that_crawls_is_stuck() -> None:
    lane = _full()
    for step in range(1, 11):
        assert lane.begin() is not None
        lane.end()
        assert lane.offer(step, NOW + step / 100)
        assert not lane.offer(step, NOW + step / 100)
    assert lane.stuck(NOW + 0.1) is True
