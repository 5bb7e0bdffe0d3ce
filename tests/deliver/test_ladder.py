"""How long a delivery waits, and in which retry topics."""

from datetime import timedelta
from heapq import heapify, heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.deliver.ladder import Ladder, Wait
from pipeline.settings import read

LADDER = Ladder((timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=1)))
NOW = 1_774_000_500.25


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 5), (2, 60), (3, 300), (4, 60), (5, None), (99, None)])
def test_the_wait_after_that_many_attempts(attempts: int, seconds: float | None) -> None:
    assert LADDER.after(attempts) == seconds


@pytest.mark.parametrize(("holds", "seconds"), [(0, 5), (1, 60), (2, 300), (3, 60), (4, 60), (99, 60)])
def test_a_held_delivery_waits_a_rung_higher_each_time_and_the_last_for_ever(holds: int, seconds: float) -> None:
    assert LADDER.held(holds) == seconds


@pytest.mark.parametrize(
    ("seconds", "topic", "leaves"),
    [
        (5, "deliveries-retry-5s", 5),
        (60, "deliveries-retry-1m", 60),
        (300, "deliveries-retry-5m", 300),
        (0, "deliveries-retry-5s", 0),
        (2, "deliveries-retry-5s", 2),
        (5.2, "deliveries-retry-5s", 5.2),
        (7, "deliveries-retry-5s", 5),
        (12, "deliveries-retry-5s", 5),
        (62, "deliveries-retry-1m", 62),
        (66, "deliveries-retry-1m", 60),
        (86_400, "deliveries-retry-5m", 300),
    ],
)
def test_where_a_delivery_waits_first(seconds: float, topic: str, leaves: float) -> None:
    assert LADDER.wait(NOW, NOW + seconds) == Wait(topic, NOW + leaves)


@given(st.floats(0, 7 * 86_400))
def test_a_chain_of_waits_ends_when_the_delivery_is_due(seconds: float) -> None:
    ladder, now, due, links = Ladder(read().retry_ladder), NOW, NOW + seconds, 0
    while now < due:
        wait = ladder.wait(now, due)
        assert now < wait.leaves <= due
        now, links = wait.leaves, links + 1
    assert links <= 41


@given(st.floats(1, 7 * 86_400), st.floats(0, 1, exclude_max=True))
def test_a_jitter_only_lengthens_by_5_percent_and_the_shortest_rung_at_most(seconds: float, luck: float) -> None:
    longer = LADDER.jittered(seconds, luck)
    assert seconds <= longer <= min(seconds * 1.05, seconds + 5)


@given(st.floats(0, 1, exclude_max=True))
def test_a_jitter_makes_no_chain_longer(luck: float) -> None:
    for seconds in (5, 60, 300):
        wait = LADDER.wait(NOW, NOW + LADDER.jittered(seconds, luck))
        assert wait.leaves == NOW + LADDER.jittered(seconds, luck)


STEPS = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3000)), min_size=1, max_size=60)


@given(STEPS)
def test_read_in_order_none_is_early_and_none_is_later_than_the_shortest_rung(steps: list[tuple[float, float]]) -> None:
    """Each topic lets its first go when it may leave, and what is behind waits for it."""
    at, going = 0.0, []
    for number, (gap, wait) in enumerate(steps):
        at += gap
        going.append((at, number, at + wait))
    heapify(going)
    free: dict[str, float] = {}  # by topic: when the last of it leaves
    number = len(going)
    while going:
        now, _, due = heappop(going)
        if number > len(steps) and now >= due:
            assert now <= due + 5 * 1.05 + 0.01
            continue
        number += 1
        topic, leaves = LADDER.wait(now, due)
        free[topic] = max(free.get(topic, 0.0), leaves)
        heappush(going, (free[topic], number, due))


def test_every_topic_of_a_wait_is_a_topic_of_the_ladder() -> None:
    rungs = read().retry_ladder
    ladder = Ladder(rungs)
    assert [ladder.wait(NOW, NOW + rung.total_seconds()).topic for rung in rungs] == [
        f"deliveries-retry-{word}" for word in ("5s", "1m", "5m", "30m", "2h", "6h", "12h", "24h", "24h", "24h")
    ]
