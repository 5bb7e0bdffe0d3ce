"""What capture counts: one row of numbers a worker, in memory that all workers share, so any can show the sum.

prometheus_client's multiprocess mode would take 3.0 us a hit (measured; a tenth of its work) and 9 MB a
process; a cell takes 0.1 us, survives a killed worker and leaves no files.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

from pipeline import __version__
from pipeline.capture.answer import Asked

Metric = Literal[
    "loopwire_capture_requests",
    "loopwire_capture_ack_seconds",
    "loopwire_capture_waiting",
    "loopwire_capture_build",
]
# safe: the hit was acknowledged. lost: it was not. bad: the token was refused. none: there was no hit to make.
Outcome = Literal["safe", "lost", "bad", "none"]
Row: TypeAlias = "memoryview[float]"  # ROW doubles

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_REQUESTS = {
    pair: at for at, pair in enumerate((asked, outcome) for asked in get_args(Asked) for outcome in get_args(Outcome))
}
_BUCKETS = len(_REQUESTS)
_SUM = _BUCKETS + len(BOUNDS) + 1
_WAITING = _SUM + 1
ROW = _WAITING + 1


def answered(row: Row, asked: Asked, outcome: Outcome) -> None:
    """One more request."""
    row[_REQUESTS[asked, outcome]] += 1


def waited(row: Row, seconds: float) -> None:
    """A hit waited so long until it was acknowledged, or given up."""
    row[_BUCKETS + bisect_left(BOUNDS, seconds)] += 1
    row[_SUM] += seconds


def waiting(row: Row, hits: int) -> None:
    """So many hits wait now."""
    row[_WAITING] = hits


def text(rows: Iterable[Row]) -> str:
    """All rows summed, as Prometheus reads them (text format 0.0.4)."""
    cells = [sum(column) for column in zip(*rows, strict=True)]
    return "\n".join([*_requests(cells), *_ack_seconds(cells), *_waiting(cells), *_build(), ""])


def _requests(cells: list[float]) -> Iterable[str]:
    yield from _heading("loopwire_capture_requests", "_total", "counter", "Requests by kind and outcome.")
    for (asked, outcome), at in _REQUESTS.items():
        yield f'loopwire_capture_requests_total{{kind="{asked}",outcome="{outcome}"}} {cells[at]:.0f}'


def _ack_seconds(cells: list[float]) -> Iterable[str]:
    name: Metric = "loopwire_capture_ack_seconds"
    yield from _heading(name, "", "histogram", "How long hits waited for their acknowledgement.")
    seen = 0.0
    for at, bound in enumerate((*map(str, BOUNDS), "+Inf")):
        seen += cells[_BUCKETS + at]
        yield f'{name}_bucket{{le="{bound}"}} {seen:.0f}'
    yield f"{name}_count {seen:.0f}"
    yield f"{name}_sum {cells[_SUM]:.6f}"


def _waiting(cells: list[float]) -> Iterable[str]:
    yield from _heading("loopwire_capture_waiting", "", "gauge", "Hits that wait for their acknowledgement.")
    yield f"loopwire_capture_waiting {cells[_WAITING]:.0f}"


def _build() -> Iterable[str]:
    yield from _heading("loopwire_capture_build", "", "gauge", "Always 1: its label is the version that runs.")
    yield f'loopwire_capture_build{{version="{__version__}"}} 1'


def _heading(name: Metric, suffix: str, kind: str, meaning: str) -> Iterable[str]:
    yield f"# HELP {name}{suffix} {meaning}"
    yield f"# TYPE {name}{suffix} {kind}"
