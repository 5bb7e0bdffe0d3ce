"""A lane: some POSTs in flight, a short queue, patience of 100 ms once it is full, a pace and a breaker."""

from dataclasses import dataclass

import pytest

from pipeline.deliver import breaker
from pipeline.deliver.lanes import QUEUE, QUEUE_BYTES, Lane
from pipeline.deliver.verdict import Reply

NOW = 1_774_000.1


@dataclass
class Work:
    """What waits."""

    name: int | str
    size: int = 600
    profile: str = ""


def _offer(lane: Lane[Work], *names: int | str, past: bool = False, now: float = NOW, size: int = 600) -> bool:
    """Whether all of it found room."""
    queue = lane.queue(past)
    for name in names:
        if not queue.fits(size):
            queue.refused(now)
            return False
        queue.take(Work(name, size))
    return True


def _begin(lane: Lane[Work], now: float = NOW) -> int | str | None:
    return lane.begin(now).name if lane.wait(now) == 0 else None


def _end(lane: Lane[Work], *, past: bool = False, now: float = NOW) -> None:
    lane.answered(Work(0), past, Reply(200), now - 0.01, now)


def _full(most: int = 2) -> Lane[Work]:
    lane: Lane[Work] = Lane(most)
    assert _offer(lane, *range(QUEUE))
    assert not _offer(lane, QUEUE)
    return lane


def test_jobs_begin_in_the_order_they_came_up_to_what_the_loop_allows() -> None:
    lane: Lane[Work] = Lane(2)
    _offer(lane, "a", "b", "c")
    assert [_begin(lane) for _ in range(3)] == ["a", "b", None]
    assert (lane.in_flight, len(lane.now.jobs), lane.idle) == (2, 1, False)
    _end(lane)
    assert _begin(lane) == "c"
    for _ in range(2):
        _end(lane)
    assert (lane.in_flight, len(lane.now.jobs), lane.idle, _begin(lane)) == (0, 0, True, None)


@pytest.mark.parametrize(
    ("later", "stuck"), [(0.0, False), (0.05, False), (0.09, False), (0.1, True), (0.11, True), (5.0, True)]
)
def test_a_full_lane_is_stuck_after_100_ms(later: float, stuck: bool) -> None:
    assert _full().now.stuck(NOW + later) is stuck


def test_a_lane_with_room_is_not_stuck() -> None:
    lane: Lane[Work] = Lane(1)
    _offer(lane, 1)
    assert lane.now.stuck(NOW + 60) is False


def test_a_lane_that_was_full_and_emptied_is_not_stuck() -> None:
    lane = _full(QUEUE)
    while _begin(lane) is not None:
        _end(lane)
    assert lane.now.stuck(NOW + 60) is False


def test_a_lane_whose_queue_goes_and_is_filled_again_at_once_is_not_stuck() -> None:
    lane, job = _full(), QUEUE
    for step in range(1, 101):
        for _ in range(QUEUE // 8):  # an eighth of the queue every 10 ms
            assert _begin(lane) is not None
            _end(lane)
            assert _offer(lane, job := job + 1, now=NOW + step / 100)
        assert not _offer(lane, job + 1, now=NOW + step / 100)
        assert lane.now.stuck(NOW + step / 100) is False


def test_a_lane_that_crawls_is_stuck() -> None:
    lane = _full()
    for step in range(1, 11):
        assert _begin(lane) is not None
        _end(lane)
        assert _offer(lane, step, now=NOW + step / 100)
        assert not _offer(lane, step, now=NOW + step / 100)
    assert lane.now.stuck(NOW + 0.1) is True


def test_a_queue_is_full_of_bytes_too_but_one_that_is_larger_fits_alone() -> None:
    lane: Lane[Work] = Lane()
    assert _offer(lane, "huge", size=2 * QUEUE_BYTES)
    assert not _offer(lane, "small", size=1)
    assert _begin(lane) == "huge"
    assert _offer(lane, *range(10), size=QUEUE_BYTES // 10)
    assert not _offer(lane, "more", size=QUEUE_BYTES // 10)
    assert [job.name for job in lane.now.drain()] == list(range(10))
    assert _offer(lane, *range(10), size=QUEUE_BYTES // 10)


def test_what_happens_now_goes_before_the_past_which_has_half_of_the_cap_at_most() -> None:
    lane: Lane[Work] = Lane(4)
    _offer(lane, "p1", "p2", "p3", past=True)
    assert [_begin(lane) for _ in range(3)] == ["p1", "p2", None]
    _offer(lane, "n1", "n2", "n3")
    assert [_begin(lane) for _ in range(3)] == ["n1", "n2", None]
    _end(lane, past=True)
    assert _begin(lane) == "n3"
    _end(lane)
    assert [_begin(lane) for _ in range(2)] == ["p3", None]
    for past in (True, True, False, False):
        _end(lane, past=past)
    assert lane.idle


def test_a_cap_of_one_lets_the_past_through_where_nothing_else_waits() -> None:
    lane: Lane[Work] = Lane(1)
    _offer(lane, "past", past=True)
    assert _begin(lane) == "past"
    _offer(lane, "now")
    assert _begin(lane) is None


def test_a_past_that_is_stuck_does_not_make_the_present_stuck() -> None:
    lane: Lane[Work] = Lane(2)
    _offer(lane, *range(QUEUE + 1), past=True)
    assert (lane.past.stuck(NOW + 1), lane.now.stuck(NOW + 1)) == (True, False)


def test_a_rate_is_kept_and_it_is_told_when_the_next_may_begin() -> None:
    lane: Lane[Work] = Lane(rate=4.0)
    _offer(lane, "a", "b")
    assert _begin(lane) == "a"
    assert lane.wait(NOW) == pytest.approx(0.25)
    assert _begin(lane, NOW + 0.2) is None
    assert _begin(lane, NOW + 0.2501) == "b"


@pytest.mark.parametrize(
    ("reply", "cap", "closed"),
    [
        (Reply(200), 9, False),
        (Reply(404), 8, False),
        (Reply(500), 8, True),
        (Reply(501), 8, True),
        (Reply(429), 4, False),
        (Reply(502), 4, True),
        (Reply(503), 4, True),
        (Reply(504), 4, True),
        (Reply(None, "timed out"), 4, True),
        (Reply(200, "timed out"), 4, True),
    ],
)
def test_what_an_answer_does_to_the_cap_and_the_same_for_a_while_to_the_breaker(
    reply: Reply, cap: int, closed: bool
) -> None:
    lane: Lane[Work] = Lane()
    _offer(lane, *range(20))
    for _ in range(8):
        _begin(lane)
    lane.answered(Work(0), False, reply, NOW, NOW + 1)
    assert lane.cap.size(32) == cap
    for number in range(breaker.FAILURES):
        lane.now.in_flight += 1
        lane.answered(Work(0), False, reply, NOW, NOW + breaker.SECONDS + number)
    assert lane.closed(NOW + breaker.SECONDS + breaker.FAILURES) is closed


def test_a_lane_is_quick_as_long_as_its_last_answer_was_good_and_came_soon() -> None:
    lane: Lane[Work] = Lane()
    assert not lane.quick, "nothing is known of it"
    for reply, seconds, quick in ((200, 0.9, True), (200, 1.1, False), (204, 0.1, True), (500, 0.1, False)):
        lane.now.in_flight += 1
        lane.answered(Work(0), False, Reply(reply), NOW, NOW + seconds)
        assert lane.quick is quick
