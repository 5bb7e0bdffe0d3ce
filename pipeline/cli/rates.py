"""A pace as people type it: `50/s`, or `50`."""

from math import inf, isfinite

from pipeline.cli.mistakes import Mistake


def a_second(text: str) -> float | None:
    """So many a second; None for nothing typed. Mistake where it is no rate."""
    if not text:
        return None
    try:
        rate = float(text.strip().removesuffix("/s"))
    except ValueError:
        rate = inf
    if not isfinite(rate):  # JSON has no such number: it would be none at all
        raise Mistake(f"--rate: {text!r} is no rate: write 50/s")
    return rate
