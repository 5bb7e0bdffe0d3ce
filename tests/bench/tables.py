"""Tables: how long enrich takes until a million profiles are at hand, in memory and on disk, and what they take.

As the process tells it; what it takes to start and to be given partitions, load or none, stands beside it. Then five
times as many on disk, and hits all over them.
"""

import itertools
import re
import shutil
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

from pipeline.topics import EVENTS, PROFILES
from tests.bench.enrich import Supply, all_joined
from tests.bench.ground import Ground
from tests.bench.mail import mailings, profiles
from tests.bench.processes import Process, say

TIMES = 10  # the profiles of the other benchmarks: a million
MORE = 5
HITS = 10  # for each profile of the other benchmarks, over all profiles: most rows are not at hand
READY_SECONDS = 600.0
JOINED_SECONDS = 600.0


class Start(NamedTuple):
    """A start of enrich: seconds that the load took, and until it was ready; CPU-seconds by then, and memory."""

    seconds: float
    ready: float
    cpu_s: float
    resident_mb: float
    peak_mb: float


def measure(ground: Ground) -> dict[str, Any]:
    """The figure: seconds until a million profiles are at hand on disk, for the first time; in memory beside it."""
    rows = ground.pace.profiles * TIMES
    floor = _start(ground, "memory", "nothing to load")
    say(f"tables: {rows:,} profiles are put into the topic")
    ground.load(itertools.chain(profiles(rows), mailings()))
    memory = _start(ground, "memory", "cold")
    cold = _start(ground, "disk", "cold")
    warm = _start(ground, "disk", "warm")
    say(f"tables: {rows * (MORE - 1):,} more")
    ground.load(itertools.islice(profiles(rows * MORE), rows, None))
    shutil.rmtree(ground.folder / "tables")
    with ExitStack() as ending:
        many, process = _started(ground, "disk", ending)
        _say("disk, cold", rows * MORE, many)
        joined = _join(ground, process, rows * MORE)
    many_warm = _start(ground, "disk", "warm", rows * MORE)
    return {
        "name": "tables",
        "value": round(cold.seconds, 2),
        "unit": "s",
        "n": rows,
        "cpu_s": round(cold.cpu_s, 2),
        "baseline": round(memory.seconds, 2),
        "baseline_name": "in memory",
        "baseline_cpu_s": round(memory.cpu_s, 2),
        "ratio": round(cold.seconds / memory.seconds, 3),
        "ready_s": {"none": round(floor.ready, 2), "cold": round(cold.ready, 2), "warm": round(warm.ready, 2)},
        "warm_s": round(warm.seconds, 2),
        "resident_mb": {"none": floor.resident_mb, "memory": memory.resident_mb, "disk": cold.resident_mb},
        "many": {
            "n": rows * MORE,
            "cold_s": round(many.seconds, 2),
            "warm_s": round(many_warm.seconds, 2),
            "resident_mb": many.resident_mb,
            "peak_mb": many.peak_mb,
            **joined,
            "disk_mb": round(sum(file.stat().st_size for file in (ground.folder / "tables").rglob("*")) / 1e6, 1),
        },
    }


def _start(ground: Ground, store: str, what: str, rows: int | None = None) -> Start:
    with ExitStack() as ending:
        start, _process = _started(ground, store, ending)
    _say(f"{store}, {what}", rows or ground.pace.profiles * TIMES, start)
    return start


def _started(ground: Ground, store: str, ending: ExitStack) -> tuple[Start, Process]:
    if ground.count(PROFILES):  # else there was no group before
        ground.from_the_start("enrich")  # so that all that is there counts as told, at each start
    began = time.monotonic()
    process = ending.enter_context(ground.start("enrich", {"LOOPWIRE_TABLE_STORE": store}, READY_SECONDS))
    ready = time.monotonic() - began
    [load] = re.findall(r"^loopwire_enrich_load_seconds (\S+)", ground.metrics(), re.MULTILINE)
    return Start(float(load), ready, process.cpu_s, *process.memory_mb), process


def _join(ground: Ground, process: Process, rows: int) -> dict[str, float]:
    """Hits all over the profiles: how fast they are joined, and what the process takes meanwhile."""
    hits = ground.pace.profiles * HITS
    supply, before, starts = Supply(ground, rows), ground.count(EVENTS), ground.ends(EVENTS)
    meter = ground.meter(process)
    supply.grow(hits)  # joined while they are put in: the load's own pace is the limit, CPU-seconds are not
    process.wait_for(lambda: ground.count(EVENTS) - before >= hits, JOINED_SECONDS)
    run = meter.run(hits)
    all_joined(ground, starts)
    resident, peak = process.memory_mb
    say(f"tables: {hits:,} hits over {rows:,} profiles: {run.cpu_s / hits * 1e6:.1f} CPU-s a million, {peak:.0f} MB")
    return {
        "joined": hits,
        "joined_cpu_s": round(run.cpu_s, 2),
        "joined_resident_mb": resident,
        "joined_peak_mb": peak,
    }


def _say(what: str, rows: int, start: Start) -> None:
    took = f"{start.seconds:.2f} s, ready after {start.ready:.1f} s, {start.cpu_s:.1f} CPU-s"
    say(f"tables: {what}, {rows:,} profiles: {took}, {start.resident_mb:.0f} MB, at most {start.peak_mb:.0f}")
