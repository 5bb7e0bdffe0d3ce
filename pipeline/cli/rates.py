"""A pace as people type it: `50/s`, or `50`."""

from pipeline.cli.mistakes import Mistake


def a_second(text: str) -> float | None:
    """So many a second; None for nothing typed. Mistake where it is no rate."""
    if not text:
        return None
    try:
        return float(text.strip().removesuffix("/s"))
    except ValueError as wrong:
        raise Mistake(f"--rate: {text!r} is no rate: write 50/s") from wrong
