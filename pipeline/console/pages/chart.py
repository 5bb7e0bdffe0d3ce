"""Counts and latencies over time as shapes of an SVG: drawn here, so that a page needs no script for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pipeline.console.shown import LatencyShown, PointShown

WIDTH, HEIGHT = 600, 160
GAP = 0.2  # of a step, between two bars
OUTCOMES = ("delivered", "retrying", "dead")
PERCENTILES = ("p50", "p95", "p99")


class Part(NamedTuple):
    """A piece of a bar."""

    outcome: str
    y: float
    height: float


class Bar(NamedTuple):
    """A step's attempts, one piece for each outcome that there was."""

    at: datetime
    x: float
    width: float
    parts: list[Part]
    point: PointShown


class Bars(NamedTuple):
    """`top` is what the whole height stands for."""

    bars: list[Bar]
    top: float


class Line(NamedTuple):
    """A percentile over time: the `d` of an SVG path, broken where nothing was sent."""

    name: str
    path: str


class Lines(NamedTuple):
    """`top` is what the whole height stands for, in milliseconds."""

    lines: list[Line]
    top: float


def bars(points: Sequence[PointShown]) -> Bars:
    """The attempts of each step, stacked by outcome, delivered ones at the bottom."""
    top = round_top(max((point.attempts for point in points), default=0))
    step = WIDTH / max(len(points), 1)
    drawn = [
        Bar(point.at, round(number * step + step * GAP / 2, 2), round(step * (1 - GAP), 2), _parts(point, top), point)
        for number, point in enumerate(points)
        if point.attempts
    ]
    return Bars(drawn, top)


def lines(points: Sequence[PointShown]) -> Lines | None:
    """The percentiles of each step; None where nothing was sent in any."""
    known = [point.latency for point in points if point.latency is not None]
    if not known:
        return None
    top = round_top(max(latency.p99 for latency in known))
    return Lines([Line(name, _path([point.latency for point in points], name, top)) for name in PERCENTILES], top)


def round_top(most: float) -> float:
    """The least of 1, 2, 5, 10, 20, 50, ... that is not less."""
    scale = 1.0
    while True:
        for digit in (1, 2, 5):
            if digit * scale >= most:
                return digit * scale
        scale *= 10


def _parts(point: PointShown, top: float) -> list[Part]:
    parts, below = list[Part](), 0
    for outcome in OUTCOMES:
        if count := getattr(point, outcome):
            below += count
            parts.append(Part(outcome, round(HEIGHT - below / top * HEIGHT, 2), round(count / top * HEIGHT, 2)))
    return parts


def _path(latencies: Sequence[LatencyShown | None], name: str, top: float) -> str:
    """A line through the middle of each step. A step alone is a dot: a line of no length, with a round cap."""
    step, words, drawing = WIDTH / len(latencies), list[str](), False
    for number, latency in enumerate(latencies):
        if latency is None:
            drawing = False
            continue
        x, y = (number + 0.5) * step, HEIGHT - getattr(latency, name) / top * HEIGHT
        words.append(f"{'L' if drawing else 'M'}{x:.1f},{y:.1f}" + ("" if drawing else "h0"))
        drawing = True
    return "".join(words)
