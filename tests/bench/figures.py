"""What is measured, and how it is told: runs of ours and of the baseline, and one JSON object of both."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple


class Implausible(Exception):  # noqa: N818 (it is what the figure is)
    """What was counted at two places does not agree: then the figure is worth nothing."""


class Pace(NamedTuple):
    """How long is warmed up and measured, how often, and how much there is to work on."""

    warm: float  # seconds before each measurement
    steady: float  # seconds of it
    runs: int
    profiles: int


FULL = Pace(warm=3.0, steady=10.0, runs=3, profiles=100_000)
QUICK = Pace(warm=0.5, steady=1.0, runs=1, profiles=1_000)  # shows that it works, and nothing else


class Run(NamedTuple):
    """One measured stretch: `n` things done in `seconds`, for `cpu_s` CPU-seconds of who did them."""

    n: int
    seconds: float
    cpu_s: float
    broker_cpu_s: float = 0.0
    percentiles: Mapping[str, float] = MappingProxyType({})  # ms

    @property
    def rate(self) -> float:
        """Things a second."""
        return self.n / self.seconds


def compared(name: str, unit: str, ours: Sequence[Run], baseline_name: str, theirs: Sequence[Run]) -> dict[str, Any]:
    """Ours beside the baseline, in the order they ran, one of each in turn.

    `value` and `baseline` are medians of the runs' rates. `ratio` is the median of what each run of ours was to the
    baseline's just before it: a machine that others use too changes both, so it moves least. `n`, `seconds` and
    CPU-seconds are sums over the runs.
    """
    value, baseline = median(run.rate for run in ours), median(run.rate for run in theirs)
    ratio = median(one.rate / other.rate for one, other in zip(ours, theirs, strict=True))
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        **_work(ours),
        "baseline": round(baseline, 1),
        "baseline_name": baseline_name,
        "ratio": round(ratio, 3),
        **{f"baseline_{word}": number for word, number in _work(theirs).items()},
        **_medians(ours),
        **{f"baseline_{word}": number for word, number in _medians(theirs).items()},
    }


def delays(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """How long something took, in ms: medians of the runs' percentiles, the value being p50; there is no baseline."""
    percentiles = _medians(runs)
    value = percentiles["p50"]
    p50s = [round(run.percentiles["p50"], 2) for run in runs]
    told = {"name": name, "value": value, "unit": "ms", **_work(runs), "baseline": None, **percentiles}
    return told | {"runs": p50s, "spread": _spread(p50s)}  # of what `value` is


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max by nearest rank, in the samples' own unit."""
    ranked = sorted(samples)
    ranks = {f"p{part}": ranked[min(len(ranked) - 1, len(ranked) * part // 100)] for part in (50, 95, 99)}
    return ranks | {"max": ranked[-1]}


def told(figure: dict[str, Any]) -> str:
    """One JSON object, one line."""
    return json.dumps(figure)


def _work(runs: Sequence[Run]) -> dict[str, Any]:
    rates = [round(run.rate, 1) for run in runs]
    return {
        "n": sum(run.n for run in runs),
        "cpu_s": round(sum(run.cpu_s for run in runs), 2),
        "broker_cpu_s": round(sum(run.broker_cpu_s for run in runs), 2),
        "seconds": round(sum(run.seconds for run in runs), 1),
        "runs": rates,
        "spread": _spread(rates),
    }


def _spread(values: Sequence[float]) -> float:
    """How far apart the runs were, as a part of their median."""
    return round((max(values) - min(values)) / median(values), 3)


def _medians(runs: Sequence[Run]) -> dict[str, float]:
    return {name: round(median(run.percentiles[name] for run in runs), 2) for name in runs[0].percentiles}
