"""Deliver: signed POSTs a second that got a 2xx, from `deliveries` to a receiver on this machine.

Beside it a pool of threads with a `requests.Session` each posts the same bodies to the same receiver.
"""

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.deliver.body import body_of, names
from pipeline.model.deliveries import Attempt, Delivery
from pipeline.model.events import Event
from pipeline.model.loops import Loop
from pipeline.topics import ATTEMPTS, DELIVERIES, DELIVERIES_DEAD, retry_topic
from tests.bench.figures import Implausible, Run, compared
from tests.bench.ground import Ground, agree
from tests.bench.nginx import Nginx, nginx
from tests.bench.pool import THREADS, Letter
from tests.bench.processes import ROOT, say
from tests.bench.work import SECRET, deliveries, loop, loop_rows

LOOPS = 10
FIRST = 8_000  # deliveries to begin with, for each second that is measured or warmed up
MORE = 2
ALL_SECONDS = 300.0  # until the last delivery is out, held ones too
LETTERS = 5_000  # bodies that the baseline posts in turn

_delivery = msgspec.json.Decoder(Delivery)
_event = msgspec.json.Decoder(Event)
_attempt = msgspec.json.Decoder(Attempt)


def measure(ground: Ground) -> dict[str, Any]:
    """The figure."""
    pace = ground.pace
    with nginx(ground.folder / "nginx") as receiver:
        loops = [loop(number, receiver.url) for number in range(LOOPS)]
        ground.load(loop_rows(loops))
        supply = Supply(ground, loops)
        supply.grow(int(FIRST * (pace.warm + pace.steady)))
        letters = _letters(loops, pace.profiles)
        ours, theirs = [], []
        for number in range(pace.runs):
            theirs.append(_pool(ground, receiver, letters))
            ours.append(_deliver(ground, receiver, supply))
            say(f"deliver {number + 1}: {ours[-1].rate:,.0f} POSTs/s, requests {theirs[-1].rate:,.0f}")
    figure = compared("deliver", "POSTs/s", ours, f"requests.Session in {THREADS} threads", theirs)
    return figure | {"held": _held(ground)}


class Supply:
    """The deliveries that wait in the topic."""

    def __init__(self, ground: Ground, loops: list[Loop]) -> None:
        self.count = 0
        self._ground = ground
        self._deliveries = deliveries(loops, ground.pace.profiles)

    def grow(self, to: int) -> None:
        """So many deliveries in all."""
        say(f"deliver: {to:,} deliveries are put into the topic")
        self.count += self._ground.load(itertools.islice(self._deliveries, to - self.count))


def _deliver(ground: Ground, receiver: Nginx, supply: Supply) -> Run:
    """From the first delivery to the last; anew, with more of them, where they did not last long enough."""
    while True:
        ground.from_the_start("deliver")
        starts, before, posts = ground.ends(ATTEMPTS), ground.count(ATTEMPTS), receiver.requests
        with ground.start("deliver") as process:
            run = ground.steady(process, ATTEMPTS, supply.count)
            process.wait_for(lambda: ground.done("deliver", (DELIVERIES, *_retries(ground))), ALL_SECONDS)
        agree("deliver: attempts and POSTs received", ground.count(ATTEMPTS) - before, receiver.requests - posts)
        agree("deliver: deliveries-dead and 0", ground.count(DELIVERIES_DEAD), 0)
        _all_delivered(ground, starts, supply.count)
        if run:
            return run
        supply.grow(supply.count * MORE)


def _retries(ground: Ground) -> list[str]:
    return [retry_topic(delay) for delay in ground.settings.retry_ladder]


def _held(ground: Ground) -> int:
    """How many records the retry topics ever got: no POST fails here, so they are deliveries whose lane was full."""
    return sum(map(ground.count, _retries(ground)))


def _all_delivered(ground: Ground, starts: Mapping[int, int], count: int) -> None:
    """Each delivery of the run got a 204, and nothing else."""
    outcomes: Counter[tuple[str, int | None]] = Counter()
    ids = set()
    for value in ground.values(ATTEMPTS, starts):
        attempt = _attempt.decode(value)
        outcomes[attempt.outcome, attempt.status] += 1
        ids.add(attempt.delivery)
    if outcomes.keys() != {("delivered", 204)} or len(ids) != count:
        raise Implausible(f"deliver: {count} deliveries ended as {dict(outcomes)}, {len(ids)} of them different")
    if again := outcomes.total() - count:
        say(f"deliver: {again} were posted twice: the process lost its partitions for a while")


def _letters(loops: list[Loop], profiles: int) -> list[Letter]:
    """What deliver would post, all but signed."""
    by_id = {one.id: one for one in loops}
    letters = []
    for record in itertools.islice(deliveries(loops, profiles), LETTERS):
        delivery = _delivery.decode(record.value or b"")
        to = by_id[delivery.loop]
        kind, body = body_of(names(_event.decode(delivery.event), to.fields), to.format)
        letters.append(Letter(to.url, delivery.id, to.id, kind, body.decode()))
    return letters


def _pool(ground: Ground, receiver: Nginx, letters: list[Letter]) -> Run:
    before, meter = receiver.requests, ground.meter()
    told = {
        "letters": [letter._asdict() for letter in letters],
        "secret": SECRET,
        "warm": ground.pace.warm,
        "steady": ground.pace.steady,
    }
    command = [sys.executable, "-m", "tests.bench.pool"]
    said = subprocess.run(command, input=json.dumps(told), check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    done = json.loads(said.stdout)
    agree("deliver: the baseline's threads and those at their end", THREADS, done["alive"])
    agree("deliver: the baseline's POSTs and those received", done["delivered"], receiver.requests - before)
    return meter.run(done["n"])._replace(seconds=done["seconds"], cpu_s=done["cpu_s"], broker_cpu_s=0.0)
