"""What Prometheus is shown of enrich, told once a second."""

import pytest
from prometheus_client import REGISTRY

from pipeline.enrich.figures import Figures, State

NAMES = ("lag_records", "lag_seconds", "unfinished_seconds", "table_rows", "table_bytes")


def _shown(figures: Figures, *states: State) -> dict[str, float | None]:
    figures.tell(states, rows=7, size=700, now=100_000)
    return {name: REGISTRY.get_sample_value(f"loopwire_enrich_{name}") for name in NAMES}


@pytest.fixture
def figures() -> Figures:
    made = Figures()
    made.fetched(3, end=20, oldest=90_000)
    made.fetched(3, end=30, oldest=95_000)
    made.fetched(4, end=8, oldest=99_000)
    return made


def test_nothing_at_all() -> None:
    assert list(_shown(Figures()).values()) == [0, 0, 0, 7, 700]


def test_what_is_under_way_counts_from_where_it_was_begun(figures: Figures) -> None:
    states = State(3, end=50, began=10, safe=None), State(4, end=8, began=0, safe=8)
    assert list(_shown(figures, *states).values()) == [40, 10, 10, 7, 700]


def test_what_is_safe_is_no_longer_under_way(figures: Figures) -> None:
    assert _shown(figures, State(3, 50, 10, 20), State(4, 8, 0, 0))["unfinished_seconds"] == 5
    assert _shown(figures, State(3, 50, 10, 30), State(4, 8, 0, 0))["unfinished_seconds"] == 1
    assert _shown(figures, State(3, 50, 10, 30), State(4, 8, 0, 8))["unfinished_seconds"] == 0


def test_how_old_hits_were_that_came_is_told_once(figures: Figures) -> None:
    assert _shown(figures)["lag_seconds"] == 10
    assert _shown(figures)["lag_seconds"] == 0


def test_of_a_partition_that_went_nothing_is_told(figures: Figures) -> None:
    figures.lost(3)
    assert _shown(figures, State(4, 8, 0, 0))["unfinished_seconds"] == 1


def test_clocks_that_differ_make_no_negative_age() -> None:
    figures = Figures()
    figures.fetched(3, end=20, oldest=101_000)
    shown = _shown(figures, State(3, end=5, began=10, safe=None))
    assert (shown["lag_records"], shown["lag_seconds"], shown["unfinished_seconds"]) == (0, 0, 0)
