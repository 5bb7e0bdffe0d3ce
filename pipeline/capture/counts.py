"""What capture counts: one row of numbers a worker, in memory that all workers share, so any can show the sum.

prometheus_client's multiprocess mode would take 3.0 us a hit (measured; a tenth of its work) and 9 MB a
process; a cell takes 0.1 us, survives a killed worker and leaves no files.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias, get_args

from pipeline import __version__
from pipeline.capture.answer import Asked

Metric = Literal[
    "loopwire_capture_requests",
    "loopwire_capture_head",
    "loopwire_capture_ack_seconds",
    "loopwire_capture_late",
    "loopwire_capture_drained",
    "loopwire_capture_waiting",
    "loopwire_capture_queue",
    "loopwire_capture_spool_bytes",
    "loopwire_capture_spool_limit_bytes",
    "loopwire_capture_spool_oldest_seconds",
    "loopwire_capture_build",
]
# safe: the broker has the hit. spooled: this machine's disk has it. lost: neither. bad: the token was refused.
# none: there was no hit to make.
Outcome = Literal["safe", "spooled", "lost", "bad", "none"]
Row: TypeAlias = "memoryview[float]"  # ROW doubles

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_REQUESTS = {
    pair: at for at, pair in enumerate((asked, outcome) for asked in get_args(Asked) for outcome in get_args(Outcome))
}
_BUCKETS = len(_REQUESTS)
_SUM = _BUCKETS + len(BOUNDS) + 1


class _Cell(NamedTuple):
    """One number of each worker, and how theirs become one."""

    name: Metric
    kind: Literal["counter", "gauge"]
    merged: Callable[[Iterable[float]], float]
    meaning: str


_CELLS = (
    _Cell("loopwire_capture_head", "counter", sum, "Hits that asked with HEAD."),
    _Cell("loopwire_capture_late", "counter", sum, "Acknowledgements of hits that were spooled meanwhile: duplicates."),
    _Cell("loopwire_capture_drained", "counter", sum, "Spooled hits that the broker has acknowledged."),
    _Cell("loopwire_capture_waiting", "gauge", sum, "Hits that wait to be safe."),
    _Cell("loopwire_capture_queue", "gauge", sum, "Records that librdkafka has not seen acknowledged."),
    _Cell("loopwire_capture_spool_bytes", "gauge", sum, "What waits in the spool."),
    _Cell("loopwire_capture_spool_limit_bytes", "gauge", max, "SPOOL_LIMIT: alarm well below it."),
    _Cell("loopwire_capture_spool_oldest_seconds", "gauge", max, "How old the oldest segment of the spool is."),
)
_CELL = {cell.name: at for at, cell in enumerate(_CELLS, _SUM + 1)}
_HEAD, _LATE, _DRAINED = (_CELL[cell.name] for cell in _CELLS if cell.kind == "counter")
ROW = _SUM + 1 + len(_CELLS)


def answered(row: Row, asked: Asked, outcome: Outcome) -> None:
    """One more request."""
    row[_REQUESTS[asked, outcome]] += 1


def head(row: Row) -> None:
    """One more hit asked with HEAD, which people's mail clients don't."""
    row[_HEAD] += 1


def late(row: Row) -> None:
    """One more acknowledgement that came after the hit was spooled."""
    row[_LATE] += 1


def waited(row: Row, seconds: float) -> None:
    """A hit waited so long until it was acknowledged, or was waited for no more."""
    row[_BUCKETS + bisect_left(BOUNDS, seconds)] += 1
    row[_SUM] += seconds


def drained(row: Row) -> None:
    """One more spooled hit that the broker acknowledged."""
    row[_DRAINED] += 1


class Standing(NamedTuple):
    """How a worker stands now; the fields are metrics, in the order of `Metric`."""

    waiting: int = 0
    queue: int = 0
    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    spool_oldest_seconds: float = 0.0


_STANDING = tuple(_CELL[name] for name in get_args(Metric) if name.split("_", 2)[2] in Standing._fields)


def stands(row: Row, standing: Standing) -> None:
    """The worker stands so now."""
    for at, value in zip(_STANDING, standing, strict=True):
        row[at] = value


def text(rows: Iterable[Row]) -> str:
    """All rows merged, as Prometheus reads them (text format 0.0.4)."""
    columns = list(zip(*rows, strict=True))
    return "\n".join([*_requests(columns), *_ack_seconds(columns), *_cells(columns), *_build(), ""])


_Columns: TypeAlias = "list[tuple[float, ...]]"


def _requests(columns: _Columns) -> Iterable[str]:
    yield from _heading("loopwire_capture_requests", "_total", "counter", "Requests by kind and outcome.")
    for (asked, outcome), at in _REQUESTS.items():
        yield f'loopwire_capture_requests_total{{kind="{asked}",outcome="{outcome}"}} {sum(columns[at]):.0f}'


def _ack_seconds(columns: _Columns) -> Iterable[str]:
    name: Metric = "loopwire_capture_ack_seconds"
    meaning = "How long hits waited for their acknowledgement, those that waited in vain too."
    yield from _heading(name, "", "histogram", meaning)
    seen = 0.0
    for at, bound in enumerate((*map(str, BOUNDS), "+Inf")):
        seen += sum(columns[_BUCKETS + at])
        yield f'{name}_bucket{{le="{bound}"}} {seen:.0f}'
    yield f"{name}_count {seen:.0f}"
    yield f"{name}_sum {sum(columns[_SUM]):.6f}"


def _cells(columns: _Columns) -> Iterable[str]:
    for cell in _CELLS:
        suffix = "_total" if cell.kind == "counter" else ""
        yield from _heading(cell.name, suffix, cell.kind, cell.meaning)
        yield f"{cell.name}{suffix} {cell.merged(columns[_CELL[cell.name]]):.0f}"


def _build() -> Iterable[str]:
    yield from _heading("loopwire_capture_build", "", "gauge", "Always 1: its label is the version that runs.")
    yield f'loopwire_capture_build{{version="{__version__}"}} 1'


def _heading(name: Metric, suffix: str, kind: str, meaning: str) -> Iterable[str]:
    yield f"# HELP {name}{suffix} {meaning}"
    yield f"# TYPE {name}{suffix} {kind}"
