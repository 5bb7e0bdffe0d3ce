"""Capture: answered hits a second of one worker, each answer after its ack, beside nginx's pixel of one worker."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import requests

from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.keys import link_keys
from pipeline.topics import HITS
from tests.bench.figures import QUICK, Implausible, Run, compared
from tests.bench.ground import Ground
from tests.bench.mail import ACCOUNT, hits
from tests.bench.nginx import nginx
from tests.bench.processes import Process, say, tool

CONNECTIONS = 256
TOKENS = 10_000
SCRIPT = Path(__file__).with_name("pixels.lua")
MOST_SPOOLED = 0.05  # of the answers: where the disk answered more often, the figure would be the disk's


class Load(NamedTuple):
    """What one run of wrk saw; times in ms."""

    answered: int
    seconds: float
    failed: int
    p50: float
    p95: float
    p99: float
    max: float

    @property
    def percentiles(self) -> dict[str, float]:
        """How long an answer took."""
        return {"p50": self.p50, "p95": self.p95, "p99": self.p99, "max": self.max}


def measure(ground: Ground) -> dict[str, Any]:
    """The figure."""
    paths = ground.folder / "paths"
    paths.write_text("".join(f"/o/{token}.gif\n" for token in _tokens(ground)))
    ours: list[Run] = []
    theirs: list[Run] = []
    spooled = 0
    for number in range(ground.pace.runs):
        theirs.append(_nginx(ground, paths))
        run, by_disk = _capture(ground, paths)
        ours.append(run)
        spooled += by_disk
        say(f"capture {number + 1}: {ours[-1].rate:,.0f} hits/s, nginx {theirs[-1].rate:,.0f} req/s")
    return compared("capture", "hits/s", ours, "nginx empty_gif, one worker", theirs) | {"spooled": spooled}


def _tokens(ground: Ground) -> list[str]:
    kid, key = signing_key(link_keys(ground.settings), ACCOUNT)
    some = itertools.islice(hits(ground.pace.profiles), TOKENS)
    return [sign(Link(ACCOUNT, hit.profile, hit.mailing, hit.message), "open", kid, key) for hit in some]


def _nginx(ground: Ground, paths: Path) -> Run:
    with nginx(ground.folder / "nginx") as server:
        _wrk(server.url, paths, ground.pace.warm)
        load, run = _under_load(ground, server.process, server.url, paths)
        _all_answered(load)
        return run


def _capture(ground: Ground, paths: Path) -> tuple[Run, int]:
    """What was measured, and how many answers it does not count: the disk's, which came before the broker's ack."""
    before = ground.count(HITS)
    with ground.start("capture") as process:
        url = ground.settings.tracking_url
        warm = _wrk(url, paths, ground.pace.warm)
        process.wait_for(lambda: not _waiting(url))
        warmed = _outcomes(url)
        load, run = _under_load(ground, process, url, paths)
        process.wait_for(lambda: not _waiting(url))
        outcomes = _outcomes(url)
    _all_answered(load)
    _all_safe(outcomes, warm.answered + load.answered, ground.count(HITS) - before)
    spooled = outcomes["spooled"] - warmed["spooled"]
    return acked(run, spooled, 1.0 if ground.pace == QUICK else MOST_SPOOLED), spooled


def acked(run: Run, spooled: int, most: float = MOST_SPOOLED) -> Run:
    """The run without the answers that came from the disk; Implausible where these were more than that share."""
    if spooled > most * run.n:
        raise Implausible(f"capture: {spooled} of {run.n} answers came from the spool, not after the broker's ack")
    if spooled:
        say(f"capture: {spooled} of {run.n} answers came from the spool and are not counted: the broker was late")
    return run._replace(n=run.n - spooled)


def _under_load(ground: Ground, process: Process, url: str, paths: Path) -> tuple[Load, Run]:
    meter = ground.meter(process)
    load = _wrk(url, paths, ground.pace.steady)
    return load, meter.run(load.answered, load.percentiles)._replace(seconds=load.seconds)


def _wrk(url: str, paths: Path, seconds: float) -> Load:
    """One thread: it is enough for nginx, and leaves the cores to who is measured."""
    command = [
        tool("wrk", "wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", "15s",
        "-s", str(SCRIPT), url, "--", str(paths),
    ]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Load(**json.loads(said.splitlines()[-1]))


def _outcomes(url: str) -> dict[str, int]:
    """What capture says that became of its requests, by outcome."""
    counts: dict[str, int] = {}
    said = requests.get(f"{url}/metrics", timeout=10).text
    for outcome, count in re.findall(
        r'^loopwire_capture_requests_total\{.*outcome="(\w+)"\} (\d+)$', said, re.MULTILINE
    ):
        counts[outcome] = counts.get(outcome, 0) + int(count)
    return counts


def _waiting(url: str) -> bool:
    """Whether a hit waits for its acknowledgement, or to come from the spool."""
    said = requests.get(f"{url}/metrics", timeout=10).text
    return any(f"\nloopwire_capture_{gauge} 0\n" not in said for gauge in ("waiting", "queue", "spool_bytes"))


def _all_answered(load: Load) -> None:
    if load.failed:
        raise Implausible(f"capture: {load.failed} of {load.answered} requests failed")


def _all_safe(outcomes: dict[str, int], answered: int, records: int) -> None:
    """Every answer has its record; wrk leaves without the answers it still waits for, at each end.

    A hit that was spooled, and that the broker acknowledged after all, has two.
    """
    safe, spooled = outcomes["safe"], outcomes["spooled"]
    others = {outcome: count for outcome, count in outcomes.items() if outcome not in {"safe", "spooled"} and count}
    if others or not answered <= safe + spooled <= records <= answered + 2 * CONNECTIONS + spooled:
        raise Implausible(f"capture: {answered} answers, {records} records in hits, and capture counts {outcomes}")
