"""What deliver tells Prometheus of its lanes, its POSTs and its topics."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from pipeline import metrics
from pipeline.deliver.breaker import State
from pipeline.deliver.dispatch import Dispatch
from pipeline.model.deliveries import Outcome, Timings
from pipeline.tallies import Spread, Tally

ATTEMPTS = Tally("loopwire_deliver_attempts", "POSTs made, by outcome", "outcome", get_args(Outcome))
SECONDS = Spread(
    "loopwire_deliver_seconds",
    "how long a POST took, from its start to each part's end; dns, connect and tls only of new connections",
    (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15),
    "part",
    ("dns", "connect", "tls", "first_byte", "total"),
)
IN_FLIGHT = metrics.gauge("loopwire_deliver_in_flight", "POSTs under way")
LANES = metrics.gauge("loopwire_deliver_lanes", "loops that get POSTs, by the state of their breaker", "breaker")
FAILING = metrics.gauge("loopwire_deliver_failing", "loops that only failed for a day, or longer")
WAITING = metrics.gauge("loopwire_deliver_waiting", "deliveries that wait in lanes")
BYTES = metrics.gauge("loopwire_deliver_waiting_bytes", "deliveries that wait in lanes or are under way, in bytes")
GATHERED = metrics.gauge("loopwire_deliver_gathered", "events that are gathered, and in no batch yet")
GATHERED_BYTES = metrics.gauge("loopwire_deliver_gathered_bytes", "their deliveries, in bytes")
HELD = metrics.counter(
    "loopwire_deliver_held", "deliveries that were held: full, closed, order, or the loop's state", "why"
)
OVERDUE = metrics.gauge("loopwire_deliver_overdue_seconds", "since when the oldest might have left its topic", "topic")
LAG = metrics.gauge("loopwire_deliver_lag", "records not done with, by topic; in retry topics most wait", "topic")


def answered(outcome: Outcome, timings: Timings) -> None:
    """A POST is over."""
    ATTEMPTS.counts[outcome] += 1
    SECONDS.observe("total", timings.total / 1000)
    if timings.first_byte:
        SECONDS.observe("first_byte", timings.first_byte / 1000)
    if timings.connect:
        for part in ("dns", "connect", "tls"):
            if spent := getattr(timings, part):
                SECONDS.observe(part, spent / 1000)


def show(dispatch: Dispatch[Any], tick: float) -> None:
    """How it stands now; `tick` is of the clock that is never set."""
    lanes = tuple(dispatch.lanes.values())
    states = Counter(lane.breaker.state(tick) for lane in lanes)
    for state in get_args(State):
        LANES.labels(state).set(states[state])
    FAILING.set(dispatch.failing())
    IN_FLIGHT.set(sum(lane.in_flight for lane in lanes))
    WAITING.set(sum(len(lane.now.jobs) + len(lane.past.jobs) for lane in lanes))
    BYTES.set(dispatch.room.bytes)
    GATHERED.set(dispatch.batching.events)
    GATHERED_BYTES.set(dispatch.batching.bytes)
    OVERDUE.clear()  # a topic that is another worker's by now has no age here
    for topic, seconds in dispatch.overdue().items():
        OVERDUE.labels(topic).set(seconds)
    for why, count in dispatch.held.items():
        HELD.labels(why).inc(count)
    dispatch.held.clear()


def show_lag(lag: Mapping[str, int]) -> None:
    """Records between what is done with and the end, by topic."""
    LAG.clear()
    for topic, records in lag.items():
        LAG.labels(topic).set(records)
