"""Numbers over time as a small line: points of an SVG polyline."""

from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 96, 24, 2


def points(values: Sequence[int]) -> str:
    """`x,y x,y ...` within WIDTH x HEIGHT; the largest value is at the top, nothing at the bottom. "" for no line."""
    if len(values) < 2:
        return ""
    top, step = max(*values, 1), WIDTH / (len(values) - 1)
    room = HEIGHT - 2 * MARGIN
    return " ".join(f"{at * step:.1f},{HEIGHT - MARGIN - value / top * room:.1f}" for at, value in enumerate(values))
