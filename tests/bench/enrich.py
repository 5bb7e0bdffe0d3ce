"""Enrich: events a second from `hits` to acknowledged `events`, beside a stock Faust agent with stock tables."""

import itertools
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from pipeline.model.events import Event
from pipeline.topics import EVENTS, HITS, HITS_DEAD
from tests.bench.figures import Implausible, Run, compared
from tests.bench.ground import Ground, Warm, agree
from tests.bench.mail import email, hit_records, hits, mailings, profiles, tags
from tests.bench.processes import Process, say

FIRST = 240_000  # hits to begin with, for each second that is measured or warmed up: 3 million in all
MORE = 1.5
SAMPLE = 100  # events of each partition that are looked at
STOCK_GROUP = "stock"
CHANGELOG = "stock-profiles-changelog"
CHANGELOGS = (CHANGELOG, "stock-mailings-changelog")
STOCK_LOSES = 0.01  # of its hits: a commit may pass what its producer still holds when it is told to stop
STILL_SECONDS = 60.0
STILL_CPU_S = 2.0  # a baseline that writes nothing, and spends less in that time, stands still
LOADING_SECONDS = 900.0  # its table, 1,000 to 2,000 rows a second
ALL_SECONDS = 300.0

_event = msgspec.json.Decoder(Event)


def measure(ground: Ground) -> dict[str, Any]:
    """The figure."""
    pace = ground.pace
    ground.load(itertools.chain(profiles(pace.profiles), mailings()))
    _fill_stock_tables(ground)
    supply = Supply(ground, pace.profiles)
    supply.grow(int(FIRST * (pace.warm + pace.steady)))
    ours, theirs = [], []
    for number in range(pace.runs):
        theirs.append(_stock(ground, supply))
        ours.append(enriched(ground, supply))
        times = ours[-1].rate / theirs[-1].rate
        both = f"{rate_and_price(ours[-1])}, stock Faust {rate_and_price(theirs[-1])}"
        say(f"enrich {number + 1}: {both}: {times:.1f} times")
    return compared("enrich", "events/s", ours, "stock Faust agent and table", theirs)


def rate_and_price(run: Run) -> str:
    """Its rate, and its price."""
    return f"{run.rate:,.0f} events/s at {run.cpu_s / run.n * 1e6:,.1f} CPU-seconds a million"


class Supply:
    """The hits that wait in the topic."""

    def __init__(self, ground: Ground, profiles: int) -> None:
        """Hits of so many profiles."""
        self.count = 0
        self._ground = ground
        self._hits = hits(profiles)

    def grow(self, to: int) -> None:
        """So many hits in all."""
        say(f"enrich: {to:,} hits are put into the topic")
        self.count += self._ground.load(hit_records(itertools.islice(self._hits, to - self.count)))


def enriched(ground: Ground, supply: Supply, warm: Warm | None = None) -> Run:
    """From the first hit to the last; anew, with more of them, where they did not last long enough."""
    while True:
        ground.from_the_start("enrich")
        starts, before = ground.ends(EVENTS), ground.count(EVENTS)
        with ground.start("enrich") as process:
            run = ground.steady(process, EVENTS, supply.count, warm)
            process.wait_for(lambda: ground.done("enrich", (HITS,)), ALL_SECONDS)
        _all_written(ground, starts, supply.count, ground.count(EVENTS) - before)
        agree("enrich: hits-dead and 0", ground.count(HITS_DEAD), 0)
        all_joined(ground, starts)
        if run:
            return run
        supply.grow(int(supply.count * MORE))


def _all_written(ground: Ground, starts: Mapping[int, int], hits: int, events: int) -> None:
    """As many events as hits; or more, where a hit was joined twice: then their ids are counted."""
    if events == hits:
        return
    agree(
        "enrich: hits and different events", hits, len({_event.decode(one).id for one in ground.values(EVENTS, starts)})
    )
    say(f"enrich: {events - hits} hits were joined twice: the process lost its partitions for a while")


def _stock(ground: Ground, supply: Supply) -> Run:
    """It goes on in `hits` where its last run ended: it is far from reading all of them."""
    starts, before = ground.ends(EVENTS), ground.count(EVENTS)
    read = _committed(ground)
    with _stock_worker(ground) as process:
        _awaited(ground, process, EVENTS, before + 1)
        run = ground.steady(process, EVENTS, supply.count - read)
    if run is None or not run.n:
        raise Implausible(f"enrich: the baseline {'ran out of hits' if run is None else 'stood still'}")
    written, read = ground.count(EVENTS) - before, _committed(ground) - read
    lost = read - written
    if not read or lost > read * STOCK_LOSES:
        raise Implausible(f"enrich: the baseline read {read} hits and wrote {written} events")
    if lost > 0:
        say(f"enrich: of {read:,} hits that the baseline committed as read, {lost} have no event")
    all_joined(ground, starts)
    return run


def _fill_stock_tables(ground: Ground) -> None:
    """Its tables are filled by its own agents, once, before there are hits: later runs find them in the changelog.

    Faust would make the changelogs itself, at the very moment that it joins its group. When its consumer does not know
    the mailings' yet, the assignor looks it up in vain (`_global_table_standby_assignments`, a KeyError that nobody
    hears of), and the worker stands still for ever.
    """
    say(f"enrich: the baseline's table is filled with {ground.pace.profiles:,} profiles")
    ground.make(CHANGELOGS)
    with _stock_worker(ground) as process:
        _awaited(ground, process, CHANGELOG, ground.pace.profiles)


def _awaited(ground: Ground, process: Process, topic: str, end: int) -> None:
    """Until the baseline has written the topic's record number `end`; Implausible where it stands still before.

    It may be busy for minutes: at each start it reads its table from the changelog.
    """
    deadline = time.monotonic() + LOADING_SECONDS
    while (count := ground.count(topic)) < end:
        spent = process.cpu_s
        try:
            process.wait_for(partial(_grown, ground, topic, count), STILL_SECONDS)
        except TimeoutError:
            spent = process.cpu_s - spent
            if spent < STILL_CPU_S or time.monotonic() > deadline:
                why = f"it wrote nothing to {topic} for {STILL_SECONDS:.0f} s, and spent {spent:.1f} CPU-seconds"
                raise Implausible(f"enrich: stock Faust does not get on: {why}") from None


def _grown(ground: Ground, topic: str, beyond: int) -> bool:
    return ground.count(topic) > beyond


def _stock_worker(ground: Ground) -> Process:
    faust = [sys.executable, "-m", "faust", "--quiet", "--datadir", str(ground.folder / "stock")]
    return Process(
        [*faust, "-A", "tests.bench.stock", "worker", "--loglevel", "error", "--without-web"],
        ground.folder,
        ground.environment,
    )


def _committed(ground: Ground) -> int:
    return ground.committed(STOCK_GROUP, HITS)


def all_joined(ground: Ground, starts: Mapping[int, int]) -> None:
    """Events of the run, the last of each partition, say who it was and what the mail was."""
    ends = ground.ends(EVENTS)
    last = {partition: max(start, ends[partition] - SAMPLE) for partition, start in starts.items()}
    for value in ground.values(EVENTS, last):
        event = _event.decode(value)
        if event.recipient != email(event.profile) or event.tags != tags(event.mailing or "") or not event.fields:
            raise Implausible(f"enrich: an event is not joined: {value.decode()}")
