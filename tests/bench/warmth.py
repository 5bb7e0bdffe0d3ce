"""Warm is who no longer grows faster: a JVM compiles for a while, and says so nowhere but in its rate."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.figures import Pace
from tests.bench.ground import Warm
from tests.bench.processes import Process

LOOK = 2 / 3  # of the pace's warm time: rates are over 2 s
AT_MOST = 30  # times the pace's warm time: 90 s
LATEST = 4  # rates, none of which is higher than all before
HIGHER = 1.02  # less is noise


def warm(pace: Pace, least: int) -> Warm:
    """Waits until what is counted no longer comes faster, once there are `least`; or until its time is up."""

    def wait(process: Process, count: Callable[[], int]) -> None:
        first, began = count(), time.monotonic()
        rates: list[float] = []
        while time.monotonic() - began < AT_MOST * pace.warm:
            before, since = count(), time.monotonic()
            process.wait_for(partial(_passed, since + LOOK * pace.warm))
            now = count()
            rates.append((now - before) / (time.monotonic() - since))
            if now - first >= least and not grows(rates):
                return

    return wait


def grows(rates: Sequence[float]) -> bool:
    """Whether one of the latest rates is higher than all before."""
    before, latest = rates[:-LATEST], rates[-LATEST:]
    return not before or max(latest) > HIGHER * max(before)


def _passed(moment: float) -> bool:
    return time.monotonic() >= moment
