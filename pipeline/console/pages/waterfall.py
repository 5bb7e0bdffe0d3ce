"""What an attempt's time went into, step after step."""

from typing import NamedTuple

from pipeline.console.shown import TimingsShown

STEPS = (("dns", "DNS"), ("connect", "Connect"), ("tls", "TLS"), ("first_byte", "Waiting"), ("total", "Reading"))


class Phase(NamedTuple):
    """`start` and `length` are parts of the whole, from 0 to 100."""

    name: str
    start: float
    length: float
    ms: float


def phases(timings: TimingsShown, *, answered: bool) -> list[Phase]:
    """The steps that took any time. Without an answer the last is what it waited in until it failed."""
    found, before, whole = list[Phase](), 0.0, timings.total
    if whole <= 0:
        return found
    for name, label in STEPS:
        if name == "first_byte" and not answered:
            continue  # libcurl tells one of connections that were refused, too
        reached = min(getattr(timings, name), whole)
        if reached > before:
            named = label if name != "total" or answered else "Until it failed"
            start, length = before / whole * 100, (reached - before) / whole * 100
            found.append(Phase(named, round(start, 2), round(length, 2), reached - before))
            before = reached
    return found
