"""The benchmarks work: each tells its figure, and a figure is what was counted. How fast anything is, no test asks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.bench import capture, enrich, streams
from tests.bench.__main__ import BENCHMARKS
from tests.bench.figures import Implausible, Run, compared, delays, percentiles, told
from tests.bench.java import compiled
from tests.bench.processes import ROOT, Missing, tool
from tests.bench.readme import table, written
from tests.bench.warmth import grows

TOOLS = {
    "capture": (("wrk", "wrk"), ("nginx", "nginx-light")),
    "deliver": (("nginx", "nginx-light"),),
    "streams": (("javac", "default-jdk-headless"),),
}


def _bench(*names: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "QUICK": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.bench", *names]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def _possible() -> list[str]:
    """The benchmarks whose tools are on this machine."""
    names = []
    for name in BENCHMARKS:
        try:
            for wanted in TOOLS.get(name, ()):
                tool(*wanted)
        except Missing:
            continue
        names.append(name)
    return names


@pytest.mark.faults  # two minutes
@pytest.mark.timeout(600)
def test_each_benchmark_tells_one_figure_and_stdout_has_nothing_else() -> None:
    names = _possible()
    done = _bench(*names)
    assert done.returncode == 0, done.stderr
    figures: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [figure["name"] for figure in figures] == names
    for figure in figures:
        assert figure.keys() >= {"value", "unit", "n", "cpu_s", "baseline"}
        assert figure["value"] > 0
        assert figure["n"] > 0
        assert (figure["baseline"] is None) == (figure["name"] == "line")


def test_a_benchmark_that_does_not_exist_is_one_line() -> None:
    done = _bench("coffee")
    assert (done.returncode, done.stdout) == (2, "")
    there = "capture, enrich, deliver, line, tables, isolation, loops, streams"
    assert done.stderr == f"bench: there is no benchmark coffee: there are {there}\n"


def test_answers_of_the_disk_are_not_counted_as_acked_and_many_make_the_figure_worthless() -> None:
    run = Run(10_000, 10.0, 5.0)
    assert capture.acked(run, 0) == run
    assert capture.acked(run, 500) == run._replace(n=9_500)
    with pytest.raises(Implausible, match=r"^capture: 501 of 10000 answers came from the spool, not after"):
        capture.acked(run, 501)


def test_a_figure_is_the_median_of_its_runs_beside_the_baselines_and_the_sum_of_their_work() -> None:
    ours = [Run(1000, 10.0, 5.0, 1.0), Run(3000, 10.0, 6.0, 1.5), Run(1200, 10.0, 5.5, 0.5)]
    theirs = [Run(60, 10.0, 9.0), Run(100, 10.0, 9.5), Run(50, 10.0, 9.5)]
    assert json.loads(told(compared("enrich", "events/s", ours, "stock", theirs))) == {
        "name": "enrich",
        "value": 120.0,
        "unit": "events/s",
        "n": 5200,
        "cpu_s": 16.5,
        "broker_cpu_s": 3.0,
        "seconds": 30.0,
        "runs": [100.0, 300.0, 120.0],
        "spread": 1.667,
        "baseline": 6.0,
        "baseline_name": "stock",
        "ratio": 24.0,
        "baseline_n": 210,
        "baseline_cpu_s": 28.0,
        "baseline_broker_cpu_s": 0.0,
        "baseline_seconds": 30.0,
        "baseline_runs": [6.0, 10.0, 5.0],
        "baseline_spread": 0.833,
    }


def test_without_a_compiler_streams_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_words, **_named: None)
    with pytest.raises(Missing) as told:
        compiled(streams.SOURCE, streams.JARS, tmp_path)
    assert str(told.value) == "there is no javac on this machine: apt-get install default-jdk-headless"


@pytest.mark.parametrize(
    ("rates", "still"),
    [
        ([50.0, 80.0, 81.0, 79.0], True),  # too few to say
        ([50.0, 80.0, 100.0, 98.0, 101.0], True),
        ([50.0, 100.0, 98.0, 0.0, 101.0, 99.0], False),  # a hundredth more is noise
        ([50.0, 100.0, 98.0, 97.0, 99.0, 103.0], True),
    ],
)
def test_warm_is_who_no_longer_grows_faster(rates: list[float], still: bool) -> None:
    assert grows(rates) == still


class Slow:
    """Ground and baseline in one: each wait passes in vain, and costs so many CPU-seconds; then it has written."""

    def __init__(self, *spends: float) -> None:
        self.cpu_s = 0.0
        self._spends = list(spends)
        self._count = 41

    def count(self, _topic: str) -> int:
        return self._count

    def wait_for(self, holds: Callable[[], bool], _seconds: float) -> None:
        if not self._spends:
            self._count += 1
            assert holds()
            return
        assert not holds()
        self.cpu_s += self._spends.pop(0)
        raise TimeoutError


def test_a_baseline_that_stands_still_has_no_figure_and_says_at_what() -> None:
    still: Any = Slow(20.0, 0.25)
    enrich._awaited(still, still, "events", 41)  # it is there
    with pytest.raises(Implausible) as told:
        enrich._awaited(still, still, "events", 42)
    assert str(told.value) == (
        "enrich: stock Faust does not get on: it wrote nothing to events for 60 s, and spent 0.2 CPU-seconds"
    )


def test_a_baseline_that_loads_its_table_is_waited_for() -> None:
    busy: Any = Slow(20.0, 20.0)
    enrich._awaited(busy, busy, "events", 42)
    assert busy.count("events") == 42


def test_the_readme_gets_the_figures_between_its_marks() -> None:
    rate = {"name": "enrich", "value": 120_000.4, "unit": "events/s", "n": 1_000_000, "cpu_s": 8.0, "baseline": 3000.2,
            "baseline_name": "stock", "ratio": 40.0, "others_cores": 0.04, "cores": 2}  # fmt: skip
    delay = {"name": "line", "value": 14.2, "unit": "ms", "n": 1000, "cpu_s": 1.5, "baseline": None, "p50": 14.2,
             "p95": 20.0, "p99": 31.4, "hits_a_second": 500, "others_cores": 0.11, "cores": 2}  # fmt: skip
    new = table([rate, delay], date(2026, 3, 20))
    assert (
        new
        == """\
| | measured | beside it, in the same run | ratio | CPU a piece |
|---|---|---|---|---|
| enrich | 120,000 events/s | stock: 3,000 | 40.00 | 8 us |
| line | p50 14 ms, p95 20 ms, p99 31 ms at 500 hits/s | | | 1,500 us |

Measured on 2026-03-20 on a machine of 2 shared cores, with the broker on it too; others kept up
to 0.1 of its cores busy when a benchmark began.
"""
    )
    readme = (ROOT / "README.md").read_text()
    assert new in written(readme, new)
    assert written(written(readme, "old\n"), new) == written(readme, new)


def test_a_delay_is_told_by_its_median_and_its_slowest_hundredth() -> None:
    runs = [Run(200, 1.0, 1.0, 0.5, percentiles([*range(200)])), Run(100, 1.0, 1.0, 0.5, percentiles([*range(100)]))]
    assert delays("line", runs) == {
        "name": "line",
        "value": 75.0,
        "unit": "ms",
        "n": 300,
        "cpu_s": 2.0,
        "broker_cpu_s": 1.0,
        "seconds": 2.0,
        "runs": [100, 50],
        "spread": 0.667,
        "baseline": None,
        "p50": 75.0,
        "p95": 142.5,
        "p99": 148.5,
        "max": 149.0,
    }
