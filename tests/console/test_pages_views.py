"""What pages write: shares, durations, moments, small lines; and paths that stay on this console."""

from datetime import UTC, datetime

import pytest

from pipeline.console.pages import sparkline, views
from pipeline.console.pages.visit import local

TIME = datetime(2026, 3, 4, 9, 5, 6, 789_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("part", "text"), [(None, "–"), (0, "0.0 %"), (0.5, "50.0 %"), (0.99999, "99.9 %"), (1, "100 %")]  # noqa: RUF001
)  # fmt: skip
def test_a_share_is_all_only_where_it_is(part: float | None, text: str) -> None:
    assert views.share(part) == text


@pytest.mark.parametrize(("ms", "text"), [(None, "–"), (0.4, "0 ms"), (41.7, "42 ms"), (1234.0, "1.2 s")])  # noqa: RUF001
def test_a_duration_is_short(ms: float | None, text: str) -> None:
    assert views.duration(ms) == text


def test_a_moment_is_in_words_and_for_machines() -> None:
    assert (views.moment(TIME), views.day(TIME), views.iso(TIME)) == (
        "4 Mar 2026, 09:05 UTC", "4 Mar 2026", "2026-03-04T09:05:06Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "points"),
    [([], ""), ([5], ""), ([0, 0], "0.0,22.0 96.0,22.0"), ([0, 10, 5], "0.0,22.0 48.0,2.0 96.0,12.0")],
)
def test_numbers_are_a_line_from_bottom_to_top(values: list[int], points: str) -> None:
    assert sparkline.points(values) == points


@pytest.mark.parametrize("path", ["//evil", "/\\evil", "\\evil", "evil", "https://evil", "/a\nb", "/\tevil", "/é", ""])
def test_another_site_s_address_is_no_path(path: str) -> None:
    assert local(path) == "/loops"
    assert local("/loops/new?q=a#b") == "/loops/new?q=a#b"
