"""After a few failures in a row hits stop waiting for the broker, and the spool is emptied behind new ones."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.spooling import BEHIND, FEW, IN_FLIGHT, MOST, PROBE_SECONDS, Broker, Flow, fits

TIMES = st.floats(0, 1e6)


def test_a_few_failures_in_a_row_end_the_trust() -> None:
    broker = Broker()
    for _ in range(FEW):
        assert broker.trusted
        broker = broker.failed()
    assert not broker.trusted
    assert broker.failed() == broker


def test_the_first_record_drained_is_a_probe() -> None:
    assert Flow().allowed(10.0, 0, 0.0, 0.15) == 1
    assert Flow().allowed(10.0, 1, 0.0, 0.15) == 0


def test_what_is_acknowledged_lets_more_follow_up_to_the_pace() -> None:
    flow, steps = Flow(), []
    for _ in range(12):
        flow = flow.acknowledged()
        steps.append(flow.allowed(10.0, 0, 0.0, 0.15))
    assert steps == [2, 4, 8, 16, 32, 64, MOST, MOST, MOST, MOST, MOST, MOST]
    assert flow.window == IN_FLIGHT


def test_after_a_failure_the_next_is_a_probe_a_second_later() -> None:
    flow = Flow(IN_FLIGHT).failed(10.0)
    assert flow.allowed(10.0 + PROBE_SECONDS - 0.01, 0, 0.0, 0.15) == 0
    assert flow.allowed(10.0 + PROBE_SECONDS, 0, 0.0, 0.15) == 1


def test_the_spool_is_slow_while_a_new_hit_waits_for_long() -> None:
    flow = Flow(IN_FLIGHT)
    assert flow.allowed(10.0, 500, 0.07, 0.15) == MOST
    assert flow.allowed(10.0, 500, 0.08, 0.15) == BEHIND


@given(st.integers(1, IN_FLIGHT), TIMES, TIMES, st.integers(0, 5_000), TIMES, st.floats(0.001, 60))
def test_neither_pace_nor_window_is_ever_passed(
    window: int, since: float, now: float, under_way: int, waiting: float, deadline: float
) -> None:
    allowed = Flow(window, since).allowed(now, under_way, waiting, deadline)
    assert 0 <= allowed <= MOST
    assert allowed == 0 or under_way + allowed <= window


def test_the_limit_is_kept() -> None:
    assert fits(60, 40, 100)
    assert not fits(60, 41, 100)
    assert not fits(0, 1, 0)
